"""The bar at the end of a real terminal, and its absence where there is none."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONG = "/runs/a/long/path" * 8
SCRIPT = f"""
import sys, time
from app.runtime.bar import bar_at_the_end
from app.runtime.tell import tell
values = dict(done=0, total=40, unit="steps", rate=0.0, eta_s=None, state="running")
with bar_at_the_end("train crnn", lambda: values) as there:
    tell(f"bar: {{there}}")
    for n in range(40):
        values.update(done=n + 1, rate=31.25, eta_s=4000.0 - n)
        if n == 20:
            values["state"] = "yielding to others"
            tell("{LONG}")
        time.sleep(0.03)
tell("the end")
"""


def at_a_terminal(kill: bool = False) -> tuple[str, int]:
    """What it draws on one of 100 columns, and its exit code. kill: once it has drawn something."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    env, place = {**os.environ, "TERM": "xterm-256color"}, {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    job = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, **place)
    os.close(theirs)
    drawn = b""
    while True:
        if kill and b"steps" in drawn:
            job.kill()
        try:
            drawn += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    return drawn.decode(), job.wait()


def plain(drawn: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)


def test_a_terminal_sees_how_far_it_is_and_what_is_told_stays_whole():
    drawn, code = at_a_terminal()
    frames = [frame for frame in plain(drawn).split("\r") if "40 steps" in frame]
    assert code == 0 and len(frames) >= 4, drawn
    assert any(re.search(r"train crnn .*\d+/40 steps 31.2 steps/s \d+s so far eta 67m", frame) for frame in frames)
    assert any("yielding to others" in frame for frame in frames)
    assert LONG in plain(drawn) and "bar: True" in drawn  # no line feed within: the terminal itself wraps it
    left = plain(drawn).splitlines()[-1]
    assert left.endswith("the end") and "steps" not in left
    assert "\x1b[?25l" not in drawn


def test_whoever_is_killed_leaves_the_cursor():
    drawn, code = at_a_terminal(kill=True)
    assert code == -signal.SIGKILL and "steps" in drawn
    assert "\x1b[?25l" not in drawn


def test_a_pipe_gets_lines_alone():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == f"bar: False\n{LONG}\nthe end\n" and not done.stdout
