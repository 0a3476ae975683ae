"""As PID 1 of a namespace of its own, as a process in a container is: stopped as politely, and heard early."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.usefixtures("hang_ups_are_heard")
ROOT = Path(__file__).resolve().parents[2]
ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *([] if os.getuid() == 0 else ["-r"])]


def in_a_container(command, run) -> tuple[subprocess.Popen, int]:
    """The process that holds the namespace, and the job's pid as seen from outside."""
    outer = subprocess.Popen([*ALONE, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 20
    while not (children := psutil.Process(outer.pid).children()):
        assert time.monotonic() < end and outer.poll() is None, outer.communicate()[1]
        time.sleep(0.002)
    return outer, children[0].pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP])
def test_pid_1_stops_politely_and_the_same_command_goes_on(a_run, number):
    run = a_run()
    command = [
        sys.executable,
        "-m",
        "tests.runtime.slow_job",
        "--config",
        str(run.config_path),
        "--runs",
        str(run.runs),
    ]
    outer, pid = in_a_container(command, run)
    end = time.monotonic() + 30
    while not any(run.runs.glob("stages/*/shards/*/receipt.json")):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(pid, number)
    error = outer.communicate(timeout=30)[1]
    assert outer.returncode == 75 and "the same command goes on" in error, error
    again, _ = in_a_container(command, run)
    error = again.communicate(timeout=60)[1]
    assert again.returncode == 0 and "in 24 = out 24 + failed 0" in error, error


def test_pid_1_hears_a_stop_while_it_still_imports(a_run, demo):
    """A signal without a handler is lost on PID 1, so the handlers are there before anything else is loaded."""
    run = a_run()
    command = [sys.executable, "-X", "importtime", "-m", "jobs.prepare", "--config", str(run.config_path)]
    outer, pid = in_a_container([*command, "--runs", str(run.runs), "--data", str(demo)], run)
    seen = ""
    while "pydantic" not in seen:  # the config is being imported: long before the job's own first line
        line = outer.stderr.readline()
        assert line, seen
        seen += line
    os.kill(pid, signal.SIGTERM)
    error = seen + outer.communicate(timeout=30)[1]
    assert outer.returncode == 75, error[-2000:]
    assert not list(run.runs.glob("stages/*/shards/*"))
