"""Only a late second INT cuts a job short."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.errors import Stopped
from app.runtime.stop import StopFlag

ROOT = Path(__file__).resolve().parents[2]
WAITING = """
import sys, time
from app.runtime.stop import StopFlag
stop = StopFlag()
stop.listen()
print("ready", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    if stop and "quick" in sys.argv:
        print(stop.reason); sys.exit(3)
    time.sleep(0.01)
"""


@pytest.fixture
def flag():
    return StopFlag()


@pytest.fixture
def waiting():
    jobs = []

    def start(*args: str) -> subprocess.Popen:
        job = subprocess.Popen([sys.executable, "-c", WAITING, *args], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        jobs.append(job)
        assert job.stdout.readline() == "ready\n"
        return job

    yield start
    for job in jobs:
        job.kill()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR2"])
def test_a_signal_raises_the_flag_and_is_named(waiting, name):
    job = waiting("quick")
    os.kill(job.pid, getattr(signal, name))
    assert job.communicate(timeout=10)[0].strip() == name and job.returncode == 3


def test_repeated_term_never_cuts_short(waiting):
    job = waiting()
    for _ in range(5):
        os.kill(job.pid, signal.SIGTERM)
        time.sleep(0.5)
    assert job.poll() is None


def test_a_second_int_counts_only_after_two_seconds(waiting):
    job = waiting()
    for _ in range(2):
        os.kill(job.pid, signal.SIGINT)
        time.sleep(0.3)
    assert job.poll() is None
    time.sleep(2.0)
    os.kill(job.pid, signal.SIGINT)
    assert job.wait(5) == 75


def test_a_time_that_is_up_stops_what_is_within_and_nothing_after(flag):
    with flag.for_only(0.2):
        assert not flag
        time.sleep(0.25)
        with pytest.raises(Stopped, match="its time is up"):
            flag.leave()
    assert not flag
    flag.leave()


def test_who_is_told_to_stop_when_the_time_is_up_stops(flag):
    with flag.for_only(0.0):
        assert flag and flag.reason == "its time is up"
        flag.raise_it("SIGTERM")
        flag.raise_it("SIGINT")
    assert flag and flag.reason == "SIGTERM"


BUSY = """
import sys, time
from app.runtime.stop import StopFlag
stop = StopFlag()
stop.listen()
stop.watch(0.3)
with stop.for_only(0.1):
    if "told" in sys.argv:
        stop.raise_it("SIGTERM")
    time.sleep(2.0)
    print(stop.reason)
"""


@pytest.mark.parametrize(("words", "code", "said"), [((), 0, "its time is up\n"), (("told",), 75, "")])
def test_time_that_is_up_lets_a_long_step_end_and_a_signal_does_not(words, code, said):
    done = subprocess.run(
        [sys.executable, "-c", BUSY, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, said)


def test_a_flag_that_was_up_stays_up(flag):
    flag.raise_it("SIGTERM")
    with flag.for_only(0.0):
        assert flag.reason == "SIGTERM"
    assert flag
