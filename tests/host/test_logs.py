"""make logs shows the end of the right log, and follows it across a rotation."""

import os
import subprocess
import sys
import time

import pytest

from tests.host.tree import environment, make_tree


@pytest.fixture
def tree(tmp_path):
    folder = make_tree(tmp_path / "tree")
    for age, name in enumerate(("old/mix", "default/extract", "default/train", "new/extract")):
        path = folder / "runs" / name.replace("/", "/logs/")
        path = path.with_name(path.name + ".log")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name} line {n}\n" for n in range(100)))
        os.utime(path, (1e9 + age, 1e9 + age))
    return folder


def logs(tree, **env):
    words = [sys.executable, str(tree / "app/host/logs.py")]
    done = subprocess.run(
        words, cwd="/", env={**environment(), "FOLLOW": "0", **env}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_the_last_lines_of_a_jobs_log(tree):
    code, lines, _ = logs(tree, JOB="extract")
    assert code == 0 and lines == [f"default/extract line {n}" for n in range(50, 100)]
    assert logs(tree, JOB="extract", RUN="new", LINES="2")[1] == ["new/extract line 98", "new/extract line 99"]
    assert logs(tree, JOB="mix", CONFIG="configs/old.yaml", LINES="1")[1] == ["old/mix line 99"]


def test_without_a_job_it_is_the_newest_log_of_the_run(tree):
    code, lines, said = logs(tree, LINES="1")
    assert code == 0 and lines == ["default/train line 99"] and "run default" in said


def test_where_the_config_has_none_it_is_the_newest_run(tree):
    for log in (tree / "runs/default/logs").iterdir():
        log.unlink()
    assert logs(tree, LINES="1")[1] == ["new/extract line 99"]


def test_of_a_job_in_parts_all_of_them(tree):
    folder = tree / "runs/default/logs"
    for number in range(2):
        (folder / f"denoise.part-{number:04d}-of-2.log").write_text(f"part {number}\n")
    code, lines, _ = logs(tree, JOB="denoise")
    assert code == 0 and [line for line in lines if line.startswith("part")] == ["part 0", "part 1"]


def test_all_logs_of_a_run(tree):
    lines = logs(tree, JOB="all", LINES="1")[1]
    assert {"default/extract line 99", "default/train line 99"} <= set(lines)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"JOB": "extrat"}, "it has: extract, train"),
        ({"RUN": "nobody"}, "run nobody has no logs in runs"),
        ({"RUN": "nobody"}, "default, new, old"),
        ({"RUNS": "elsewhere"}, "no job has left a log in elsewhere"),
        ({"LINES": "many"}, "LINES=many"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(tree, env, words):
    code, lines, said = logs(tree, **env)
    assert code == 2 and not lines and words in said and "fix:" in said


def test_it_follows_across_a_rotation(tree):
    path = tree / "runs/default/logs/extract.log"
    words = [sys.executable, str(tree / "app/host/logs.py")]
    env = {**environment(), "JOB": "extract", "LINES": "1"}
    follower = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert follower.stdout.readline() == "default/extract line 99\n"
        path.rename(path.with_name("extract.log.1"))
        path.write_text("after the rotation\n")
        assert follower.stdout.readline() == "after the rotation\n"
        time.sleep(0.1)
        with path.open("a") as file:
            file.write("and on\n")
        assert follower.stdout.readline() == "and on\n"
    finally:
        follower.kill()
        follower.wait()


def test_runs_may_be_named_in_env_alone(tree):
    (tree / "runs").rename(tree / "elsewhere")
    (tree / ".env").write_text("RUNS=elsewhere\n")
    code, said = logs(tree, FOLLOW="0", RUN="default", JOB="train")[:2]
    assert code == 0 and "default/train line 99" in said
