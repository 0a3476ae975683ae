"""A job's session weighs less than others', and only its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUTOGROUP = Path("/proc/self/autogroup")

SHOW = "print(open('/proc/self/autogroup').read().strip(), flush=True)"
JOB = f"from app.runtime.autogroup import lower_autogroup; lower_autogroup(19); {SHOW}"
# A shell of its own session: whoever runs the tests may be in none (a service that never called setsid).
SHELL = f"{SHOW}; import subprocess, sys; "
SHELL += f"subprocess.run([sys.executable, '-c', {JOB!r}], start_new_session=True, check=True); {SHOW}"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group by session")
def test_the_session_is_lowered_and_no_other():
    done = subprocess.run(
        [sys.executable, "-c", SHELL], cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True
    )
    before, job, after = done.stdout.splitlines()
    assert before.endswith("nice 0") and after == before
    assert job.endswith("nice 19") and job.split()[0] != before.split()[0]


def test_a_kernel_without_it_is_no_error(monkeypatch):
    from app.runtime import autogroup

    monkeypatch.setattr(autogroup, "Path", lambda path: Path("/nowhere") / path.lstrip("/"))
    autogroup.lower_autogroup(19)
