"""Only a late second INT cuts a job short."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
