"""Tells somebody how a job ended: runs the command in runtime.notify."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

PATIENCE_S = 10.0


def notify(
    command: str | None, *, job: str, run: str, state: str, summary: str, folder: Path, patience_s: float = PATIENCE_S
) -> str | None:
    """Runs `command` in a shell; returns what went wrong, or None where all is well (or there is no command).

    The command reads MOKSORI_JOB, _RUN, _STATE (done, failed, stopped), _SUMMARY and
    _FOLDER from its environment: names never become a part of the command line. It is
    ended after `patience_s`. Never raises.
    """
    if not command:
        return None
    values = {"JOB": job, "RUN": run, "STATE": state, "SUMMARY": summary, "FOLDER": str(folder)}
    environment = {**os.environ, **{f"MOKSORI_{name}": value.replace("\0", "") for name, value in values.items()}}
    try:
        # a file, not a pipe: a pipe stays open as long as anything that the command left behind
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                shell=True,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(patience_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return f"runtime.notify was ended: it had not come back after {patience_s:g} s"
            if code == 0:
                return None
            output.seek(max(0, output.seek(0, os.SEEK_END) - 2000))
            said = output.read().decode(errors="replace").strip().splitlines()
            return f"runtime.notify failed with exit code {code}" + (f": {said[-1][:200]}" if said else "")
    except (OSError, ValueError) as error:
        return f"runtime.notify could not be run: {type(error).__name__}"
