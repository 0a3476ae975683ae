"""Makes .venv with exactly the locked packages, or says what is missing and which command mends it.

    python3 app/host/setup.py          what the jobs need
    python3 app/host/setup.py dev      and what tests and lint need

CUDA (from the environment, or as `make doctor` left it in .env) names the pin, VENV_DIR the folder.
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
sys.path.insert(0, ROOT)
from app.host.env_file import take_up  # noqa: E402
from app.host.pins import OLDEST_PYTHON as OLDEST  # noqa: E402
from app.host.pins import newest, python_beyond, read_pins  # noqa: E402

UNPACKING_GB = 2.0  # beside what is installed, for a while
LOCKS = {"run": "%s.txt", "dev": "dev.txt"}


def main():
    take_up(os.path.join(ROOT, ".env"))
    pin, venv = os.environ.get("CUDA") or newest(), venv_folder()
    if pin not in read_pins():
        return _refuse("CUDA=%s is no pin" % pin, "one of %s; `make doctor` knows which" % ", ".join(read_pins()))
    # what was installed for tests stays when a job asks again
    dev = "dev" in sys.argv[1:] or os.path.exists(_stamp(venv, "dev"))
    wanted = {name: _digest(pin, name) for name in (("run", "dev") if dev else ("run",))}
    if all(_read(_stamp(venv, name)) == digest for name, digest in wanted.items()):
        return 0
    made = os.path.exists(os.path.join(venv, "bin", "python"))
    problem = (None if made else _python_problem(pin) or _venv_problem()) or _disk_problem(pin, venv)
    if problem:
        return _refuse(*problem)
    shown = os.path.relpath(venv)
    print(
        "setup: %s for %s (once; %d GB, some minutes on a slow line)" % (shown, pin, read_pins()[pin]["gb"]),
        file=sys.stderr,
    )
    uv, python = os.path.join(venv, "bin", "uv"), os.path.join(venv, "bin", "python")
    steps = [] if made else [[sys.executable, "-m", "venv", "--clear", venv]]
    if not os.path.exists(uv):
        steps.append([python, "-m", "pip", "install", "-q", "--require-hashes", "-r", _lock("uv.txt")])
    quiet = [] if sys.stderr.isatty() else ["-q"]  # uv draws its progress on a terminal
    locks = [_lock(_lock_of(pin, name)) for name in wanted]
    # sync: what another pin has left is taken away
    steps.append([uv, "pip", "sync", *quiet, "--python", venv, "--require-hashes", *locks])
    environment = dict(os.environ, UV_HTTP_TIMEOUT="300", UV_COMPILE_BYTECODE="1")
    environment.pop("VIRTUAL_ENV", None)
    for name in wanted:  # a half-changed environment is not taken for a whole one
        if os.path.exists(_stamp(venv, name)):
            os.remove(_stamp(venv, name))
    for step in steps:
        done = subprocess.run(step, env=environment, check=False)
        if done.returncode:
            return _refuse(
                "this failed: %s" % " ".join(step),
                "mend what it says above (network? disk?), then run the same again; to start afresh: rm -r " + shown,
            )
    for name, digest in wanted.items():
        with open(_stamp(venv, name), "w") as file:
            file.write(digest)
    return 0


def venv_folder():
    return os.path.join(ROOT, os.environ.get("VENV_DIR") or ".venv")


def _refuse(what, fix):
    sys.stderr.write("setup: %s\n  fix: %s\n" % (what, fix))
    return 2


def _python_problem(pin):
    version = sys.version_info[:2]
    beyond = python_beyond(pin)
    if OLDEST <= version < beyond:
        return None
    fitting = ["python3.%d" % minor for minor in range(OLDEST[1], beyond[1])]
    others = [name for name in fitting if shutil.which(name)]
    fix = (
        "make PYTHON=%s ..." % others[0]
        if others
        else (
            "sudo apt-get install python3.11 python3.11-venv (Debian 12, Ubuntu 22.04), then make PYTHON=python3.11 ..."
        )
    )
    last = fitting[-1][len("python") :]
    wanted = "is not 3.11, which %s needs" % pin if last == "3.11" else "is not between 3.11 and %s" % last
    return "Python %d.%d %s" % (*version, wanted), fix


def _venv_problem():
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart, in python3-venv
        import venv  # noqa: F401
    except ImportError:
        package = "python%d.%d-venv" % sys.version_info[:2]
        return "this Python cannot make virtual environments", "sudo apt-get install %s" % package
    return None


def _disk_problem(pin, venv):
    needed_gb = read_pins()[pin]["gb"] + UNPACKING_GB
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb >= needed_gb or os.path.exists(_stamp(venv, "run")):
        return None
    return "%.1f GB free in %s, the packages need %.0f" % (free_gb, ROOT, needed_gb), "free some disk space"


def _digest(pin, name):
    lock = _lock_of(pin, name)
    return lock + " " + hashlib.sha256(_read(_lock(lock)).encode()).hexdigest()


def _stamp(venv, name):
    return os.path.join(venv, ".locked-" + name)


def _lock_of(pin, name):
    return LOCKS[name] % pin if "%s" in LOCKS[name] else LOCKS[name]


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
