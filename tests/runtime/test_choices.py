"""What a user says in the environment: which GPUs, whose files, where locks lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import UserError
from app.runtime.asked import _gpus
from app.runtime.cuda_visible import VISIBLE
from app.runtime.run import _octal

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("asked", ["0,", "0,3", "GPU-1b2c3d4e-5f60-7182", "MIG-7f8091a2-b3c4/1/0", "GPU-1,GPU-2"])
def test_gpus_by_number_or_uuid_are_all_that_cuda_sees(monkeypatch, asked):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setitem(os.environ, "LEFT_ALONE", "")  # so that what is set here is undone
    assert _gpus(asked) == {} and os.environ.pop(VISIBLE) == asked.rstrip(",")


def test_a_number_is_how_many(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    assert _gpus("2") == {"runtime.max_gpus": (2, "GPUS=2")} and VISIBLE not in os.environ


def test_all_and_none_leave_cuda_alone_and_what_was_hidden_stays_hidden(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    assert _gpus("all") == {} and _gpus("none") == {"runtime.device": ("cpu", "GPUS=none")}
    assert VISIBLE not in os.environ
    monkeypatch.setenv(VISIBLE, "1")
    _gpus("0,")
    assert os.environ[VISIBLE] == "1"


@pytest.mark.parametrize("asked", ["two", "0;1", "0", "-1", "GPU 0", "0,1,", "GPU-1,"])
def test_what_names_no_gpu_is_told(asked):
    with pytest.raises(UserError, match="names no GPUs"):
        _gpus(asked)


def test_a_umask_is_octal():
    assert _octal("002") == 0o002 and _octal("0027") == 0o027
    for wrong in ("8", "0x2", "rwx", "00022"):
        with pytest.raises(UserError, match="is no umask"):
            _octal(wrong)


def test_a_job_makes_its_files_as_umask_says_and_without_gpus_computes_on_the_cpu(tmp_path, demo):
    words = ["--data", str(demo), "--runs", str(tmp_path), "--config", "configs/demo.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.prepare", *words],
        cwd=ROOT,
        env={**os.environ, "UMASK": "007", "GPUS": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = [path for path in (tmp_path / "stages").rglob("*") if not path.is_symlink()]
    assert made and all((path.stat().st_mode & 0o777) in (0o660, 0o770) for path in made)
    assert "device: cpu" in (tmp_path / "demo" / "config.yaml").read_text()
