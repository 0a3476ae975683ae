"""Shows the end of a job's log and follows it, across rotations too: make logs JOB=extract.

RUN (default: the name of CONFIG, or else the newest run), JOB (default: the newest log; of a job
in parts, those of all; all: every log of the run), LINES=50, FOLLOW=0 to only look. Python 3.8
or later, standard library only.
"""

import glob
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from app.host.env_file import take_up  # noqa: E402


def main():
    take_up(os.path.join(ROOT, ".env"))
    env = os.environ.get
    runs, job = env("RUNS") or "runs", env("JOB")
    lines, follow = env("LINES") or "50", env("FOLLOW") or "1"
    os.chdir(ROOT)
    if not lines.isdigit() or follow not in ("0", "1"):
        return _refuse("LINES=%s FOLLOW=%s" % (lines, follow), "LINES=50 FOLLOW=1: a number, and 0 or 1")
    run, logs = logs_of(runs, env("RUN"), env("CONFIG"))
    if not logs:
        others = sorted({path.split(os.sep)[-3] for path in glob.glob(os.path.join(runs, "*", "logs", "*.log"))})
        return _refuse(
            "run %s has no logs in %s" % (run, runs) if run else "no job has left a log in %s" % runs,
            "RUN=NAME; runs that have some: %s" % (", ".join(others) or "none"),
        )
    names = {os.path.basename(path)[: -len(".log")]: path for path in logs}
    mine = [names[name] for name in sorted(names) if name == job or name.startswith("%s.part-" % job)]
    if job and job != "all" and not mine:
        return _refuse("run %s has no log of %s" % (run, job), "JOB=NAME; it has: %s" % ", ".join(sorted(names)))
    chosen = sorted(logs) if job == "all" else mine if job else [logs[-1]]
    if not job:
        print("run %s: %s" % (run, chosen[0]), file=sys.stderr, flush=True)
    words = ["tail", "-n", lines] + (["-F"] if follow == "1" else []) + chosen
    try:
        os.execvp(words[0], words)
    except OSError as error:
        return _refuse("tail: %s" % error.strerror, "sudo apt-get install coreutils")


def logs_of(runs, run, config):
    """(run, its logs, the newest last). A run that is asked for by name is not replaced by another."""
    asked = run or (os.path.splitext(os.path.basename(config))[0] if config else None)
    named = _logs(runs, asked or "default")
    if named or asked:
        return asked or "default", named
    newest = _logs(runs, "*")
    if not newest:
        return None, []
    run = newest[-1].split(os.sep)[-3]
    return run, _logs(runs, run)


def _logs(runs, run):
    pattern = os.path.join(glob.escape(runs), run if run == "*" else glob.escape(run), "logs", "*.log")
    return sorted(glob.glob(pattern), key=os.path.getmtime)


def _refuse(what, fix):
    print("logs: %s\n  fix: %s" % (what, fix), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
