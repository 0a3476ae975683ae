"""Room, rights, quota, locks, renames and clock of the disks that jobs use: rows (verdict, what, text, fix).

Tries, and does not believe. Python 3.8, standard library only.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time

from app.host.ask import ask

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDED_GB = 7.0  # free disk for the packages; the recordings' share comes on top
SHM_GB = 0.5
SKEW_S = 5.0  # between this clock and that of the disk's server
OLDEST_NOW = 1767225600  # 2026-01-01: a clock before it is wrong


def room_rows(runs):
    for what, path in (("project", ROOT), ("runs", runs)):
        path = nearest(path)
        free = shutil.disk_usage(path).free / 1e9
        if not os.access(path, os.W_OK):
            yield "mend", what, "no right to write in %s" % path, "RUNS=FOLDER: one that you may write to"
        elif free < NEEDED_GB:
            yield "note", what, "%.1f GB free (%s): little, make room before large corpora" % (free, path), ""
        else:
            yield "ok", what, "%.1f GB free (%s)" % (free, path), ""
    yield from quota_rows(ask(["quota", "-w", "-p"])[1])  # over the quota it fails, and says so all the same
    try:
        free = shutil.disk_usage("/dev/shm").free / 1e9
        text = "%.1f GB free in /dev/shm%s" % (free, "" if free > SHM_GB else ": little")
        yield "ok" if free > SHM_GB else "note", "shm", text, "" if free > SHM_GB else "in a container: SHM=1g in .env"
    except OSError:
        yield "mend", "shm", "there is no /dev/shm", "the administrator mounts it: workers share memory there"


def quota_rows(text):
    """text: what `quota -w -p` says; blocks are kB, soft and hard limits 0 where there are none."""
    for line in text.splitlines()[2:]:
        words = line.split()
        numbers = [word.rstrip("*") for word in words[1:4]]
        if len(numbers) < 3 or not all(number.isdigit() for number in numbers):
            continue
        used, most = int(numbers[0]) / 1e6, int(numbers[2] if int(numbers[2]) else numbers[1]) / 1e6
        if not most:
            continue
        text, fix = "%.1f of %.1f GB used on %s" % (used, most, words[0]), "free space, or RUNS=FOLDER on another disk"
        if used >= most:
            yield "mend", "quota", text, fix
        else:
            little = most - used < NEEDED_GB
            yield "note" if little else "ok", "quota", text, fix if little else ""


def tried_rows(runs):
    """What the file system of RUNS does, tried in a folder that is gone afterwards."""
    place = nearest(runs)
    folder = os.path.join(place, ".doctor-%d" % os.getpid())
    try:
        os.mkdir(folder)
    except OSError as error:
        yield "note", "locks", "cannot be tried in %s (%s)" % (place, error.strerror), ""
        return
    try:
        works = _locks(os.path.join(folder, "lock"))
        text = "work in %s" if works else "do not work in %s: two jobs on one stage cost time, the data stay right"
        yield "ok" if works else "note", "locks", text % place, ""
        why = _renames(folder)
        fix = "RUNS=FOLDER on another disk: shards are committed by a rename"
        yield "mend" if why else "ok", "renames", why or "whole or not at all in %s" % place, fix if why else ""
        skew = _skew(os.path.join(folder, "clock"))
        if time.time() < OLDEST_NOW:
            yield "mend", "clock", "it is %s here, which cannot be" % time.strftime("%F"), "set the clock (NTP)"
        elif abs(skew) > SKEW_S:
            text = "the disk's clock is %.0f s %s of ours: states in `make status` look older or newer than they are"
            yield "note", "clock", text % (abs(skew), "ahead" if skew > 0 else "behind"), "the administrator: NTP"
        else:
            yield "ok", "clock", "%s, and the disk of RUNS agrees" % time.strftime("%F %T %Z"), ""
    except OSError as error:
        yield "mend", "disk", "%s: %s" % (place, error.strerror), "RUNS=FOLDER on another disk"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nearest(path):
    """The folder itself, or the nearest above it that is there."""
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _locks(path):
    """One process locks a file, another must be refused."""
    code = "import fcntl,sys; fcntl.flock(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        second = subprocess.run([sys.executable, "-c", code, path], stderr=subprocess.DEVNULL, check=False)
    return second.returncode != 0


def _renames(folder):
    """Why a folder cannot be renamed onto a free name, whole, and onto a taken one never; "" where all is well."""
    first, second, name = (os.path.join(folder, part) for part in ("first", "second", "name"))
    for draft in (first, second):
        os.mkdir(draft)
        with open(os.path.join(draft, "file"), "w") as file:
            file.write(draft)
            file.flush()
            os.fsync(file.fileno())
    try:
        os.rename(first, name)
    except OSError as error:
        return "a folder cannot be renamed here (%s)" % error.strerror
    try:
        os.rename(second, name)
        return "a folder was renamed onto another one that is not empty"
    except OSError as error:
        return "" if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else "renames fail with %s" % error.strerror


def _skew(path):
    """Seconds by which the disk's clock is ahead of ours."""
    before = time.time()
    with open(path, "w") as file:
        file.write("x")
    made, after = os.stat(path).st_mtime, time.time()
    return 0.0 if before - 1 <= made <= after + 1 else made - after
