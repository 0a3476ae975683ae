"""doctor tries things and says what is to be mended."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.host.env_file import read_env
from tests.host.tree import ROOT, environment, make_tree

NVIDIA_SMI = """#!/bin/sh
# stands in for a machine with GPUs
{body}
"""


def doctor(folder, python=sys.executable, **env):
    done = subprocess.run(
        [python, str(folder / "app/host/doctor.py")],
        env={**environment(), "GPU_LOCKS": str(folder / "gpus"), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, {line[6:16].strip(): line for line in done.stdout.splitlines()}, done.stdout


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def old_pythons() -> list[str]:
    """A server's own may be as old as 3.8: where this machine has one, it is tried too."""
    places = [shutil.which("python3.8"), *map(str, Path.home().glob(".pyenv/versions/3.8*/bin/python3"))]
    code = "import sys; sys.exit(sys.version_info[:2] != (3, 8))"
    return [p for p in places if p and not subprocess.run([p, "-c", code], capture_output=True, check=False).returncode]


@pytest.mark.parametrize("python", [sys.executable, *old_pythons()])
def test_the_facts_of_this_machine(tree, python):
    code, lines, said = doctor(tree, python)
    assert code == 0 and "nothing stands in the way" in said
    assert f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} usable" in lines["cores"]
    assert "GB free" in lines["memory"] and "GB free" in lines["runs"] and "work in" in lines["locks"]
    assert "whole or not at all" in lines["renames"] and "agrees" in lines["clock"] and "cu130" in lines["cuda"]
    assert not list(tree.glob(".doctor-*")) and list((tree / "runs").iterdir()) == []
    assert read_env(str(tree / ".env"))["UID"] == str(os.getuid())


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (
            'case "$1" in --query-gpu*) echo "0, GPU-1, NVIDIA A40, 5, 46068, 0, 550.90.07, 8.6, [N/A]";; esac',
            0,
            "NVIDIA A40, 5 of 46068 MB used, 0 % busy",
        ),
        ("exit 9", 2, "nvidia-smi does not answer"),
    ],
)
def test_gpus_as_nvidia_smi_tells_them(tree, tmp_path, body, code, words):
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI.format(body=body))
    (tmp_path / "nvidia-smi").chmod(0o755)
    got, _, said = doctor(tree, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert got == code and words in said
    found = read_env(str(tree / ".env"))
    assert (found["CUDA"], found["HOST_GPUS"]) == (("cu130", "0") if code else ("cu128", "1"))


def test_what_keeps_jobs_from_running_is_to_be_mended(tree, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("doctor", ROOT / "app/host/doctor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "argv", ["doctor.py", "--look"])  # this checkout's .env is not the test's
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)  # a test may run as root, who may write anywhere
    monkeypatch.chdir(tree)
    assert module.main() == 2
    said = capsys.readouterr().out
    assert "mend  runs" in said and "fix: RUNS=FOLDER" in said and "2 things to mend" in said


def test_limits_of_a_cgroup_are_named(monkeypatch):
    spec = importlib.util.spec_from_file_location("machine_checks", ROOT / "app/host/machine_checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = {  # a cgroup that a test may not make
        "/proc/self/cgroup": "0::/a/b\n4:memory:/job\n",
        "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
        "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2000000000\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    monkeypatch.setattr(module, "_read", lambda path: files.get(path.replace("//", "/").rstrip("/"), ""))
    [line] = module._cgroup()
    assert line[0] == "note" and line[2] == "cpu.max 150000 100000; memory.limit_in_bytes 2000000000"
