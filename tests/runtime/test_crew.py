"""A crew works until all are done, begins again when one dies, leaves when told, and never outlives its job."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from app.errors import Diverged, Stopped, UserError
from app.runtime.crew import RESTARTS, Crew
from app.runtime.stop import STOP_SIGNALS

ROOT = Path(__file__).resolve().parents[2]


def crew(folder: Path, steps: int = 5, **task) -> Crew:
    return Crew("tests.runtime.crew_member", [2], {"folder": str(folder), "steps": steps, **task})


def members(folder: Path) -> list[int]:
    return [int(pid) for path in folder.glob("begun-*") for pid in path.read_text().split()]


def gone(pids: list[int], within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_all_work_and_the_first_one_tells(tmp_path):
    told, breaths = [], []
    crew(tmp_path).run(lambda: breaths.append(1), told.append)
    assert [m["step"] for m in told if m["what"] == "tell"] == list(range(5)) and len(breaths) == 5
    assert [m["line"] for m in told if m["what"] == "say"] == ["hello of 0"]
    assert sorted(m["rank"] for m in told if m["what"] == "saving" and m["on"]) == [0, 1]
    assert len(members(tmp_path)) == 2 and gone(members(tmp_path))


def test_one_that_is_killed_makes_all_begin_again(tmp_path):
    told = []
    crew(tmp_path, kill=1).run(lambda: None, told.append)
    assert len(members(tmp_path)) == 4 and gone(members(tmp_path))
    assert [m["step"] for m in told if m["what"] == "tell"][-5:] == list(range(5))


def test_the_other_does_not_keep_them_from_beginning_again(tmp_path):
    """It hears no stop signal but that of its agent, which else would wait half a minute before it kills."""
    began = time.monotonic()

    def breathe():
        if len(members(tmp_path)) == 4:
            raise Stopped("they have begun again")

    with pytest.raises(Stopped, match="begun again"):
        crew(tmp_path, steps=100000, kill=1).run(breathe, lambda message: None)
    assert time.monotonic() - began < 25


def test_one_that_always_dies_ends_it(tmp_path):
    with pytest.raises(RuntimeError, match="the 2 processes of tests.runtime.crew_member died"):
        crew(tmp_path, kill=99).run(lambda: None, lambda message: None)
    assert len((tmp_path / "begun-1").read_text().split()) == 1 + RESTARTS and gone(members(tmp_path))


def test_a_job_that_is_told_to_stop_takes_all_along(tmp_path):
    breaths = []

    def breathe():
        breaths.append(1)
        if len(breaths) == 3:
            raise Stopped("SIGTERM")

    with pytest.raises(Stopped, match="SIGTERM"):
        crew(tmp_path, steps=100000).run(breathe, lambda message: None)
    assert len(breaths) == 3 and gone(members(tmp_path))


def test_so_does_a_job_that_does_not_like_what_it_hears(tmp_path):
    heard = []

    def hear(message):
        if message["what"] == "tell":
            heard.append(message["step"])
            if len(heard) == 3:
                raise Stopped("pruned")

    with pytest.raises(Stopped, match="pruned"):
        crew(tmp_path, steps=100000).run(lambda: None, hear)
    assert heard == [0, 1, 2] and len(members(tmp_path)) == 2 and gone(members(tmp_path))


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [("user", UserError, "the disk is full"), ("diverged", Diverged, "nan"), ("stop", Stopped, "lost")],
)
def test_what_one_of_them_cannot_go_on_from_is_the_jobs_though_the_others_work_on(
    tmp_path, monkeypatch, fault, kind, words
):
    monkeypatch.setattr("app.runtime.crew.LAST_S", 1.0)
    with pytest.raises(kind, match=words) as caught:
        crew(tmp_path, steps=100000, fault=fault).run(lambda: None, lambda message: None)
    assert fault != "user" or caught.value.fix == "free some"
    assert len(members(tmp_path)) == 2 and gone(members(tmp_path))


def test_a_save_is_let_end_though_the_others_have_left(tmp_path, monkeypatch):
    monkeypatch.setattr("app.runtime.crew.LAST_S", 0.5)
    with pytest.raises(Stopped, match="lost"):
        crew(tmp_path, steps=10, fault="stop", save_s=5).run(lambda: None, lambda message: None)
    assert (tmp_path / "saved").exists() and gone(members(tmp_path))


def test_who_does_not_hear_is_ended_without_a_traceback(tmp_path, monkeypatch, capfd):
    """One is in the midst of something long when the other comes to its end: the agent is told to end both."""
    monkeypatch.setattr("app.runtime.crew.LAST_S", 0.5)
    with pytest.raises(Diverged, match="nan"):
        crew(tmp_path, steps=10, fault="diverged", deaf_s=60).run(lambda: None, lambda message: None)
    assert gone(members(tmp_path)) and "Traceback" not in capfd.readouterr().err


def test_a_job_that_is_killed_leaves_nobody_behind(tmp_path):
    code = (
        "from pathlib import Path; from tests.runtime.test_crew import crew; "
        f"crew(Path({str(tmp_path)!r}), steps=100000).run(lambda: None, lambda message: None)"
    )
    job = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until = time.monotonic() + 60
    while len(members(tmp_path)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    agents = [child.pid for child in psutil.Process(job.pid).children()]
    assert len(members(tmp_path)) == 2 and len(agents) == 1
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert gone([*members(tmp_path), *agents])


def test_a_stop_signal_for_every_process_of_the_job_is_heard_by_the_job_alone(tmp_path):
    """As a logout or a scheduler sends it; the job tells its members at their next breath."""
    asked, told = threading.Event(), []

    def breathe():
        if asked.is_set():
            time.sleep(0.5)
            raise Stopped("SIGTERM")

    def send():
        until = time.monotonic() + 60
        while len(told) < 5 and time.monotonic() < until:
            time.sleep(0.05)
        asked.set()
        for process in psutil.Process().children(recursive=True):
            for number in STOP_SIGNALS:
                process.send_signal(number)

    threading.Thread(target=send).start()
    with pytest.raises(Stopped, match="SIGTERM"):
        crew(tmp_path, steps=100000).run(breathe, told.append)
    assert len(members(tmp_path)) == 2 and gone(members(tmp_path))  # none died and began again


def test_a_crew_whose_members_died_of_the_stop_was_stopped(tmp_path):
    stopped = []

    def breathe():
        if stopped:
            raise Stopped("SIGTERM")

    def hear(message):
        if not stopped:
            stopped.append(1)
            for pid in members(tmp_path):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(Stopped, match="SIGTERM"):
        crew(tmp_path, steps=100000, kill=99).run(breathe, hear)


NOWHERE = """
import fcntl, socket, struct
from pathlib import Path
from tests.runtime.test_crew import crew
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:  # lo is down in a new namespace: up, as in a container
    fcntl.ioctl(any, 0x8914, struct.pack("16sH14x", b"lo", 0x49))
socket.sethostname("nobody-knows-this-name")
crew(Path({folder!r})).run(lambda: None, lambda message: None)
print("all done")
"""


def test_it_works_without_a_network_where_nobody_knows_the_machines_name(tmp_path):
    """As in our containers."""
    code = NOWHERE.format(folder=str(tmp_path))
    own = ["unshare", "--net", "--uts", *([] if os.getuid() == 0 else ["--map-root-user"])]
    command = [*own, sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout == "all done\n", done.stderr
