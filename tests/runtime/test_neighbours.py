"""We leave when others come, and come back when they have left; jobs of ours are no others."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.config import RuntimeConfig
from app.runtime.live import LiveFile
from app.runtime.load import Use
from app.runtime.machine import usable_cores
from app.runtime.neighbours import Neighbours

ROOT = Path(__file__).resolve().parents[2]
BUSY = "import hashlib\nblock = bytes(65536)\nwhile True: hashlib.sha256(block)"
JOB = """
import subprocess, sys
from pathlib import Path
from app.config import RuntimeConfig
from app.runtime.neighbours import Neighbours
job = Neighbours(Path(sys.argv[1]), 1, RuntimeConfig(yield_to_others=False))
job.start()
work = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print("at work", flush=True)
sys.stdin.readline()
work.kill()
work.wait()
job.end()
"""
SETTINGS = RuntimeConfig(yield_resume_s=2.0)


def me() -> list[int]:
    """This test's own process: the neighbours that it starts are none of ours."""
    return [os.getpid()]


def eventually(what: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.1)
    return what()


@contextmanager
def watching(runs: Path, workers: int, settings: RuntimeConfig = SETTINGS) -> Iterator[Neighbours]:
    neighbours = Neighbours(runs, workers, settings, me)
    neighbours.start()
    try:
        yield neighbours
    finally:
        neighbours.end()


@contextmanager
def somebody(threads: int) -> Iterator[None]:
    """Busy on so many cores, in a session of his own."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) for _ in range(threads)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_workers_leave_when_somebody_comes_and_return_when_he_has_left(tmp_path):
    cores = usable_cores()
    with watching(tmp_path, cores) as neighbours:
        if not eventually(lambda: neighbours.allowed == cores, 20.0):
            pytest.skip(f"others use {neighbours.others:.1f} cores here: there is nothing to leave")
        assert not neighbours.yielding and neighbours.share == 1.0
        with somebody(cores):
            assert eventually(lambda: neighbours.allowed == 0)
            assert neighbours.yielding and neighbours.share == 0.0 and neighbours.others > cores - 0.5
        assert eventually(lambda: neighbours.allowed == cores), neighbours.others


def test_it_leaves_nobody_when_told_not_to_yield(tmp_path):
    with watching(tmp_path, 3, RuntimeConfig(yield_to_others=False)) as neighbours, somebody(usable_cores() + 1):
        time.sleep(2.0)
        assert neighbours.allowed == neighbours.workers == 3 and not neighbours.yielding


def test_watching_costs_little(tmp_path):
    with watching(tmp_path, 2) as neighbours:
        time.sleep(4.0)
        assert 0 < neighbours.cost < 0.02  # of a core


@pytest.mark.parametrize("container", [False, True])
def test_a_job_of_ours_beside_is_no_other(tmp_path, container):
    """Also in a container (its own process numbers), where we see nothing of it but its file and its load."""
    start = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"] if container else []
    if container and (not shutil.which("unshare") or subprocess.run([*start, "true"], check=False).returncode):
        pytest.skip("no namespaces can be made here")
    shared, apart = tmp_path / "shared", tmp_path / "apart"
    beside = subprocess.Popen(
        [*start, sys.executable, "-c", JOB, str(shared), BUSY],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert beside.stdout.readline() == "at work\n"
        with watching(shared, 2) as knows, watching(apart, 2) as knows_not:
            # its first file was written before its work began; what is told then is an average over a period
            assert eventually(lambda: any(json.loads(f.read_text())["ran"] > 0.5 for f in shared.glob(".live/*.json")))
            time.sleep(SETTINGS.yield_period_s + 3.0)
            differences = []
            for _ in range(20):
                time.sleep(0.2)
                differences.append(knows_not.others - knows.others)
            assert sum(differences) / len(differences) > 0.3
    finally:
        beside.communicate("\n", timeout=30)
    assert not list(shared.glob(".live/*.json"))  # both have ended well


def test_a_live_file_tells_who_we_are_and_goes_with_us(tmp_path):
    with watching(tmp_path, 2) as neighbours:
        (path,) = (tmp_path / ".live").glob("*.json")
        told = json.loads(path.read_text())
        assert told["pid"] == os.getpid() and told["pids"] == me() and told["workers"] == neighbours.workers
    assert not list((tmp_path / ".live").iterdir())


def test_only_living_jobs_on_this_machine_count(tmp_path):
    mine = LiveFile(tmp_path, 2, [0, 1])
    told = {**mine.job([1], Use(1.0, 1.0)).__dict__, "namespace": "another"}
    files = {
        "container": {},
        "another machine": {"boot": "another"},
        "silent": {"updated": time.time() - 60},
        "dead": {"namespace": mine.namespace, "pid": 2**22 + 1},  # beyond the highest process number
        "other cores": {"cpus": [7]},
        "of another version": {"surprise": 1},
    }
    for name, change in files.items():
        mine.folder.mkdir(exist_ok=True)
        (mine.folder / f"{name}.json").write_text(json.dumps({**told, "name": name, **change}))
    (mine.folder / "torn.json").write_text('{"name": "to')
    forgotten = mine.folder / "forgotten.json"
    forgotten.write_text("{}")
    os.utime(forgotten, (time.time() - 2e5,) * 2)
    mine.write([os.getpid()], Use(0.5, 0.5))
    assert [job.name for job in mine.beside()] == ["container"]
    assert not forgotten.exists() and (mine.folder / "silent.json").exists()


def test_two_jobs_of_ours_share_the_cores(tmp_path, monkeypatch):
    """A file stands in for an older job, and four free cores for whatever is free here."""
    monkeypatch.setattr("app.runtime.neighbours.usable_cores", lambda: 4)
    monkeypatch.setattr("app.runtime.neighbours.free_workers", lambda *_: 4)
    other = LiveFile(tmp_path, 3, sorted(os.sched_getaffinity(0)))
    other.namespace, other.name, other.started = "another", "older", 0.0
    other.write([1], Use())
    with watching(tmp_path, 4, RuntimeConfig(yield_resume_s=0.0)) as neighbours:
        assert neighbours.allowed == 2
        other.remove()
        assert eventually(lambda: neighbours.allowed == 4)


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / ".live").write_text("in the way")
    with watching(tmp_path, 2) as neighbours:
        assert neighbours.workers >= 1
