"""A job's session weighs less than others', and only its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group by session")
def test_the_session_is_lowered_and_no_other():
    before = AUTOGROUP.read_text()
    code = "from app.runtime.autogroup import lower_autogroup; lower_autogroup(19);"
    code += "print(open('/proc/self/autogroup').read())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True
    )
    assert done.stdout.strip().endswith("nice 19")
    assert AUTOGROUP.read_text() == before and before.split()[0] not in done.stdout


def test_a_kernel_without_it_is_no_error(monkeypatch):
    from app.runtime import autogroup

    monkeypatch.setattr(autogroup, "Path", lambda path: Path("/nowhere") / path.lstrip("/"))
    autogroup.lower_autogroup(19)
