"""Runs a job here, in the virtual environment; in a container, with the Python that is there."""

import ctypes
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STOPPED = 75
PR_SET_PDEATHSIG = 1


def problem(words):
    """What keeps us from running these jobs here: (what, fix), or None."""
    return None


def prepare():
    """Whether all is installed; what is missing is fetched, or told."""
    return subprocess.run([sys.executable, os.path.join(HERE, "setup.py")], check=False).returncode == 0


def tool(name, ear, words=()):
    os.chdir(ROOT)
    os.execv(_python(), [_python(), "-m", "jobs." + name, *words])


def detach(jobs):
    os.execv(sys.executable, [sys.executable, os.path.join(HERE, "detach.py"), *jobs])


def run(job, ear, inside=False):
    """The job's exit code; negative: the signal that ended it."""
    python = sys.executable if inside else _python()
    libc, launcher = ctypes.CDLL(None), os.getpid()

    def begin():
        # deaf to INT until the job listens itself: no traceback out of an import
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(libc, "prctl"):  # should this launcher be killed, its job stops politely
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != launcher:
                os._exit(STOPPED)

    process = subprocess.Popen([python, "-m", "jobs." + job], cwd=ROOT, preexec_fn=begin, start_new_session=True)
    ear.watch(Local(process))
    code = process.wait()
    ear.watch(None)
    return code


class Local:
    """A job at work here, to be told something."""

    def __init__(self, process):
        self.process = process

    def tell(self, number, group=False):
        try:
            (os.killpg if group else os.kill)(self.process.pid, number)
        except ProcessLookupError:
            pass  # it has just ended


def _python():
    return os.path.join(ROOT, os.environ.get("VENV_DIR") or ".venv", "bin", "python")
