"""Whose the load is: measured on real processes."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.runtime.descendants import Descendants
from app.runtime.load import Load, LoadMeter, Use

BURN = "import time\nwhile time.process_time() < {}: pass"


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def meter() -> LoadMeter:
    return LoadMeter(os.sched_getaffinity(0), [os.getpid()])


def test_our_own_work_is_not_others():
    watching, before = meter(), time.process_time()
    burn(0.5)
    load = watching.look([os.getpid()], {})
    assert load.mine.ran == pytest.approx(time.process_time() - before, abs=0.06)
    assert load.mine.wanted >= load.mine.ran - 0.06  # it ran, and may have waited besides
    assert load.mine.ran - 0.06 < load.busy < load.seconds * len(os.sched_getaffinity(0)) + 0.06


@pytest.mark.parametrize("known", [False, True])
def test_what_an_ended_child_did_stays_ours(known):
    """Whether or not the child was seen while it lived, what it did counts once."""
    watching, before = meter(), _children_seconds()
    child = subprocess.Popen([sys.executable, "-c", BURN.format(0.6)])
    loads = []
    if known:
        time.sleep(0.3)
        loads.append(watching.look([os.getpid(), child.pid], {}))
    child.wait()
    loads.append(watching.look([os.getpid()], {}))
    assert sum(loads, Load()).mine.ran == pytest.approx(_children_seconds() - before, abs=0.1)


def test_what_a_process_did_before_we_knew_it_is_not_of_now():
    child = subprocess.Popen([sys.executable, "-c", BURN.format(0.5) + "\ntime.sleep(60)"])
    try:
        while _seconds(child.pid) < 0.5:
            time.sleep(0.05)
        watching = meter()
        time.sleep(0.2)
        assert watching.look([os.getpid()], {"beside": [child.pid]}).beside.ran < 0.1
    finally:
        child.kill()
        child.wait()


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@pytest.mark.parametrize(("state", "stand_ready"), [("S", 4), ("D", 3)])
def test_who_waits_for_a_disk_stands_ready_unless_it_is_ours(monkeypatch, state, stand_ready):
    """What the kernel tells is made up: a disk so slow that somebody always waits for it cannot be had."""
    ticks = iter(range(0, 100, 10))

    def stat(path):
        return f"cpu0 0 0 0 {next(ticks)} 0 0 0 0 0 0\nprocs_running 2\nprocs_blocked 3\n".encode()

    def of_process(path):
        return (
            f"7 (a job) {state} 1 7 7 0 -1 0 0 0 0 0 {' '.join('0' * 40)}".encode() if path.endswith("/7/stat") else b""
        )

    monkeypatch.setattr("app.runtime.load.read", stat)
    monkeypatch.setattr("app.runtime.load.read_or_nothing", of_process)
    watching = LoadMeter([0], [7])
    watching.glance()
    load = watching.look([7], {})
    assert load.runnable / load.seconds == pytest.approx(stand_ready)  # one ran beside us, three waited


def test_only_the_cores_we_may_use_count():
    one = LoadMeter([min(os.sched_getaffinity(0))], [os.getpid()])
    burn(0.3)
    load = one.look([os.getpid()], {})
    assert load.busy <= load.seconds + 0.05


@pytest.mark.parametrize(
    ("busy", "runnable", "ran", "wanted", "others"),
    [
        (2.0, 3.0, 1.0, 1.0, 2.0),  # two of theirs crowd one core, since our group weighs as much as theirs
        (2.0, 3.0, 1.33, 2.0, 1.0),  # one of theirs beside two of ours, of equal weight
        (2.0, 3.0, 1.01, 2.0, 1.0),  # the same, ours weighing next to nothing
        (2.0, 4.0, 1.0, 2.0, 2.0),
        (0.4, 0.4, 0.0, 0.0, 0.4),
        (0.1, 3.0, 0.0, 0.0, 0.2),  # many stood ready at one moment, and did nothing
        (2.0, 2.0, 2.0, 4.0, 0.0),  # four threads of ours on two cores: nobody else
        (1.0, 1.0, 1.2, 1.2, 0.0),  # the clocks differ a little
    ],
)
def test_what_others_would_use_without_us(busy, runnable, ran, wanted, others):
    seconds = 0.5
    load = Load(seconds, busy * seconds, runnable * seconds, Use(ran, wanted) * seconds)
    assert load.others(Use()) == pytest.approx(others)
    # the same work, of a job of ours that we know by its file only
    unseen = Load(seconds, busy * seconds, runnable * seconds)
    assert unseen.others(Use(ran, wanted)) == pytest.approx(others)


def test_descendants_are_found_as_they_come_and_go():
    family = Descendants()
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    before = family()  # this process, and what other tests of it have started
    assert os.getpid() in before
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    grandchild = int(child.stdout.readline())
    assert family() == before | {child.pid, grandchild}
    child.kill()
    child.wait()
    child.stdout.close()  # the grandchild holds it open
    assert family() == before | {grandchild}  # it has outlived its parent, and stays ours
    os.kill(grandchild, 9)
    while Path(f"/proc/{grandchild}").exists():
        time.sleep(0.02)
    assert family() == before
