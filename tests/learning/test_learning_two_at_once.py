"""Two processes train in one folder, without any lock: it ends as if there had been one."""

import multiprocessing as mp
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from feature_stages import feature_stage, how, silent, trainer

from app.learning.checkpoint import progress_in

FILES = ("last.safetensors", "best.safetensors", "metrics.jsonl")
PROCESSES = mp.get_context("forkserver")
PROCESSES.set_forkserver_preload(["app.learning.loop"])  # with torch, which is dear to import


def train(stage: Path, folder: Path, slow_s: float) -> None:
    """In a process of its own; a checkpoint after every step."""
    torch.set_num_threads(1)
    trainer(stage, folder, how(checkpoint_minutes=1e-9)).run(silent, lambda *_: time.sleep(slow_s))


def begun(stage: Path, folder: Path, slow_s: float = 0.0) -> mp.Process:
    process = PROCESSES.Process(target=train, args=(stage, folder, slow_s))
    process.start()
    return process


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def alone(stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    process = begun(stage, folder)
    process.join(120)
    assert process.exitcode == 0
    return folder


def assert_as_alone(folder: Path, alone: Path) -> None:
    for name in FILES:
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {*FILES, "timing.jsonl"}


def reached(folder: Path, steps: int) -> None:
    """Waits until the checkpoint there has so many steps."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (progress := progress_in(folder / "last.safetensors")) and progress.step >= steps:
            return
        time.sleep(0.02)
    pytest.fail(f"no checkpoint of step {steps}")


def test_both_to_the_end(stage, alone, tmp_path):
    (folder := tmp_path / "two").mkdir()
    both = [begun(stage, folder), begun(stage, folder, slow_s=0.05)]
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    assert_as_alone(folder, alone)


def test_the_slower_one_killed_after_the_faster_has_ended(stage, alone, tmp_path):
    """It was behind all the time, and has undone nothing of what was finished."""
    (folder := tmp_path / "two").mkdir()
    slow = begun(stage, folder, slow_s=4.0)
    reached(folder, 1)
    fast = begun(stage, folder)
    fast.join(120)
    assert fast.exitcode == 0 and slow.is_alive()
    written = (folder / "timing.jsonl").stat().st_size
    until = time.monotonic() + 60
    while (folder / "timing.jsonl").stat().st_size == written and time.monotonic() < until:
        time.sleep(0.05)  # the slower one has come to another save
    assert slow.is_alive()
    os.kill(slow.pid, signal.SIGKILL)
    slow.join()
    assert_as_alone(folder, alone)


@pytest.mark.parametrize("step", [3, 9, 15])
def test_one_killed_in_its_midst_the_other_goes_on(stage, alone, tmp_path, step):
    (folder := tmp_path / "two").mkdir()
    first, second = begun(stage, folder, slow_s=0.02), begun(stage, folder, slow_s=0.02)
    reached(folder, step)
    os.kill(first.pid, signal.SIGKILL)
    first.join(), second.join(120)
    assert second.exitcode == 0
    assert_as_alone(folder, alone)
