"""Stop, kill, cut lines: whatever ends a training in a container, the same command ends in the same bytes."""

import os
import signal
import time

import pytest
from trainings import TRAIN, containers, has_checkpoint, prepared, wait_until, weights


def at_work(kim, run: str, *words: str):
    prepared(kim, run)
    process = kim.start("make", *(words or TRAIN), f"RUN={run}")
    wait_until(lambda: has_checkpoint(kim, run), process=process)
    return process


def goes_on(kim, run: str, unbroken: str) -> None:
    assert not containers(kim)
    done = kim.make(*TRAIN, f"RUN={run}")
    assert done.returncode == 0 and "goes on" in done.stdout, done.stdout
    assert weights(kim, run) == unbroken


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "ctrl-c"])
def test_who_stops_make_stops_the_container_politely(kim, unbroken, number):
    """`docker compose run` alone would end and leave its container at work."""
    run = f"by-{number.name.lower()}"
    process = at_work(kim, run)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[0]
    assert "exit code 75" in said, said
    goes_on(kim, run, unbroken)


def test_the_end_of_the_terminal_too(kim, unbroken, hang_ups_are_heard):
    process = at_work(kim, "hup")
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate(timeout=60)
    wait_until(lambda: not containers(kim), 60)
    goes_on(kim, "hup", unbroken)


def test_a_killed_container_goes_on_from_its_checkpoint(kim, unbroken):
    process = at_work(kim, "kill")
    [name] = containers(kim)
    kim.docker("kill", name)
    said = process.communicate(timeout=60)[0]
    assert "killed by SIGKILL" in said and process.returncode == 2, said
    goes_on(kim, "kill", unbroken)


def test_docker_stop_ends_with_75(kim, unbroken):
    environment = {"CONFIG": "configs/long.yaml", "DATA": "data/demo", "RUN": "stop"}
    prepared(kim, "stop")
    done = kim.compose("run", "-d", "--name", "kims-own", "train", **environment)
    assert done.returncode == 0, done.stdout
    wait_until(lambda: has_checkpoint(kim, "stop"))
    began = time.monotonic()
    kim.docker("stop", "kims-own")
    assert kim.docker("inspect", "--format", "{{.State.ExitCode}}", "kims-own") == "75"
    assert time.monotonic() - began < 60
    kim.docker("rm", "kims-own")
    goes_on(kim, "stop", unbroken)


def test_a_detached_one_is_followed_refused_twice_and_stopped_for_good(kim, unbroken):
    prepared(kim, "away")
    done = kim.make(*TRAIN, "RUN=away", "DETACH=1")
    assert done.returncode == 0 and "detached: train of run away" in done.stdout, done.stdout
    [name] = containers(kim)
    assert kim.docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name) == "on-failure"
    wait_until(lambda: has_checkpoint(kim, "away"))
    twice = kim.make(*TRAIN, "RUN=away")
    assert twice.returncode == 2 and "at work already" in twice.stdout, twice.stdout
    status = kim.make("status", "RUN=away")
    assert "running" in status.stdout, status.stdout
    done = kim.make("stop", "JOB=train", "RUN=away")
    assert done.returncode == 0 and "stopped after" in done.stdout, done.stdout
    wait_until(lambda: not containers(kim), 60)
    time.sleep(3)  # it would have come back by now
    assert not containers(kim) and kim.docker("inspect", "--format", "{{.State.ExitCode}}", name) == "75"
    goes_on(kim, "away", unbroken)


def test_more_memory_than_given_is_told(kim, road):
    prepared(kim, "small")
    done = kim.make(*TRAIN, "RUN=small", MEMORY="200m")
    assert done.returncode == 2 and "MEMORY=200m" in done.stdout, done.stdout


def test_one_does_not_touch_the_other(kim, lee, unbroken):
    process = at_work(kim, "beside")
    try:
        assert lee.compose("down", "--remove-orphans").returncode == 0
        assert lee.make("stop", "JOB=all").returncode == 0
        assert lee.compose("--profile", "jobs", "kill").returncode == 0
        assert len(containers(kim)) == 1 and process.poll() is None
        tags = {p.name: p.compose("config", "--images", "train").stdout.split()[0] for p in (kim, lee)}
        assert "kim-" in tags["kim"] and "lee-" in tags["lee"] and all(tag.endswith("cu117") for tag in tags.values())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


LOCK = """
import sys, time
from pathlib import Path
from app.runtime.gpu_lock import lock_gpu
found = lock_gpu(Path("/gpu-locks"), "GPU-made-up-for-this-test", sys.argv[1], time.time())
print(found if isinstance(found, str) else f"holds {found.holds}", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_a_gpu_is_locked_for_all_people_of_the_machine(kim, lee):
    words = ("docker", "compose", "run", "--rm", "-T", "--entrypoint", "python3", "train", "-c", LOCK)
    holder = kim.start(*words, "kims", "15")
    assert "holds True\n" in iter(holder.stdout.readline, "")  # reads on until it says so, or is gone
    other = lee.compose("run", "--rm", "-T", "--entrypoint", "python3", "train", "-c", LOCK, "lees", "0")
    assert "taken by our job kims" in other.stdout, other.stdout
    holder.communicate(timeout=60)
    other = lee.compose("run", "--rm", "-T", "--entrypoint", "python3", "train", "-c", LOCK, "lees", "0")
    assert "holds True" in other.stdout, other.stdout


def test_the_dashboard_is_shown_on_this_machine_alone(kim, unbroken):
    """make dashboard, as typed; the address that it prints holds a token."""
    import re
    import signal
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process, said = kim.start("make", "dashboard", PORT=port), ""
    try:
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        address = re.search(rf"http://127\.0\.0\.1:{port}/\?token=[\w-]+", said)[0]
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(address, timeout=20) as answer:
            text = answer.read().decode()
        assert "train crnn" in text and "unbroken" in text and f"<h1>{socket.gethostname().split('.')[0]}</h1>" in text
        [name] = containers(kim)
        assert kim.docker("port", name) == f"{port}/tcp -> 127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
    wait_until(lambda: not containers(kim), 30)


def test_curves_are_shown_on_this_machine_alone(kim, unbroken):
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = kim.compose("up", "-d", "tensorboard", TENSORBOARD_PORT=port)
    assert done.returncode == 0, done.stdout
    try:
        found = ""

        def answers() -> bool:
            nonlocal found
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=5) as answer:
                    found = answer.read().decode()
            except OSError:
                return False
            return "unbroken/crnn-" in found

        wait_until(answers, 60)
        [name] = containers(kim)
        assert kim.docker("port", name) == f"6006/tcp -> 127.0.0.1:{port}"
    finally:
        kim.compose("--profile", "look", "down")
