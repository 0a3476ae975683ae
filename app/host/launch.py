"""Runs jobs one after another and tells how they ended: what make calls.

    python3 app/host/launch.py prepare denoise ...

make can only exit with 0, 1 or 2, so the job's own code is told, and what to type next.
TERM and USR2 are passed on to the job, for whoever stops make means the job. Runs on
Python 3.8 or later, standard library only.
"""

import os
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STOPPED = 75


def main():
    for job in sys.argv[1:]:
        code = _run(job)
        if code == STOPPED:
            print("make %s: exit code 75, stopped; go on with the same command" % job, file=sys.stderr)
            return 2
        if code:
            print("make %s: exit code %d" % (job, code), file=sys.stderr)
            return 2
    return 0


def _run(job):
    python = os.path.join(ROOT, ".venv", "bin", "python")
    running = subprocess.Popen([python, "-m", "jobs." + job], cwd=ROOT)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: running.send_signal(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the job as well
    return running.wait()


if __name__ == "__main__":
    sys.exit(main())
