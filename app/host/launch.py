"""Runs jobs one after another and tells how they ended: what make calls.

    python3 app/host/launch.py prepare denoise ...
    python3 app/host/launch.py --into LOG prepare ...     as detach.py starts it

make can only exit with 0, 1 or 2, so the job's own code is told, and what to type next.
Each job has a session of its own, so that a lowered priority is the job's and not the
shell's; signals are therefore passed on here. INT, TERM, USR2 or HUP stop the job and
those after it; a second INT, 2 s or more later, ends the job at once; Ctrl-Z pauses it.
With DETACH=1, detach.py takes over. Python 3.8 or later, standard library only.
"""

import signal

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
EARLY: list = []  # what came while this file was still being read
if __name__ == "__main__":
    for _number in STOPS:
        if signal.getsignal(_number) != signal.SIG_IGN or _number != signal.SIGHUP:
            signal.signal(_number, lambda number, frame: EARLY.append(number))

import ctypes  # noqa: E402
import fcntl  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STOPPED = 75
LOG_BYTES, LOG_LOOK_S = 10 << 20, 60.0  # a detached launcher's output: copied to LOG.1 beyond, looked at so often
PR_SET_PDEATHSIG = 1


def main():
    jobs = sys.argv[1:]
    problem = _problem(os.environ.get("RUNNER", ""), os.environ.get("DETACH", ""))
    if problem:
        _say("make %s: %s\n  fix: %s" % ((" ".join(jobs), *problem)))
        return 2
    if os.environ.get("DETACH") == "1":
        os.execv(sys.executable, [sys.executable, os.path.join(HERE, "detach.py"), *jobs])
    if jobs[:1] == ["--into"]:
        _write_into(jobs[1])
        del jobs[:2]
    ear = Ear()
    for job in jobs:
        code = STOPPED if ear.told_at else _run(job, ear)
        if ear.told_at or code == STOPPED:
            _say("make %s: exit code 75, stopped; go on with the same command" % job)
            return 2
        if code < 0:
            name = signal.Signals(-code).name
            _say("make %s: killed by %s; what is done is kept, the same command goes on" % (job, name))
            return 2
        if code:
            _say("make %s: exit code %d" % (job, code))
            return 2
    return 0


class Ear:
    """Passes on to the running job what this process is told."""

    def __init__(self):
        self.told_at = 0.0  # when the first stop came; 0: none yet
        self.job = None
        for number in STOPS:
            # under nohup the end of the terminal means nothing
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_stop)
        signal.signal(signal.SIGTSTP, self._on_pause)
        if EARLY and not self.told_at:
            self.told_at = time.monotonic()

    def watch(self, job):
        """`job` is the one to tell from now on; None: none runs."""
        self.job = job
        if job and self.told_at:  # told while it was being started
            job.send_signal(signal.SIGTERM)

    def _on_stop(self, number, frame):
        now = time.monotonic()
        if number == signal.SIGINT:
            self._tell(number)  # the job has a session of its own, so it hears each once, and knows what a second means
        elif not self.told_at:
            self._tell(signal.SIGTERM)
        self.told_at = self.told_at or now

    def _on_pause(self, number, frame):
        self._tell(signal.SIGSTOP, group=True)
        os.kill(os.getpid(), signal.SIGSTOP)  # here we stand until `fg`, `bg` or CONT
        self._tell(signal.SIGCONT, group=True)

    def _tell(self, number, group=False):
        if self.job:
            try:
                (os.killpg if group else os.kill)(self.job.pid, number)
            except ProcessLookupError:
                pass  # it has just ended


def _run(job, ear):
    python = os.path.join(ROOT, ".venv", "bin", "python")
    libc, launcher = ctypes.CDLL(None), os.getpid()

    def begin():
        # deaf to INT until the job listens itself: no traceback out of an import
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(libc, "prctl"):  # should this launcher be killed, its job stops politely
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != launcher:
                os._exit(STOPPED)

    process = subprocess.Popen([python, "-m", "jobs." + job], cwd=ROOT, preexec_fn=begin, start_new_session=True)
    ear.watch(process)
    code = process.wait()
    ear.watch(None)
    return code


def _problem(runner, detach):
    if detach not in ("", "0", "1"):
        return "DETACH=%s is neither 0 nor 1" % detach, "DETACH=1 gives a job that outlives the login"
    if runner in ("docker", "slurm"):
        return "RUNNER=%s does not exist yet" % runner, "leave RUNNER out, or RUNNER=local: a virtual environment here"
    if runner not in ("", "local"):
        return "RUNNER=%s is no runner" % runner, "leave RUNNER out, or RUNNER=local"
    return None


def _write_into(log):
    """Sends all output to `log`, which is copied to LOG.1 and emptied when it has grown large."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as anybody writes there: see detach.py
    except OSError:
        pass
    for output in (1, 2):
        os.dup2(handle, output)
    os.close(handle)
    signal.signal(signal.SIGALRM, lambda number, frame: empty(log, LOG_BYTES))
    signal.setitimer(signal.ITIMER_REAL, LOG_LOOK_S, LOG_LOOK_S)


def empty(log, limit):
    """Keeps the newest three parts of a log that others write to: LOG.1, LOG.2, LOG.3. Never raises."""
    try:
        if os.path.getsize(log) <= limit:
            return
        for number in (2, 1):
            if os.path.exists("%s.%d" % (log, number)):
                os.replace("%s.%d" % (log, number), "%s.%d" % (log, number + 1))
        shutil.copyfile(log, log + ".1")
        os.truncate(log, 0)  # whoever appends goes on at the start; a rename would go with him
    except OSError:
        pass  # a log is not worth a job


def _say(line):
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass  # the terminal is gone


if __name__ == "__main__":
    sys.exit(main())
