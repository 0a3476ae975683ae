"""Paths of this machine as a container sees them: what CONFIG, INPUT, OUT and ARCHIVE name, and links within DATA."""

import os
import sys

from app.host.images import refuse
from app.host.settings import make_folder

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# the top of an image, which a corpus may not hide
OURS = ("", "bin", "boot", "dev", "etc", "given", "lib", "lib64", "opt", "proc", "run", "runs", "sbin", "sys", "usr")


def options_for_paths(run):
    """Options that give the container what CONFIG, INPUT, OUT and ARCHIVE name on this machine; None: told why not."""
    options = []
    for name, folder, mode in (
        ("CONFIG", "/given/config", "ro"),
        ("INPUT", "/given/input", "ro"),
        ("ARCHIVE", "/given/archive", "ro"),
        ("OUT", "/given/out", "rw"),
    ):
        path = os.environ.get(name)
        if not path:
            continue
        if (name, path) == ("INPUT", "-"):
            refuse("INPUT=-: a container gets no pipe", "save it as a file, or RUNNER=local")
            return None
        full = os.path.realpath(os.path.join(ROOT, path))
        if mode == "ro" and not os.path.exists(full):
            refuse("%s=%s: no such file or folder" % (name, path), "%s=PATH: one that is there" % name)
            return None
        if ":" in full:
            refuse("%s=%s: Docker cannot mount a path with a colon" % (name, path), "%s=PATH: without one" % name)
            return None
        if mode == "rw":
            try:
                make_folder(os.path.dirname(full))
            except OSError as error:
                refuse("%s=%s: %s" % (name, path, error.strerror), "%s=FILE: in a place of yours" % name)
                return None
        options += _seen(name, full, folder, mode)
    if os.environ.get("CONFIG") and not os.environ.get("RUN"):
        options += ["-e", "RUN=" + run]  # a link's name, not that of what it points to
    return options + _linked(os.environ["DATA"])


def _linked(data):
    """-v for each link at the top of DATA to a folder elsewhere: a corpus that is linked there is seen there."""
    options, home = [], os.path.realpath(data)
    for entry in sorted(os.listdir(data)):
        link = os.path.join(data, entry)
        place = os.path.realpath(link)
        if not os.path.islink(link) or not os.path.isdir(place) or (place + "/").startswith(home + "/"):
            continue
        # where the link leads to from /data, whatever lies behind it here
        seen = os.path.normpath(os.path.join("/data", os.readlink(link)))
        if ":" in place + seen or seen.split("/")[1] in OURS:
            print("docker: a container does not see %s -> %s\n  fix: link it elsewhere" % (link, seen), file=sys.stderr)
            continue
        options += ["-v", "%s:%s:ro" % (place, seen)]
    return options


def _seen(name, full, place, mode):
    """-e NAME=path within the container, and -v where it lies outside of what is mounted anyway."""
    mounts = ((os.environ["RUNS"], "/runs"), (os.environ["DATA"], "/data"), (os.path.join(ROOT, "configs"), "configs"))
    for host, inside in mounts:
        host = os.path.realpath(host)
        if full == host or full.startswith(host.rstrip("/") + "/"):
            if mode == "rw" and inside != "/runs":
                continue
            return ["-e", "%s=%s" % (name, os.path.normpath(os.path.join(inside, os.path.relpath(full, host))))]
    folder, last = (full, "") if os.path.isdir(full) else os.path.split(full)
    return ["-v", "%s:%s:%s" % (folder, place, mode), "-e", "%s=%s" % (name, os.path.join(place, last))]
