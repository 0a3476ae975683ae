"""System, Python, cores, memory, cgroup, packages: rows (verdict, what, text, fix) for the doctor. Python 3.8."""

import os
import platform
import sys

from app.host.pins import OLDEST_PYTHON as OLDEST
from app.host.pins import python_beyond, read_pins

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LITTLE_GB = 4.0  # memory below which jobs need fewer WORKERS


def machine_rows(pin, in_containers):
    """pin: whose Python counts; in_containers: jobs bring their own."""
    yield from _machine(pin, in_containers)
    yield from _memory()
    yield from _cgroup()
    yield from _manners()
    yield from _packages(pin)


def _machine(pin, in_containers):
    name = _match("/etc/os-release", "PRETTY_NAME=") or platform.system()
    yield "ok", "system", "%s, kernel %s, %s" % (name.strip('"'), platform.release(), platform.machine()), ""
    version = platform.python_version()
    venv = os.path.exists(os.path.join(ROOT, ".venv", "bin", "python"))
    last = python_beyond(pin)[1] - 1
    if venv or OLDEST <= sys.version_info[:2] < python_beyond(pin):
        yield "ok", "python", version, ""
    else:
        wanted = "3.11" if last == 11 else "between 3.11 and 3.%d" % last
        text = "%s; RUNNER=local with %s needs %s" % (version, pin, wanted)
        yield "note" if in_containers else "mend", "python", text, "make PYTHON=python3.11 ..."
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


def _manners():
    group = _read("/proc/self/autogroup").strip()
    on = _read("/proc/sys/kernel/sched_autogroup_enabled").strip() == "1"
    text = "%s (%s)" % (group, "on" if on else "off") if group else "none"
    yield "ok", "nice", "%d; autogroup %s" % (os.nice(0), text), ""


def _packages(pin):
    stamps = [name for name in ("run", "dev") if os.path.exists(os.path.join(ROOT, ".venv", ".locked-" + name))]
    if stamps:
        yield "ok", "packages", ".venv holds the locked packages (%s)" % ", ".join(stamps), ""
    else:
        yield "note", "packages", "not installed yet: RUNNER=local does it, %d GB" % read_pins()[pin]["gb"], ""


def memory_gb():
    return _kilobytes("MemTotal:") / 1e6


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
