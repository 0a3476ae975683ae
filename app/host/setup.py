"""Makes .venv with exactly the locked packages, or says what is missing and which command mends it.

    python3 app/host/setup.py          what the jobs need
    python3 app/host/setup.py dev      and what tests and lint need

Runs on a bare machine: Python 3.8 or later, standard library only. Does nothing, in
milliseconds, where all is there.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it as it stands, without a traceback

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
LOCKS = {"run": "cu130.txt", "dev": "dev.txt"}
OLDEST, BEYOND = (3, 11), (3, 14)
NEEDED_GB = 7.0  # 5.1 installed, the rest while unpacking


def main():
    sets = ["run", "dev"] if "dev" in sys.argv[1:] else ["run"]
    wanted = {name: _digest(LOCKS[name]) for name in sets}
    if all(_read(_stamp(name)) == digest for name, digest in wanted.items()):
        return 0
    made = os.path.exists(os.path.join(VENV, "bin", "pip"))
    problem = (None if made else _python_problem() or _venv_problem()) or _disk_problem()
    if problem:
        sys.stderr.write("setup: %s\n  fix: %s\n" % problem)
        return 2
    print("setup: %s (once; about 5 GB, some minutes on a slow line)" % os.path.relpath(VENV), file=sys.stderr)
    uv = os.path.join(VENV, "bin", "uv")
    steps = [
        [os.path.join(VENV, "bin", "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", _lock("uv.txt")]
    ]
    if not made:
        steps.insert(0, [sys.executable, "-m", "venv", "--clear", VENV])
    for name in sets:
        steps.append([uv, "pip", "install", "-q", "--python", VENV, "--require-hashes", "-r", _lock(LOCKS[name])])
    environment = dict(os.environ, UV_HTTP_TIMEOUT="300", UV_COMPILE_BYTECODE="1")
    environment.pop("VIRTUAL_ENV", None)
    for step in steps:
        done = subprocess.run(step, env=environment, check=False)
        if done.returncode:
            sys.stderr.write(
                "setup: this failed: %s\n  fix: mend what it says above (network? disk?), then run the same again; "
                "to start afresh: rm -r %s\n" % (" ".join(step), VENV)
            )
            return 2
    for name, digest in wanted.items():
        with open(_stamp(name), "w") as file:
            file.write(digest)
    return 0


def _python_problem():
    version = sys.version_info[:2]
    if OLDEST <= version < BEYOND:
        return None
    others = [n for n in ("python3.11", "python3.12", "python3.13") if shutil.which(n)]
    fix = (
        "make PYTHON=%s ..." % others[0]
        if others
        else (
            "sudo apt-get install python3.11 python3.11-venv (Debian 12, Ubuntu 22.04), then make PYTHON=python3.11 ..."
        )
    )
    return "Python %d.%d is not between 3.11 and 3.13" % version, fix


def _venv_problem():
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart, in python3-venv
        import venv  # noqa: F401
    except ImportError:
        package = "python%d.%d-venv" % sys.version_info[:2]
        return "this Python cannot make virtual environments", "sudo apt-get install %s" % package
    return None


def _disk_problem():
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb >= NEEDED_GB or os.path.exists(_stamp("run")):
        return None
    return "%.1f GB free in %s, the packages need %.0f" % (free_gb, ROOT, NEEDED_GB), "free some disk space"


def _digest(lock):
    return hashlib.sha256(_read(_lock(lock)).encode()).hexdigest()


def _stamp(name):
    return os.path.join(VENV, ".locked-" + name)


def _lock(name):
    return os.path.join(ROOT, "requirements", name)


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
