"""Runs jobs one after another and tells how they ended: what make calls.

    python3 app/host/launch.py prepare denoise ...
    python3 app/host/launch.py --into LOG prepare ...     as detach.py starts it
    python3 app/host/launch.py --codes prepare ...        in a container: the jobs' own exit codes
    python3 app/host/launch.py --tool status              what looks after jobs, in the same place as they

RUNNER says where: docker, local or slurm, from the environment, from .env, or by what answers here.
make can only exit with 0, 1 or 2, so the job's own code is told, and what to type next.
Each job has a session of its own, so that a lowered priority is the job's and not the
shell's; signals are therefore passed on here. INT, TERM, USR2 or HUP stop the job and
those after it; a second INT, 2 s or more later, ends the job at once; Ctrl-Z pauses it.
With DETACH=1 it outlives the login. Python 3.8 or later, standard library only.
"""

import signal

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
EARLY: list = []  # what came while this file was still being read
if __name__ == "__main__":
    for _number in STOPS:
        if signal.getsignal(_number) != signal.SIG_IGN or _number != signal.SIGHUP:
            signal.signal(_number, lambda number, frame: EARLY.append(number))

import os  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT)
from app.host import containers, local, log_file  # noqa: E402
from app.host.env_file import take_up  # noqa: E402
from app.host.settings import GPU_LOCKS  # noqa: E402

STOPPED = 75


def main():
    words, inside = sys.argv[1:], "--codes" in sys.argv[1:2]
    if inside:
        del words[0]
    else:
        take_up(os.path.join(ROOT, ".env"))
        os.environ.setdefault("GPU_LOCKS", GPU_LOCKS)
    log = None
    if words[:1] == ["--into"]:
        log = words[1]
        del words[:2]
    tool = words[:1] == ["--tool"]
    runner = "local" if inside else _runner()
    place = containers if runner == "docker" else local
    problem = _problem(runner, os.environ.get("DETACH", ""), tool) or place.problem(words)
    if problem:
        _say("make %s: %s\n  fix: %s" % ((" ".join(words[tool:]), *problem)))
        return 2
    if not inside and not log and not place.prepare():
        return 2
    if tool:
        return place.tool(words[1], Ear())
    if runner == "slurm":
        return place.tool("submit", Ear(), words)
    if os.environ.get("DETACH") == "1":
        return place.detach(words)
    if log:
        log_file.write_into(log)
    ear = Ear()
    for job in words:
        code = STOPPED if ear.told_at else place.run(job, ear, inside)
        if inside and code:
            return code if code > 0 else 128 - code
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


def _runner():
    """RUNNER, or Docker where an engine answers and compose is there, else here; what nobody asked for is said."""
    asked = os.environ.get("RUNNER", "")
    if asked:
        return asked
    gpus_left_out = os.environ.get("HOST_GPUS", "0") != "0" and "gpu" not in os.environ.get("COMPOSE_FILE", "")
    if not containers.answer():
        found, why = "local", "no Docker engine with compose that we may use"
    elif gpus_left_out:
        found, why = "local", "Docker gives no GPUs to containers here"
    else:
        found, why = "docker", "an engine answers; RUNNER=local: a virtual environment here"
    _say("RUNNER=%s (%s)" % (found, why))
    os.environ["RUNNER"] = found
    return found


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
            job.tell(signal.SIGTERM)

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
            self.job.tell(number, group)


def _problem(runner, detach, tool):
    if detach not in ("", "0", "1"):
        return "DETACH=%s is neither 0 nor 1" % detach, "DETACH=1 gives a job that outlives the login"
    if runner == "slurm" and not tool and not shutil.which("sbatch"):
        return "RUNNER=slurm, but there is no sbatch here", "log in where jobs are submitted; module load slurm"
    for name in ("PART", "NODE"):
        if runner == "docker" and os.environ.get(name):
            return "%s=%s does not reach a container" % (name, os.environ[name]), "RUNNER=local, or RUNNER=slurm"
    if runner != "slurm" and os.environ.get("NODES", "1") not in ("", "1"):
        return "NODES=%s is for RUNNER=slurm" % os.environ["NODES"], "by hand: NODE=0/2 on one, NODE=1/2 on the other"
    if runner not in ("docker", "local", "slurm"):
        return (
            "RUNNER=%s is no runner" % runner,
            "RUNNER=docker, RUNNER=local, RUNNER=slurm, or none: what is here is found out",
        )
    return None


def _say(line):
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass  # the terminal is gone


if __name__ == "__main__":
    sys.exit(main())
