"""The command of runtime.notify hears how a job ended; whatever it does costs the job nothing."""

import os
import time
from pathlib import Path

import pytest

from app.runtime.notify import notify


@pytest.fixture
def tell(tmp_path):
    def call(command, **more):
        known = {"job": "extract", "run": "demo", "state": "done", "summary": "in 5 = out 5", "folder": tmp_path}
        return notify(command, **{**known, **more})

    return call


def test_the_command_reads_what_happened_from_its_environment(tell, tmp_path):
    out = tmp_path / "out"
    command = (
        f'printf "%s|" "$MOKSORI_JOB" "$MOKSORI_RUN" "$MOKSORI_STATE" "$MOKSORI_SUMMARY" "$MOKSORI_FOLDER" > {out}'
    )
    assert tell(command) is None
    assert out.read_text() == f"extract|demo|done|in 5 = out 5|{tmp_path}|"


def test_no_command_is_no_news(tell):
    assert tell(None) is None and tell("") is None


def test_a_name_is_never_a_command(tell, tmp_path):
    out, mark = tmp_path / "out", tmp_path / "mark"
    nasty = f"$(touch {mark}) `touch {mark}`; touch {mark} \"' \n목소리 \0"
    assert tell(f'printf %s "$MOKSORI_RUN" > {out}', run=nasty, summary=nasty) is None
    assert not mark.exists() and out.read_text() == nasty.replace("\0", "")


def test_a_command_that_fails_is_noted_with_its_last_line(tell):
    assert tell("echo first; echo no such channel >&2; exit 7") == (
        "runtime.notify failed with exit code 7: no such channel"
    )
    assert tell("exit 1") == "runtime.notify failed with exit code 1"
    assert "exit code 127" in tell("no-such-command-here")


def test_a_command_that_hangs_is_ended_with_all_it_started(tell, tmp_path):
    pid = tmp_path / "pid"
    note = tell(f"sleep 600 & echo $! > {pid}; wait", patience_s=1.0)
    assert "ended" in note and "1 s" in note
    child = int(pid.read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_it_leaves_behind_does_not_hold_us(tell, tmp_path):
    pid = tmp_path / "pid"
    began = time.monotonic()
    assert tell(f"sleep 30 & echo $! > {pid}", patience_s=25.0) is None
    assert time.monotonic() - began < 20
    os.kill(int(pid.read_text()), 9)


def test_it_has_a_session_of_its_own(tell, tmp_path):
    out = tmp_path / "out"
    assert tell(f"ps -o sid= -p $$ > {out} || cut -d' ' -f6 /proc/$$/stat > {out}") is None
    assert int(out.read_text()) != os.getsid(0)
