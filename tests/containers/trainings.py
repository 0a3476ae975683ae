"""A training of half a minute, and what is seen of it from outside."""

import hashlib
import time

TRAIN = ("train", "CONFIG=configs/long.yaml", "DATA=data/demo", "WORKERS=1")


def weights(person, run: str) -> str:
    [path] = (person.runs / run / "models").glob("crnn-*/best.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def has_checkpoint(person, run: str) -> bool:
    return any((person.runs / run / "models").glob("crnn-*/last.safetensors"))


def wait_until(what, seconds: float = 120, process=None) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended: {process.communicate()[0]}")
        time.sleep(0.2)


def containers(person, *more: str) -> list[str]:
    name = f"name=moksori-{person.name}-"
    return person.docker("ps", "--filter", name, "--format", "{{.Names}}", *more).split()


def prepared(person, run: str) -> None:
    """A run of its own, on the stages of the demo: all but the training is done already."""
    done = person.make("prepare", *TRAIN[1:], f"RUN={run}")
    assert done.returncode == 0, done.stdout
