"""The log of what runs detached: all output goes there, and it is copied away when it has grown large."""

import fcntl
import os
import shutil
import signal

LOG_BYTES, LOG_LOOK_S = 10 << 20, 60.0  # copied to LOG.1 beyond, looked at so often


def write_into(log):
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
