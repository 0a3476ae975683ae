"""Whoever stops make stops the job, once and politely; the job has a session of its own."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.host.tree import end, environment, launch, make_tree, state_of, wait_for, wait_until

pytestmark = pytest.mark.usefixtures("hang_ups_are_heard")


@pytest.fixture
def tree(tmp_path):
    folder = make_tree(tmp_path / "tree")
    yield folder
    if (folder / "pid").exists():
        end(int((folder / "pid").read_text()))


@pytest.mark.parametrize(
    ("name", "heard"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGTERM"), ("SIGUSR2", "SIGTERM")]
)
def test_every_stop_signal_stops_the_job_and_those_after_it(tree, name, heard):
    made = launch(tree, "patient", "quick")
    wait_for(tree / "at-work")
    os.kill(made.pid, getattr(signal, name))
    said = made.communicate(timeout=30)[1]
    assert made.returncode == 2 and "exit code 75, stopped; go on with the same command" in said
    assert (tree / "stopped-by").read_text() == heard and not (tree / "quick-was-here").exists()


def test_the_job_has_a_session_of_its_own(tree):
    made = launch(tree, "patient")
    job = int(wait_for(tree / "at-work").with_name("pid").read_text())
    assert os.getsid(job) == job != os.getsid(made.pid)
    (tree / "finish").touch()
    assert made.wait(30) == 0 and (tree / "finished").exists()


def test_only_a_late_second_int_ends_the_job_at_once(tree):
    made = launch(tree, "patient", STUBBORN="1")
    wait_for(tree / "at-work")
    os.kill(made.pid, signal.SIGINT)
    wait_for(tree / "heard")
    for _ in range(3):  # an impatient user, and a torchrun that repeats itself
        os.kill(made.pid, signal.SIGINT)
        os.kill(made.pid, signal.SIGTERM)
        time.sleep(0.1)
    assert made.poll() is None
    time.sleep(2.1)
    os.kill(made.pid, signal.SIGTERM)
    time.sleep(0.5)
    assert made.poll() is None
    os.kill(made.pid, signal.SIGINT)
    assert "exit code 75" in made.communicate(timeout=15)[1] and made.returncode == 2


def test_an_interrupt_while_it_is_still_starting_is_not_lost(tree):
    (tree / "shutil.py").write_text(  # the first import of the standard library, made slow
        "import os, time; open(os.environ['MARK'], 'w').close(); time.sleep(1); copyfile = disk_usage = which = None\n"
    )
    mark = tree / "importing"
    made = launch(tree, "quick", MARK=str(mark), PYTHONPATH=str(tree))
    wait_for(mark)
    os.kill(made.pid, signal.SIGINT)
    said = made.communicate(timeout=30)[1]
    assert made.returncode == 2 and "make quick: exit code 75, stopped" in said and "Traceback" not in said
    assert not (tree / "quick-was-here").exists()


def test_an_ignored_hup_stays_ignored(tree):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup hands it down
    try:
        made = launch(tree, "patient")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(tree / "at-work")
    os.kill(made.pid, signal.SIGHUP)
    time.sleep(0.5)
    assert made.poll() is None and not (tree / "stopped-by").exists()
    (tree / "finish").touch()
    assert made.wait(30) == 0


def test_the_end_of_the_terminal_is_a_polite_stop(tree):
    ours, theirs = pty.openpty()
    words = [sys.executable, str(tree / "app/host/launch.py"), "patient"]
    # the terminal's session leader, as a shell is; what it writes after the end fails
    made = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *words], cwd=tree, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    wait_for(tree / "at-work")
    os.close(ours)
    assert wait_for(tree / "stopped-by").read_text() == "SIGTERM"
    assert made.wait(30) == 2


def test_a_launcher_that_is_killed_takes_its_job_along_politely(tree):
    made = launch(tree, "patient")
    wait_for(tree / "at-work")
    made.kill()
    assert wait_for(tree / "stopped-by").read_text() == "SIGTERM"
    made.communicate(timeout=30)


def test_ctrl_z_pauses_the_job_and_goes_on_with_it(tree):
    made = launch(tree, "patient")
    job = int(wait_for(tree / "at-work").with_name("pid").read_text())
    os.kill(made.pid, signal.SIGTSTP)
    wait_until(lambda: state_of(job) == "T" and state_of(made.pid) == "T")
    os.kill(made.pid, signal.SIGCONT)
    wait_until(lambda: state_of(job) in ("S", "R"))
    (tree / "finish").touch()
    assert made.wait(30) == 0


def test_the_code_of_each_end_is_told(tree):
    for jobs, words in (
        (("wrong", "quick"), "make wrong: exit code 2"),
        (("killed", "quick"), "make killed: killed by SIGKILL; what is done is kept, the same command goes on"),
    ):
        made = launch(tree, *jobs)
        assert words in made.communicate(timeout=30)[1] and made.returncode == 2
        assert not (tree / "quick-was-here").exists()
    assert launch(tree, "quick", "quick").wait(30) == 0 and (tree / "quick-was-here").exists()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RUNNER": "slurm", "PATH": "/nowhere"}, "there is no sbatch here"),
        ({"RUNNER": "dokcer"}, "RUNNER=dokcer is no runner"),
        ({"DETACH": "yes"}, "DETACH=yes is neither 0 nor 1"),
        ({"RUNNER": "docker", "NODE": "0/2"}, "NODE=0/2 does not reach a container"),
        ({"RUNNER": "docker", "PART": "1/8"}, "PART=1/8 does not reach a container"),
        ({"RUNNER": "local", "NODES": "2"}, "NODES=2 is for RUNNER=slurm"),
    ],
)
def test_what_does_not_exist_is_told_before_any_work(tree, env, words):
    made = launch(tree, "quick", **env)
    said = made.communicate(timeout=30)[1]
    assert made.returncode == 2 and words in said and "fix:" in said and not (tree / "quick-was-here").exists()


def test_the_doctors_pin_counts_for_a_virtual_environment_too(tree):
    (tree / ".env").write_text("CUDA=cu117\n")
    (tree / ".venv" / ".locked-run").unlink()  # so that setup has to look which one is wanted
    installer = tree / ".venv" / "bin" / "uv"
    installer.write_text('#!/bin/sh\necho "$@" > asked; exit 3\n')  # nothing is installed here
    installer.chmod(0o755)
    made = launch(tree, "quick")
    said = made.communicate(timeout=60)[1]
    assert made.returncode == 2 and "this failed" in said and not (tree / "quick-was-here").exists()
    assert "cu117.txt" in (tree / "asked").read_text()
