"""A checkout in miniature: the real app/ and its Python, and jobs made for a test."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.host.pins import newest

ROOT = Path(__file__).resolve().parents[2]

PATIENT = """
import os, sys, time
from pathlib import Path
from app.runtime.stop import StopFlag
stop = StopFlag()
stop.listen()
stubborn = os.environ.get("STUBBORN")
print("patient  at work", file=sys.stderr, flush=True)
Path("pid").write_text(str(os.getpid()))
Path("at-work").touch()
end = time.monotonic() + 60
while time.monotonic() < end:
    if stop and not stubborn:
        Path("reason").write_text(stop.reason)
        Path("reason").rename("stopped-by")  # whole when it is there
        sys.exit(75)
    if stop:
        Path("heard").touch()
    if Path("finish").exists():
        Path("finished").touch()
        sys.exit(0)
    time.sleep(0.02)
"""
QUICK = "from pathlib import Path; Path('quick-was-here').touch()\n"
WRONG = "import sys; print('wrong: a reason to be seen\\n  fix: mend it', file=sys.stderr); sys.exit(2)\n"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"


def make_tree(folder: Path) -> Path:
    (folder / "jobs").mkdir(parents=True)
    (folder / "configs").mkdir()
    (folder / "configs" / "default.yaml").touch()
    for name in ("app", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    lock = newest() + ".txt"
    digest = hashlib.sha256((ROOT / "requirements" / lock).read_bytes()).hexdigest()
    (folder / ".venv" / ".locked-run").write_text(f"{lock} {digest}")
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name, code in (("patient", PATIENT), ("quick", QUICK), ("wrong", WRONG), ("killed", KILLED)):
        (folder / "jobs" / f"{name}.py").write_text(code)
    return folder


def launch(tree: Path, *jobs: str, python: str = sys.executable, **env: str) -> subprocess.Popen[str]:
    """launch.py of this tree, in a process group of its own."""
    return subprocess.Popen(
        [python, str(tree / "app/host/launch.py"), *jobs],
        cwd=tree,
        env={**environment(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Ours, without what a user may have said to make."""
    theirs = {"CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL", "JOB", "DETACH", "CUDA", "STUBBORN", "LINES"}
    ours = {name: value for name, value in os.environ.items() if name not in theirs}
    return {**ours, "RUNNER": "local", "VENV_DIR": ".venv"}


def wait_for(path: Path, seconds: float = 30) -> Path:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.02)
    return path


def state_of(pid: int) -> str:
    """R, S, T (paused) ...; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_until(what, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def end(pid: int) -> None:
    """Ends a process that a test has left, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
