"""A job does what is missing, says so, stops politely and never works twice at once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.errors import Stopped, UserError
from app.runtime.files import read_json
from app.runtime.job import counts, is_complete, open_job
from app.runtime.shards import cut, rows_of
from app.runtime.status import read_status
from tests.runtime.work import always_die, die_once, double, raise_it

SPEC = {"job": "double", "version": 1, "config": {}, "inputs": {}}
ROWS = [{"id": str(n)} for n in range(12)]


def do(run, work=double, shards=None, spec=SPEC, **args):
    with open_job(run, "double", spec) as job:
        if not job.complete:
            job.run(work, shards or cut(ROWS, 3), preload="json", row_bytes=lambda row: 100, **args)
    return job


def test_a_job_is_done_once_and_says_in_and_out(a_run, capsys):
    run = a_run()
    job = do(run, bad=("4",))
    assert is_complete(job.folder) and counts(job.folder) == (11, 1)
    assert "done: in 12 = out 11 + failed 1" in capsys.readouterr().err
    assert {row["twice"] for row in rows_of(job.folder)} == {2 * n for n in range(12)} - {8}
    assert run.stages() == {"double": job.folder.name}
    assert (run.folder / "stages" / "double").resolve() == job.folder.resolve()
    before = {path: path.stat().st_mtime_ns for path in job.folder.rglob("*")}
    do(run)
    assert "done already: 11 clips, 1 failed" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in job.folder.rglob("*")}


def test_another_config_is_another_stage(a_run):
    run = a_run()
    first, second = do(run), do(run, spec={**SPEC, "config": {"a": 1}})
    assert first.folder != second.folder and is_complete(first.folder) and is_complete(second.folder)


def test_stop_keeps_what_is_committed_and_the_next_run_does_the_rest(a_run, capsys):
    run = a_run(**{"runtime.workers": 1})
    threading.Timer(1.5, run.stop.raise_it, ("SIGTERM",)).start()
    with pytest.raises(Stopped):
        do(run, pause_s=0.25)
    folder = next((run.runs / "stages").iterdir())
    kept = {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("shards/[0-9]*/receipt.json")}
    assert 0 < len(kept) < 4 and not list(folder.glob("shards/.draft*"))
    assert read_status(folder)[0]["state"] == "stopped"
    capsys.readouterr()
    job = do(a_run())
    assert f"{len(kept)} of 4 shards are done already" in capsys.readouterr().err
    assert (
        is_complete(job.folder)
        and kept.items()
        <= {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("shards/[0-9]*/receipt.json")}.items()
    )


def test_a_stop_file_stops(a_run):
    run = a_run(**{"runtime.workers": 1})
    folder = run.runs / "stages"

    def ask_to_stop():
        (next(folder.iterdir()) / "STOP").touch()

    threading.Timer(1.5, ask_to_stop).start()
    with pytest.raises(Stopped, match="STOP"):
        do(run, pause_s=0.25)
    assert is_complete(do(a_run()).folder)


def test_a_second_job_on_the_same_stage_is_refused(a_run):
    with open_job(a_run(), "double", SPEC) as job:
        with pytest.raises(UserError, match=f"running for run test on {os.uname().nodename} .process {os.getpid()}"):
            do(a_run())
        job.run(double, cut(ROWS, 3), preload="json", row_bytes=lambda row: 100)
    assert is_complete(job.folder)


def test_a_killed_worker_costs_a_retry_and_not_the_job(a_run, tmp_path):
    job = do(a_run(), work=die_once, mark=str(tmp_path / "killed"))
    assert is_complete(job.folder) and counts(job.folder) == (12, 0)


def test_a_shard_that_kills_every_worker_is_named(a_run):
    with pytest.raises(UserError, match="shard 00000.* killed 8 times"):
        do(a_run(), work=always_die, shards=cut(ROWS[:2], 2))


def test_a_bug_in_the_work_is_not_swallowed(a_run):
    run = a_run()
    with pytest.raises(ValueError, match="a bug of ours"):
        do(run, work=raise_it)
    assert read_status(next((run.runs / "stages").iterdir()))[0]["state"] == "failed"


def test_over_one_percent_failed_stops_the_job_now_and_the_next_time(a_run):
    rows = [{"id": str(n)} for n in range(100)]
    bad = tuple(str(n) for n in range(30))
    for _ in range(2):
        with pytest.raises(UserError, match=r"of 100 clips failed, more than runtime.max_failed = 1.0%"):
            do(a_run(), shards=cut(rows, 50), bad=bad)
    assert counts(do(a_run(**{"runtime.max_failed": 0.5}), shards=cut(rows, 50), bad=bad).folder) == (70, 30)


SCRIPT = """
import sys
from pathlib import Path
from app.config import load_config
from app.runtime.run import Run, job_main
from app.runtime.job import open_job
from app.runtime.shards import cut
from tests.runtime.work import double

def slow(run):
    "Slow."
    with open_job(run, "double", {"job": "double", "version": 1, "config": {}, "inputs": {}}) as job:
        if not job.complete:
            shards = cut([{"id": str(n)} for n in range(12)], 3)
            job.run(double, shards, preload="json", row_bytes=lambda row: 100, pause_s=0.2)

if __name__ == "__main__":
    sys.exit(job_main(slow))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_gives_75_and_the_same_command_goes_on_to_0(a_run, tmp_path, number):
    run = a_run()
    script = tmp_path / "slow.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--config", str(run.config_path), "--runs", str(run.runs), "--workers", "1"]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: any(run.runs.glob("stages/*/shards/00000/receipt.json")))
    os.killpg(first.pid, number)  # as a terminal does, and torchrun twice
    os.killpg(first.pid, number)
    error = first.communicate(timeout=20)[1]
    assert first.returncode == 75, error
    assert "the same command goes on" in error and "Traceback" not in error
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "done: in 12 = out 12 + failed 0" in second.stderr


def test_workers_leave_when_their_parent_is_killed(a_run, tmp_path):
    run = a_run()
    script = tmp_path / "slow.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--config", str(run.config_path), "--runs", str(run.runs), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    job = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: any(run.runs.glob("stages/*/shards/00000/receipt.json")))
    job.kill()
    job.wait()
    wait_for(lambda: not members_of(job.pid))


def members_of(session: int) -> list[int]:
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            pass
    return found


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_the_status_of_a_dead_job_is_stale_and_that_of_a_silent_one_elsewhere(a_run):
    run = a_run()
    folder = do(run).folder
    path = folder / "status" / "main.json"
    values = read_json(path)
    assert values["state"] == "done" and values["peak_mb"] > 10
    alive = {**values, "state": "running"}
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )

    def told(**changes):
        path.write_text(json.dumps({**alive, **changes}))
        return read_status(folder)[0]["state"], read_status(folder)[0]["note"]

    assert told(pid=int(dead.stdout)) == ("stale", "its process is gone; the same command goes on")
    # this process lives: nothing is said of it, however long it has stood still
    assert told(updated=time.time() - 1000)[0] == "running"
    # its number has gone to another process since
    assert told(started=1000.0)[0] == "stale"
    # in another container its number means nothing here
    assert told(where="elsewhere-1", pid=int(dead.stdout))[0] == "running"
    assert told(where="elsewhere-1", updated=time.time() - 200) == ("stale", "not heard of for 200 s")
