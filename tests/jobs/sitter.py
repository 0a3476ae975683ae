"""A job that sits at its desks and does nothing but look busy, until it is told to stop or finds its file.

SITS_AT=LABEL,LABEL names the desks; it leaves each when RUNS/go-LABEL is there. With DEAF it does not look for a stop.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from app.runtime.desk import Desk, at_work
from app.runtime.run import Run, job_main

ROOT = Path(__file__).resolve().parents[2]


def sitter(run: Run) -> None:
    """Sits."""
    for label in os.environ["SITS_AT"].split(","):
        name = label.split("-")[0]
        folder = run.folder / "models" / "crnn-123" if name == "train" else run.runs / "stages" / f"{label}-{run.name}"
        desk = Desk(run, folder, name, label)
        with at_work(desk):
            desk.status.update(total=120, done=41, clips=2050, failed=3, rate=31.4, eta_s=125)
            desk.say("at work")
            (run.runs / f"at-{label}").touch()
            while not (run.runs / f"go-{label}").exists():
                if "DEAF" not in os.environ:
                    run.stop.leave()
                time.sleep(0.02)


def sit(runs: Path, run: str, *labels: str, **env: str) -> subprocess.Popen[str]:
    """A process that sits there; returns once it does at the first desk. Its config: quick heartbeats."""
    runs.mkdir(parents=True, exist_ok=True)
    config = runs / "sitter.yaml"
    config.write_text("runtime: {nice: 0, heartbeat_s: 0.2, yield_to_others: false, grace_s: 3.0}\n")
    words = [sys.executable, "-m", "tests.jobs.sitter", "--config", str(config), "--run", run, "--runs", str(runs)]
    env = {**clean(), "SITS_AT": ",".join(labels), **env}
    process = subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(runs / f"at-{labels[0]}", process)
    return process


def wait_for(path: Path, process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, path
        assert process is None or process.poll() is None, process.communicate()[1] if process else ""
        time.sleep(0.02)


def ask(module: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A target of the Makefile that is a module of jobs, as make calls it."""
    words = [sys.executable, "-m", f"jobs.{module}"]
    return subprocess.run(words, cwd=ROOT, env={**clean(), **env}, capture_output=True, text=True, check=False)


def clean() -> dict[str, str]:
    """Our environment, without what a user may have said to make."""
    said = {"CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL", "JOB", "WATCH", "JSON", "OUT", "GPU", "WORKERS"}
    return {name: value for name, value in os.environ.items() if name not in said}


if __name__ == "__main__":
    sys.exit(job_main(sitter))
