"""What the launcher does where Docker is slow, away, or says no. A script stands in for docker: real ends are tried in
tests/containers, these moments cannot be had at will there.
"""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from app.host import container, containers, images, mounts

DOCKER = """#!{python}
import json, os, sys, time
from pathlib import Path
place, words = Path({place!r}), sys.argv[1:]
with (place / "asked").open("a") as file:
    file.write(json.dumps(words) + "\\n")
if words[0] == "compose":
    (place / "label").write_text(words[words.index("--label") + 1].split("=")[1])
    while not (place / "client-ends").exists():
        time.sleep(0.05)
    sys.exit(int((place / "client-ends").read_text() or 0))
if words[0] == "kill":
    sys.exit(0 if (place / "started").exists() else 1)
if words[0] == "inspect":
    if not (place / "state").exists():
        print("Error: No such container: x", file=sys.stderr)
        sys.exit(1)
    if (place / "state").read_text() == "away":
        print("Cannot connect to the Docker daemon", file=sys.stderr)
        sys.exit(1)
    label = (place / "label").read_text() if not (place / "another").exists() else "another"
    print(json.dumps({{"State": json.loads((place / "state").read_text()), "Created": "2026-01-01T00:00:00.0Z",
                      "Labels": {{"moksori.launcher": label}}}}))
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    path = tmp_path / "bin" / "docker"
    path.parent.mkdir()
    path.write_text(DOCKER.format(python=sys.executable, place=str(tmp_path)))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return tmp_path


def asked(docker, word):
    return [words for words in map(json.loads, (docker / "asked").read_text().splitlines()) if words[0] == word]


def ended(code, **more):
    return json.dumps({"Running": False, "Status": "exited", "ExitCode": code, **more})


def begun(docker):
    made = container.Container("kims-train", ["train"], subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not (docker / "label").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return made


QUIET = SimpleNamespace(told_at=0.0)


def test_a_signal_that_comes_while_the_container_is_made_is_told_as_soon_as_it_hears(docker):
    made = begun(docker)
    made.tell(signal.SIGTERM)
    for _ in range(3):
        made._pass_on()
    assert len(asked(docker, "kill")) == 3 and made._to_tell == [signal.SIGTERM]
    (docker / "started").touch()
    made._pass_on()
    assert not made._to_tell and asked(docker, "kill")[-1] == ["kill", "--signal", "SIGTERM", "kims-train"]
    (docker / "state").write_text(ended(75))
    (docker / "client-ends").write_text("130")
    made.end(QUIET)
    assert made.code == 75 and not made.taken and asked(docker, "rm")


@pytest.mark.parametrize(
    ("state", "code", "taken"),
    [
        (ended(0), 0, False),
        (ended(2), 2, False),
        (ended(137), -signal.SIGKILL, False),
        (ended(255), 255, True),  # containerd lost it
        (ended(128 + 126), 254, False),  # no signal has that number
        (json.dumps({"Running": False, "Status": "created", "ExitCode": 128, "Error": "no"}), 2, False),
    ],
)
def test_each_end_has_its_code(docker, state, code, taken):
    made = begun(docker)
    (docker / "state").write_text(state)
    (docker / "client-ends").write_text("1")
    made.end(QUIET)
    assert (made.code, made.taken) == (code, taken)


def test_a_container_that_was_never_made_is_for_the_user_to_mend(docker):
    made = begun(docker)
    (docker / "client-ends").write_text("1")
    assert made.end(QUIET) == {} and made.code == 2 and not made.taken


def test_anothers_container_of_that_name_is_let_be(docker):
    made = begun(docker)
    (docker / "another").touch()
    (docker / "state").write_text(json.dumps({"Running": True, "Status": "running", "ExitCode": 0}))
    (docker / "client-ends").write_text("1")
    assert made.end(QUIET) == {} and made.code == 2 and not asked(docker, "rm")


def test_told_to_stop_while_the_engine_is_away_it_ends(docker, capfd):
    made = begun(docker)
    (docker / "state").write_text("away")
    (docker / "client-ends").write_text("1")
    made.end(SimpleNamespace(told_at=1.0))
    assert made.code == 75 and "does not answer" in capfd.readouterr().err


def test_memory_that_was_recovered_from_is_no_end(docker, capfd):
    assert container.code_of({"ExitCode": 0, "OOMKilled": True}) == 0 and not capfd.readouterr().err
    assert container.code_of({"ExitCode": 137, "OOMKilled": True}) == -9 and "MEMORY" in capfd.readouterr().err


def test_names_of_containers_are_dockers_and_differ_as_runs_do(monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "moksori-kim")
    names = set()
    for run in ("mine", "목소리", "음성", "a b", "a_b"):
        monkeypatch.setenv("RUN", run)
        names.add(containers.name_of("train"))
    assert len(names) == 5 and "moksori-kim-mine-train" in names and "moksori-kim-a_b-train" in names
    assert all(name.isascii() and " " not in name for name in names)


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    for name in ("RUNS", "DATA"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("CONFIG", "RUN", "INPUT", "OUT", "ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_paths_are_given_as_the_container_sees_them(mounted, monkeypatch):
    (mounted / "data" / "a b.wav").touch()
    (mounted / "mine.yaml").touch()
    (mounted / "linked.yaml").symlink_to("mine.yaml")
    monkeypatch.setenv("CONFIG", str(mounted / "linked.yaml"))
    monkeypatch.setenv("INPUT", str(mounted / "data" / "a b.wav"))
    monkeypatch.setenv("OUT", str(mounted / "new" / "run.tar"))
    assert mounts.options_for_paths(containers.run_name()) == [
        "-v", f"{mounted}:/given/config:ro", "-e", "CONFIG=/given/config/mine.yaml",
        "-e", "INPUT=/data/a b.wav",
        "-v", f"{mounted}/new:/given/out:rw", "-e", "OUT=/given/out/run.tar",
        "-e", "RUN=linked",
    ]  # fmt: skip
    assert (mounted / "new").is_dir()  # by us: the engine would make it as root
    monkeypatch.setenv("CONFIG", "configs/demo.yaml")
    monkeypatch.setenv("INPUT", str(mounted / "data"))
    monkeypatch.delenv("OUT")
    assert mounts.options_for_paths(containers.run_name()) == [
        "-e",
        "CONFIG=configs/demo.yaml",
        "-e",
        "INPUT=/data",
        "-e",
        "RUN=demo",
    ]


def test_a_corpus_that_is_linked_at_the_top_of_data_is_mounted_where_the_link_leads(mounted, monkeypatch, capfd):
    for name in ("far/wild", "far/musan", "data/inside"):
        (mounted / name).mkdir(parents=True)
    data = mounted / "data"
    (data / "wild").symlink_to(mounted / "far" / "wild")
    (data / "musan").symlink_to("../far/musan")  # from /data it leads to /far/musan
    (data / "again").symlink_to("inside")
    (data / "system").symlink_to("/usr/share")
    (data / "gone").symlink_to("/nowhere")
    monkeypatch.setenv("DATA", str(data))
    assert mounts.options_for_paths("x")[-4:] == [
        "-v", f"{mounted}/far/musan:/far/musan:ro", "-v", f"{mounted}/far/wild:{mounted}/far/wild:ro",
    ]  # fmt: skip
    assert "system -> /usr/share" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "path"), [("CONFIG", "confg/mine.yaml"), ("INPUT", "none.wav"), ("OUT", "a:b/x.tar")])
def test_paths_that_cannot_be_given_are_told(mounted, monkeypatch, capfd, name, path):
    monkeypatch.setenv(name, path)
    assert mounts.options_for_paths(containers.run_name()) is None and f"{name}={path}" in capfd.readouterr().err


def test_an_images_source_is_all_that_goes_into_it(tmp_path, monkeypatch):
    for name in images.BUILT_FROM:
        path = tmp_path / name
        if name in ("Dockerfile", ".dockerignore"):
            path.write_text(name)
        else:
            (path / "__pycache__").mkdir(parents=True)
            (path / "x.py").write_text(name)
    monkeypatch.setattr(images, "ROOT", str(tmp_path))
    before = images.digest()
    (tmp_path / "app" / "__pycache__" / "x.pyc").write_text("machine code")
    (tmp_path / "README.md").write_text("not in an image")
    assert images.digest() == before
    (tmp_path / "jobs" / "x.py").write_text("edited")
    assert images.digest() != before
