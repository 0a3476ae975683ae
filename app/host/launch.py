"""Runs jobs one after another and tells how they ended: what make calls.

    python3 app/host/launch.py prepare denoise ...

make can only exit with 0, 1 or 2, so the job's own code is told, and what to type next.
Whoever stops make means the job and those after it: a stop signal is passed on, and no
further job is begun. Runs on Python 3.8 or later, standard library only.
"""

import os
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STOPPED = 75
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


def main():
    stops: list = []
    running: list = []

    def on_signal(number, frame):
        stops.append(number)
        if running and len(stops) == 1:
            # not INT, which a terminal sends to the job as well: a second one would cut its save short
            running[0].send_signal(signal.SIGTERM)

    for number in SIGNALS:
        signal.signal(number, on_signal)
    for job in sys.argv[1:]:
        code = STOPPED if stops else _run(job, running)
        if stops or code == STOPPED:
            print("make %s: exit code 75, stopped; go on with the same command" % job, file=sys.stderr)
            return 2
        if code:
            print("make %s: exit code %d" % (job, code), file=sys.stderr)
            return 2
    return 0


def _run(job, running):
    python = os.path.join(ROOT, ".venv", "bin", "python")
    # deaf to INT until the job listens itself: no traceback out of an import
    start = [python, "-m", "jobs." + job]
    running[:] = [subprocess.Popen(start, cwd=ROOT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))]
    code = running[0].wait()
    del running[:]
    return code


if __name__ == "__main__":
    sys.exit(main())
