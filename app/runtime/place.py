"""A folder that one job has for itself while it works there: a lock, a status, and ears for STOP."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import Pruned, Stopped, UserError
from app.runtime.files import clear_torn, here
from app.runtime.locks import take_lock
from app.runtime.run import Run
from app.runtime.status import ALIVE, Status, read_status


@contextmanager
def placed(run: Run, folder: Path, status: Status, say: Callable[[str], None]) -> Iterator[bool]:
    """One at a time: a second is refused, naming host and progress of the first. Parts are at it beside each other.

    Gives whether nobody else is at it for sure (not all file systems have locks). On leaving, the status says done,
    stopped or failed; to start it is the job's.
    """
    run.stop.leave()
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / "lock", shared=run.part is not None)
    if lock is None:
        raise _already(folder, status.values)
    if run.part:
        status.rename(run.part.name)
    elif not lock.works:
        # each needs a status of its own
        status.rename(f"{here()}-{os.getpid()}")
    alone = lock.works and not run.part
    clear_torn(folder, is_ours=alone)
    for torn in (folder / "status", *(run.folder / name for name in ("", "scores", "models", "stages"))):
        clear_torn(torn)
    if not run.part:  # it may be meant for those beside us
        (folder / "STOP").unlink(missing_ok=True)
    run.stop.folders.append(folder)

    def too_late() -> None:
        status.end("stopped", f"{run.stop.reason}; {run.stop.cut_short}")
        say(f"stopped ({run.stop.reason}): {run.stop.cut_short}; what is committed is kept")

    run.stop.at_the_end.append(too_late)
    try:
        if not lock.works:
            say("the locks of this disk do not work: should another job be at it, nothing is lost but time")
        yield alone
        status.end("done")
    except Pruned as pruned:  # as it was meant: the job goes on
        status.end("done", str(pruned))
        raise
    except Stopped as stopped:
        status.end("stopped", str(stopped))
        raise
    except BaseException as error:
        status.end("failed", str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise
    finally:
        run.stop.at_the_end.remove(too_late)
        run.stop.folders.remove(folder)
        if not run.part:
            with contextlib.suppress(OSError):
                (folder / "STOP").unlink(missing_ok=True)
        os.close(lock.handle)


def _already(folder: Path, mine: dict[str, Any]) -> UserError:
    other = next((status for status in read_status(folder) if status["state"] in ALIVE), None)
    if other is None:  # it has just begun, or cannot write
        return UserError(
            f"{mine['label']} is already running: somebody holds {folder / 'lock'}", "wait for it (`make status`)"
        )
    progress = f": {other['done']} of {other['total']} {other['unit']} done" if other["total"] else ""
    return UserError(
        f"{mine['label']} is already running for run {other['run']} on {other['host']} (process {other['pid']}) since "
        f"{time.strftime('%F %T', time.localtime(other['started']))}{progress}",
        f"wait for it (`make status`), or stop it first (`make stop JOB={mine['job']} RUN={other['run']}`)",
    )
