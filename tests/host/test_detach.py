"""A detached job outlives the session that started it, and says how to follow and to stop it."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.host.tree import ROOT, end, environment, launch, make_tree, wait_for

STUB = """#!/bin/sh
# stands in for systemd, which does not run where tests do; it notes how it was called
echo "$(basename "$0") $*" >> "{calls}"
{body}
"""


@pytest.fixture
def tree(tmp_path):
    folder = make_tree(tmp_path / "tree")
    yield folder
    if (folder / "pid").exists():
        end(int((folder / "pid").read_text()))


@pytest.fixture
def detach():
    spec = importlib.util.spec_from_file_location("detach", ROOT / "app/host/detach.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def systemd(folder, linger="yes", answers=True):
    """PATH with stand-ins for systemctl, loginctl and systemd-run; the last runs the command by itself."""
    folder.mkdir()
    bodies = {
        "systemctl": f'[ "$2" = is-active ] && exit 0\nexit {0 if answers else 1}',
        "loginctl": f"echo Linger={linger}",
        "systemd-run": 'while [ "${1#*python}" = "$1" ]; do shift; done\nsetsid "$@" > /dev/null 2>&1 < /dev/null &',
    }
    for name, body in bodies.items():
        (folder / name).write_text(STUB.format(calls=folder / "calls", body=body))
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_detached_job_outlives_the_session_that_started_it(tree, tmp_path):
    path = systemd(tmp_path / "bin", answers=False)
    # a login shell of its own session that starts the job and is then hung up and killed with all its group
    line = f'"{sys.executable}" app/host/launch.py patient; sleep 60'
    shell = subprocess.Popen(
        ["sh", "-c", line],
        cwd=tree,
        env={**environment(), "DETACH": "1", "RUN": "r", "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = "".join(shell.stdout.readline() for _ in range(5))
    job = int(wait_for(tree / "at-work").with_name("pid").read_text())
    for number in (signal.SIGHUP, signal.SIGKILL):
        try:
            os.killpg(shell.pid, number)
        except ProcessLookupError:
            pass
    shell.communicate(timeout=30)
    time.sleep(0.5)
    os.kill(job, 0)  # it is there
    assert not (tree / "stopped-by").exists()
    for words in ("detached: patient of run r, process", "make logs JOB=patient RUN=r", "make stop JOB=patient RUN=r"):
        assert words in said
    log = re.search(r"log: +(\S+)", said)[1]
    assert "patient  at work" in (tree / log).read_text()
    launcher = int(re.search(r"kill (\d+)\)", said)[1])
    os.kill(launcher, signal.SIGTERM)
    assert wait_for(tree / "stopped-by").read_text() == "SIGTERM"
    deadline = time.monotonic() + 30
    while "exit code 75" not in (tree / log).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_detached_job_that_fails_at_once_is_shown_at_once(tree, tmp_path):
    made = launch(tree, "wrong", "quick", DETACH="1", PATH=systemd(tmp_path / "bin", answers=False))
    out, said = made.communicate(timeout=30)
    assert made.returncode == 2 and "wrong: a reason to be seen" in said and "fix: mend it" in said
    assert "detached:" not in out and not (tree / "quick-was-here").exists()
    assert not list(tree.glob("runs/*/logs/detached*.log"))  # it would be taken for the end of another's


def test_a_chain_that_has_little_to_do_is_said_to_be_done(tree, tmp_path):
    made = launch(tree, "quick", "quick", DETACH="1", PATH=systemd(tmp_path / "bin", answers=False))
    out = made.communicate(timeout=30)[0]
    assert made.returncode == 0 and "detached: all of run default" in out and "ended already: all is done" in out


def test_where_lingering_is_allowed_it_is_a_user_unit(tree, tmp_path):
    made = launch(tree, "patient", DETACH="1", RUN="my.run", WORKERS="3", PATH=systemd(tmp_path / "bin"))
    out = made.communicate(timeout=30)[0]
    assert made.returncode == 0, out
    unit = re.search(r"systemd user unit (\S+)", out)[1]
    assert re.fullmatch(r"moksori-my.run-patient-\d+", unit) and f"systemctl --user stop {unit}" in out
    [call] = [line for line in (tmp_path / "bin/calls").read_text().splitlines() if line.startswith("systemd-run")]
    for words in (
        f"--user --unit={unit} --collect --nice=19",
        "-p KillMode=mixed",
        "-p TimeoutStopSec=",
        "-E WORKERS=3",
        "-E RUN=my.run",
        f"--working-directory={tree}",
    ):
        assert words in call
    assert "DETACH" not in call
    wait_for(tree / "at-work")
    (tree / "finish").touch()
    wait_for(tree / "finished")


def test_without_lingering_it_is_a_session(tree, tmp_path):
    made = launch(tree, "quick", DETACH="1", PATH=systemd(tmp_path / "bin", linger="no"))
    out = made.communicate(timeout=30)[0]
    assert made.returncode == 0 and "process" in out and "unit" not in out.replace("a unit that stays", "")
    assert "systemd-run" not in (tmp_path / "bin/calls").read_text()


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({}, None),
        ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=no\n"}, False),
        ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n"}, True),
        (
            {
                "etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=no\n",
                "etc/systemd/logind.conf.d/50-ours.conf": "[Login]\nKillUserProcesses = yes\n",
            },
            True,
        ),
        (
            {
                "usr/lib/systemd/logind.conf.d/50-ours.conf": "[Login]\nKillUserProcesses=yes\n",
                "etc/systemd/logind.conf.d/50-ours.conf": "[Login]\n",  # masks the one of the same name
            },
            None,
        ),
    ],
)
def test_whether_logout_ends_processes_is_read_where_it_can_be(detach, tmp_path, files, answer):
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert detach.ends_at_logout(str(tmp_path)) is answer


def test_without_systemd_nothing_ends_at_logout(detach, tmp_path):
    assert detach.ends_at_logout(str(tmp_path)) is False


def test_the_warning_names_the_way_out(detach, monkeypatch):
    monkeypatch.setattr(detach, "ends_at_logout", lambda: True)
    code, _, _, note = detach._as_session([sys.executable, "-c", ""])
    assert code == 0 and "KillUserProcesses=yes" in note and "loginctl enable-linger" in note


@pytest.mark.parametrize(
    ("env", "words"), [({"RUN": "a/b"}, "RUN=a/b is no name"), ({"CONFIG": "no.yaml"}, "no.yaml: no such config")]
)
def test_a_wrong_name_leaves_no_folder(tree, env, words):
    made = launch(tree, "quick", DETACH="1", **env)
    assert words in made.communicate(timeout=30)[1] and made.returncode == 2 and not (tree / "runs").exists()


def test_a_detached_log_that_grows_is_copied_aside_and_kept_thrice(tmp_path):
    spec = importlib.util.spec_from_file_location("log_file", ROOT / "app/host/log_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    log = tmp_path / "detached.log"
    with log.open("ab", buffering=0) as file:  # as the launcher and its jobs hold it
        for number in range(6):
            file.write(b"%d" % number * 20)
            module.empty(str(log), 10)
        file.write(b"last")
        module.empty(str(log), 10)
    assert log.read_bytes() == b"last"
    kept = [path.name for path in sorted(tmp_path.iterdir())]
    assert kept == ["detached.log", "detached.log.1", "detached.log.2", "detached.log.3"]
    assert (tmp_path / "detached.log.1").read_bytes() == b"5" * 20
    module.empty(str(tmp_path / "nowhere.log"), 10)  # says nothing
