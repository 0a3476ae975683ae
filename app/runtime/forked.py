"""What a process that the forkserver has started does first: it ends with its job, and keeps the terminal clean."""

import ctypes
import os
import signal
import sys
from multiprocessing import forkserver
from typing import Any

PR_SET_PDEATHSIG = 1


def end_with_the_forkserver() -> None:
    """Which ends when its job has, unless its children hold the pipe by which it knows, as each of them does.

    Then the kernel ends us, even where we stand still (SIGSTOP) and could not leave by ourselves.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # its death is ours
    server: Any = forkserver._forkserver  # it has no public name; we start no processes ourselves
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def hush() -> None:
    """Decoders write to the terminal, hundreds of lines for one broken file and none of them names it; we do not."""
    ours = os.fdopen(os.dup(2), "w", buffering=1, errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in (1, 2):
        os.dup2(nowhere, handle)
    os.close(nowhere)
    sys.stderr = ours
