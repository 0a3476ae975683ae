"""A full, read-only or forbidden disk: a message with numbers, exit 2, nothing half-written, and it goes on later.

A real small file system: a tmpfs mounted for the test, which wants root (or a user namespace).
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import UserError
from app.runtime.room import check_room, free_bytes
from tests.jobs.road import CONFIG, call

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of so many megabytes; it can be resized or made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "road.yaml"
    path.write_text(CONFIG.replace("denoise: {", "denoise: {method: none, "))  # the disk is what is tested
    return path


def test_needed_room_is_checked_before_the_start_and_the_same_command_goes_on(small_disk, config, demo):
    runs = small_disk("size=8m")
    assert call("prepare", config, demo, runs).returncode == 0
    refused = call("denoise", config, demo, runs)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "no room on the disk of" in refused.stderr and " MB free, about " in refused.stderr
    assert "MB needed" in refused.stderr and "then the same command goes on" in refused.stderr
    assert not list(runs.glob("stages/denoise-*/shards/*"))
    subprocess.run(["mount", "-o", "remount,size=200m", str(runs)], check=True)
    done = call("denoise", config, demo, runs)
    assert done.returncode == 0, done.stderr


def test_a_disk_that_fills_up_midway_leaves_nothing_half_written(small_disk, config, demo):
    runs = small_disk("size=200m")
    assert call("prepare", config, demo, runs).returncode == 0
    free = free_bytes(runs)
    # the room is there when the job looks, and somebody else takes it while it works
    filler = runs / "somebody-elses"
    command = [sys.executable, "-m", "jobs.denoise", "--config", str(config), "--run", "road", "--data", str(demo)]
    job = subprocess.Popen(
        [*command, "--runs", str(runs), "--workers", "1", "--set", "denoise.shard_clips=10"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not any(runs.glob("stages/denoise-*/shards/00000/receipt.json")):
        assert job.poll() is None, job.communicate()[1]
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, free_bytes(runs) - 1_000_000)  # at once: the job is quick
        file.seek(0, os.SEEK_END)
        while True:
            file.write(bytes(100_000))
    error = job.communicate(timeout=120)[1]
    assert job.returncode == 2 and "Traceback" not in error, error
    assert "No space left on device" in error and "free, about" in error and "then the same command goes on" in error
    [stage] = runs.glob("stages/denoise-*")
    assert not list(stage.glob("shards/.draft*"))
    whole = list(stage.glob("shards/[0-9]*"))
    assert whole and all((shard / "receipt.json").exists() for shard in whole)
    filler.unlink()
    again = subprocess.run(
        [*command, "--runs", str(runs), "--workers", "1", "--set", "denoise.shard_clips=10"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0 and "shards are done already" in again.stderr, again.stderr
    assert free > 0


def test_a_read_only_disk_is_told(small_disk, config, demo):
    runs = small_disk("size=20m")
    subprocess.run(["mount", "-o", "remount,ro", str(runs)], check=True)
    done = call("prepare", config, demo, runs)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr and "RUNS=" in done.stderr


def test_a_folder_without_rights_is_told(tmp_path, config, demo):
    """root may write everywhere, so it gives that right away first."""
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o555)
    command = [sys.executable, "-m", "jobs.prepare", "--config", str(config), "--runs", str(runs), "--data", str(demo)]
    less = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override"]
    done = subprocess.run(
        [*(less if os.getuid() == 0 else []), *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Permission denied" in done.stderr and "RUNS=" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and list(runs.iterdir()) == []


def test_room_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert free_bytes(tmp_path / "not" / "yet") == free_bytes(tmp_path) > 0
    check_room(tmp_path / "not" / "yet", 1000, "denoise")
    with pytest.raises(UserError, match=r"denoise: no room on the disk of .*: .* GB free, about 1000000\.0 GB needed"):
        check_room(tmp_path, 1e15, "denoise")
