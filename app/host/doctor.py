"""What this machine is and gives us, with a verdict on each: make doctor.

Every line is a fact; "note" is worth knowing, "mend" keeps jobs from running and comes with
what to do. Exit code 2 where something is to be mended. Python 3.8 or later, standard library only.
"""

import fcntl
import getpass
import os
import platform
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OLDEST, BEYOND = (3, 11), (3, 14)
NEEDED_GB = 7.0  # free disk for the packages; the recordings' share comes on top
LITTLE_GB = 4.0  # memory below which jobs need fewer WORKERS


def main():
    os.chdir(ROOT)
    runs = os.environ.get("RUNS") or "runs"
    lines = [*_machine(), *_memory(), *_cgroup(), *_disks(runs), *_manners(), *_gpus(), *_tools(), *_packages()]
    lines += _locks(runs)
    fixes = 0
    for verdict, what, text, fix in lines:
        print("%-5s %-10s %s" % (verdict, what, text))
        if fix:
            print("%-16s fix: %s" % ("", fix))
        fixes += verdict == "mend"
    print("doctor: %s" % ("%d things to mend" % fixes if fixes else "nothing stands in the way"))
    return 2 if fixes else 0


def _machine():
    name = _match("/etc/os-release", "PRETTY_NAME=") or platform.system()
    yield "ok", "system", "%s, kernel %s, %s" % (name.strip('"'), platform.release(), platform.machine()), ""
    version = platform.python_version()
    venv = os.path.exists(os.path.join(ROOT, ".venv", "bin", "python"))
    if venv or OLDEST <= sys.version_info[:2] < BEYOND:
        yield "ok", "python", version, ""
    else:
        yield "mend", "python", version + " is not between 3.11 and 3.13", "make PYTHON=python3.11 ..."
    load = os.getloadavg()[0]
    usable, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    busy = load > there * 0.75
    text = "%d of %d usable, load %.1f%s" % (usable, there, load, ": others need them now" if busy else "")
    yield "note" if busy else "ok", "cores", text, ""


def _memory():
    total, free = (_kilobytes(name) / 1e6 for name in ("MemTotal:", "MemAvailable:"))
    text = "%.1f of %.1f GB free" % (free, total)
    yield "note" if free < LITTLE_GB else "ok", "memory", text + (": use few WORKERS" if free < LITTLE_GB else ""), ""


def _cgroup():
    limits = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        parts = [part for part in place.split("/") if part]
        for depth in range(len(parts) + 1):  # every ancestor's limit binds
            inner = "/".join(parts[:depth])
            if not controllers:
                folder = "/sys/fs/cgroup/" + inner
                found = [(name, _limit(folder, name)) for name in ("cpu.max", "memory.max", "pids.max")]
                limits += ["%s %s" % pair for pair in found if pair[1]]
            for controller, name in (("cpu", "cpu.cfs_quota_us"), ("memory", "memory.limit_in_bytes")):
                if controller in controllers.split(","):
                    value = _limit("/sys/fs/cgroup/%s/%s" % (controller, inner), name)
                    limits += ["%s %s" % (name, value)] if value else []
    unique = sorted(set(limits))
    yield "note" if unique else "ok", "cgroup", "; ".join(unique) or "no limit found", ""


def _limit(folder, name):
    value = _read(os.path.join(folder, name)).strip()
    unlimited = not value or value.startswith(("max", "-1")) or (value.isdigit() and int(value) >= 1 << 60)
    return None if unlimited else value


def _disks(runs):
    for what, path in (("project", ROOT), ("runs", runs)):
        while path and not os.path.exists(path):
            path = os.path.dirname(path)
        path = path or "."
        free = shutil.disk_usage(path).free / 1e9
        if not os.access(path, os.W_OK):
            yield "mend", what, "no right to write in %s" % path, "RUNS=FOLDER: one that you may write to"
        elif free < NEEDED_GB:
            yield "note", what, "%.1f GB free (%s): little, make room before large corpora" % (free, path), ""
        else:
            yield "ok", what, "%.1f GB free (%s)" % (free, path), ""


def _manners():
    group = _read("/proc/self/autogroup").strip()
    on = _read("/proc/sys/kernel/sched_autogroup_enabled").strip() == "1"
    text = "%s (%s)" % (group, "on" if on else "off") if group else "none"
    yield "ok", "nice", "%d; autogroup %s" % (os.nice(0), text), ""


def _gpus():
    if not shutil.which("nvidia-smi"):
        yield "note", "gpu", "no nvidia-smi: jobs run on the CPU", ""
        return
    fields = "index,name,memory.used,memory.total,utilization.gpu,driver_version"
    said = _asked(["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader"])
    if not said:
        yield "mend", "gpu", "nvidia-smi does not answer", "ask the administrator about the driver, or use DEVICE=cpu"
        return
    for line in said.splitlines():
        parts = [part.strip() for part in line.split(",")]
        text = "%s, %s of %s used, %s busy, driver %s" % tuple(parts[1:]) if len(parts) == 6 else line
        yield "ok", "gpu " + parts[0], text, ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield "note", "gpu", "CUDA_VISIBLE_DEVICES=%s" % visible, ""


def _tools():
    for name, words in (
        ("docker", ["docker", "info", "--format", "{{.ServerVersion}}"]),
        ("podman", ["podman", "--version"]),
        ("apptainer", ["apptainer", "--version"]),
        ("slurm", ["sinfo", "--version"]),
    ):
        if shutil.which(words[0]):
            said = _asked(words)
            text = said.splitlines()[0] if said else "is installed, but does not answer"
            yield "ok" if said else "note", name, text, ""
    if _asked(["systemctl", "--user", "show-environment"]) is None:
        yield "ok", "detached", "DETACH=1: a session of its own (no user units of systemd here)", ""
    else:
        linger = _asked(["loginctl", "show-user", getpass.getuser(), "-p", "Linger"]) == "Linger=yes"
        text = "a user unit of systemd" if linger else "a session of its own; lingering is off (loginctl enable-linger)"
        yield "ok" if linger else "note", "detached", "DETACH=1: " + text, ""


def _packages():
    stamps = [name for name in ("run", "dev") if os.path.exists(os.path.join(ROOT, ".venv", ".locked-" + name))]
    if stamps:
        yield "ok", "packages", ".venv holds the locked packages (%s)" % ", ".join(stamps), ""
    else:
        yield "note", "packages", "not installed yet: the first `make JOB` does it, 5 GB", ""


def _locks(runs):
    """Tries, and does not believe: one process locks a file where jobs will, another must be refused."""
    folder = runs
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    path = os.path.join(folder or ".", ".lock-test-%d" % os.getpid())
    code = "import fcntl,sys; fcntl.flock(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    try:
        with open(path, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            second = subprocess.run([sys.executable, "-c", code, path], stderr=subprocess.DEVNULL, check=False)
        works = second.returncode != 0
    except OSError as error:
        yield "note", "locks", "cannot be tried in %s (%s)" % (folder or ".", error.strerror), ""
        return
    finally:
        if os.path.exists(path):
            os.remove(path)
    text = "work in %s" if works else "do not work in %s: two jobs on one stage cost time, the data stay right"
    yield "ok" if works else "note", "locks", text % (folder or "."), ""


def _asked(words):
    """What a command says, or None where it fails or does not answer within 10 s."""
    try:
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _kilobytes(name):
    return float((_match("/proc/meminfo", name) or "0").split()[0])


def _match(path, start):
    return next((line[len(start) :].strip() for line in _read(path).splitlines() if line.startswith(start)), None)


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
