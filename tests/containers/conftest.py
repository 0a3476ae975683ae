"""One engine for all tests here, and two people who share it. They are run in the order of the files' names."""

import os
import tempfile
from pathlib import Path

import pytest
from engine import Engine, NoEngine, is_debian, run
from people import PIN, Person
from trainings import TRAIN, prepared, weights

from app.host.env_file import read_env

OPEN_MASK = 0o022


@pytest.fixture(scope="session")
def engine():
    os.umask(OPEN_MASK)
    made = Engine()
    try:
        made.enter()
    except NoEngine as error:
        made.leave()
        if os.getuid() == 0 and is_debian():
            pytest.fail(str(error))  # here it could have been installed
        pytest.skip(str(error), allow_module_level=True)
    yield made
    made.leave()


@pytest.fixture(scope="session")
def people(engine):
    with tempfile.TemporaryDirectory(prefix="moksori-people-") as place:
        os.chmod(place, 0o755)  # noqa: PTH101
        found = [
            Person(name, uid, Path(place) / name, engine.plugins()) for name, uid in (("kim", 23001), ("lee", 23002))
        ]
        for person in found:
            person.settle()
        yield found
        for person in found:
            project = f"name=moksori-{person.name}-"
            left = run("docker", "ps", "-aq", "--filter", project).stdout.split()
            if left:
                run("docker", "rm", "-f", *left)
            owner = read_env(str(person.tree / ".env")).get("OWNER", "nobody")
            names = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
            ours = [name for name in names if f":{owner}-" in name]
            if ours:
                run("docker", "rmi", "-f", *ours)


@pytest.fixture(scope="session")
def kim(people):
    """She has built the images for an old driver's pin."""
    person = people[0]
    done = person.make("doctor", CUDA=PIN)
    assert done.returncode == 0, done.stdout
    done = person.make("images")
    assert done.returncode == 0, done.stdout
    return person


@pytest.fixture(scope="session")
def lee(people, kim):
    person = people[1]
    for words in (("doctor",), ("images",)):
        done = person.make(*words, CUDA=PIN)
        assert done.returncode == 0, done.stdout
    return person


@pytest.fixture(scope="session")
def road(kim):
    """The demo, job by job, as compose runs it: job -> what it said."""
    said = {}
    for job in ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate"):
        done = kim.compose("run", "--rm", job, CONFIG="configs/demo.yaml", DATA="data/demo", WORKERS="2")
        assert done.returncode == 0, done.stdout
        said[job] = done.stdout
    return said


@pytest.fixture(scope="session")
def unbroken(kim, road):
    """SHA-256 of what a training ends in that nobody has disturbed."""
    prepared(kim, "unbroken")
    done = kim.make(*TRAIN, "RUN=unbroken")
    assert done.returncode == 0, done.stdout
    return weights(kim, "unbroken")
