"""Starts jobs that outlive the login, and tells how to follow and to stop them: DETACH=1 make JOB.

As a user unit of systemd where lingering is allowed, else in a session of its own that is
deaf to HUP; then it says whether this system ends such processes at logout. Python 3.8 or
later, standard library only.
"""

import fcntl
import getpass
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT)
from app.host.ask import said  # noqa: E402

FIRST_S = 4.0  # what goes wrong at once goes wrong within this, and is shown
PASSED_ON = (
    "CONFIG", "RUN", "DATA", "RUNS", "WORKERS", "DEVICE", "INPUT", "FINAL", "CSV", "PLOT", "GPU", "GPUS", "MAX_GPUS",
    "BUDGET", "N", "TORCH_HOME", "RUNNER", "GPU_LOCKS", "UMASK", "CUDA", "VENV_DIR",
    "PART", "NODE", "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip
OF_MAKE = ("DETACH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


def main():
    jobs = sys.argv[1:]
    config = os.environ.get("CONFIG") or os.path.join("configs", "default.yaml")
    run = os.environ.get("RUN") or os.path.splitext(os.path.basename(config))[0]
    runs = os.environ.get("RUNS") or "runs"
    os.chdir(ROOT)
    if not os.path.isfile(config):
        return _refuse("%s: no such config" % config, "CONFIG=FILE")
    if not re.match(r"\w[\w.-]*\Z", run) or run == "stages":
        return _refuse("RUN=%s is no name for a run" % run, "use letters, digits, '.', '-' and '_': RUN=...")
    folder = os.path.join(runs, run, "logs")
    try:
        os.makedirs(folder, exist_ok=True)
        log, begin = _free_log(folder)
    except OSError as error:
        return _refuse("%s: %s" % (folder, error.strerror), "choose another place with RUNS=...")
    name = jobs[0] if len(jobs) == 1 else "all"
    inner = [sys.executable, os.path.join(HERE, "launch.py"), "--into", os.path.abspath(log), *jobs]
    if lingers():
        unit = "moksori-%s-%s-%d" % (re.sub(r"[^A-Za-z0-9_.-]", "_", run), name, os.getpid())
        code, what, stop, note = _as_unit(inner, unit, log, begin)
    else:
        code, what, stop, note = _as_session(inner)
    if code:
        print("make %s: it ended at once; the end of its log (%s):" % (name, log), file=sys.stderr)
        sys.stderr.write(_tail(log, begin))
        if not begin:  # it is all told, and would be taken for the end of what goes on beside it
            os.unlink(log)
        return 2
    which = "RUN=%s%s" % (run, " RUNS=%s" % runs if os.environ.get("RUNS") else "")
    print("detached: %s of run %s, %s" % (name, run, what))
    whole = os.path.basename(log)[: -len(".log")]
    print("  follow: make logs JOB=%s %s" % (name if name != "all" else whole, which))
    print("  state:  make status %s" % which)
    print("  stop:   make stop JOB=%s %s   (or %s)" % (name, which, stop))
    print("  log:    %s" % log)
    if note:
        print("  note:   %s" % note)
    return 0


def _free_log(folder):
    """(log, its size): the first of detached.log, detached-2.log, ... that launch.py has not locked to write into."""
    for number in range(1, 100):
        path = os.path.join(folder, "detached%s.log" % ("-%d" % number if number > 1 else ""))
        with open(path, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError:
                pass  # a disk without locks
            return path, file.tell()
    return path, os.path.getsize(path)


def lingers():
    """Whether a user unit of systemd goes on after we log out."""
    if not all(shutil.which(tool) for tool in ("systemctl", "loginctl", "systemd-run")):
        return False
    return (
        _asked(["systemctl", "--user", "show-environment"]) is not None
        and _asked(["loginctl", "show-user", _user(), "-p", "Linger"]) == "Linger=yes"
    )


def ends_at_logout(root="/"):
    """KillUserProcesses of systemd's logind: True, False, or None where it cannot be known."""
    if not os.path.isdir(os.path.join(root, "run/systemd/system")):
        return False  # no systemd, no logind
    places = ("usr/lib/systemd", "run/systemd", "etc/systemd")  # what comes later counts more
    mains = [os.path.join(root, place, "logind.conf") for place in places]
    drops = {}
    for place in places:
        for path in glob.glob(os.path.join(root, place, "logind.conf.d", "*.conf")):
            drops[os.path.basename(path)] = path
    found = None
    for path in mains + [drops[name] for name in sorted(drops)]:
        try:
            with open(path) as file:
                text = file.read()
        except OSError:
            continue
        # systemd's own file shows its built-in values, commented out
        for mark in ("#", ""):
            for value in re.findall(r"(?mi)^%s\s*KillUserProcesses\s*=\s*(\w+)" % mark, text):
                found = value.lower() in ("yes", "true", "on", "1")
    return found


def _as_unit(inner, unit, log, begin):
    words = ["systemd-run", "--user", "--unit=" + unit, "--collect", "--nice=19", "--working-directory=" + ROOT]
    # TERM goes to the launcher alone, which passes it on; what is left is killed after the grace
    words += ["-p", "KillMode=mixed", "-p", "TimeoutStopSec=90"]
    for name in PASSED_ON:
        if os.environ.get(name):
            words += ["-E", "%s=%s" % (name, os.environ[name])]
    done = subprocess.run(
        words + inner, env=_environment(), stderr=subprocess.PIPE, universal_newlines=True, check=False
    )
    if done.returncode:
        with open(log, "a") as file:
            file.write("systemd-run: %s\n" % done.stderr.strip())
        return 2, "", "", None
    code, what, end = 0, "systemd user unit %s" % unit, time.monotonic() + FIRST_S
    while time.monotonic() < end:
        if _asked(["systemctl", "--user", "is-active", unit]) is None:  # it is gone: its log says how
            code = 2 if re.search(r"(?m)^make \S+: (exit code|killed)", _tail(log, begin, 1 << 20)) else 0
            what += ", which has ended already: all is done"
            break
        time.sleep(0.3)
    return code, what, "systemctl --user stop %s" % unit, None


def _as_session(inner):
    process = subprocess.Popen(
        inner,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        start_new_session=True,
    )
    what = "process %d" % process.pid
    try:
        code = process.wait(FIRST_S)
        what += ", which has ended already: all is done"
    except subprocess.TimeoutExpired:
        code = 0
    note, kills = None, ends_at_logout()
    if kills is not False:
        note = (
            "this system ends it at logout (KillUserProcesses=yes in logind.conf)"
            if kills
            else "a system with KillUserProcesses=yes in logind.conf ends it at logout; how it is here cannot be read"
        )
        note += "; ask for `loginctl enable-linger %s`: DETACH=1 is then a unit that stays" % _user()
    return code, what, "kill %d" % process.pid, note


def _environment():
    known = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    place = "/run/user/%d" % os.getuid()
    if "XDG_RUNTIME_DIR" not in known and os.path.isdir(place):  # after su, or from cron
        known["XDG_RUNTIME_DIR"] = place
    return known


def _asked(words):
    return said(words, seconds=5, env=_environment())


def _tail(log, begin, most=4000):
    """What was written to `log` from byte `begin` on, at most the last `most` bytes."""
    with open(log, "rb") as file:
        file.seek(max(begin, os.path.getsize(log) - most))
        return file.read().decode("utf-8", "replace")


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _refuse(what, fix):
    print("make: %s\n  fix: %s" % (what, fix), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
