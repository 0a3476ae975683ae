"""A run that moves: packed, taken up elsewhere, gone on with in the middle of training, and nothing lost."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.config import load_config
from app.runtime.archive import archive_bytes, header
from app.runtime.files import write_json
from app.runtime.job import is_complete
from app.runtime.run import Run
from app.runtime.shards import commit
from app.runtime.status import Status
from app.runtime.stop import StopFlag
from jobs.chain import stage_of
from tests.jobs.road import CONFIG, ROOT, call, make_corpus

CLEAN = ("CONFIG", "RUN", "DATA", "RUNS", "WORKERS", "DEVICE", "OUT", "ARCHIVE")


def ask(job: str, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in CLEAN}
    return subprocess.run(
        [sys.executable, "-m", f"jobs.{job}", *map(str, words)],
        cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def small_run(runs: Path, name: str = "small") -> Run:
    """A run whose denoise is done, whose extract is half done and whose training was stopped."""
    config = runs / name / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("runtime: {nice: 0}\n")
    run = Run(name, load_config(config), config, runs / "nothing", runs, StopFlag())
    run.note_config()
    run.note_corpus("a" * 12, "b" * 12, {"train.csv": "c" * 64})
    for part, shards, missing in (("prepare", 2, 0), ("prepare-test", 1, 0), ("denoise", 3, 0), ("extract", 4, 2)):
        stage = stage_of(run, part)
        names = [f"{n:05d}" for n in range(shards)]
        write_json(stage / "stage.json", {"job": part, "shards": names, "joined": []})
        for number in names[: shards - missing]:
            with commit(stage / "shards", number) as out:
                (out.path / "audio.npy").write_bytes(f"{part} {number}".encode() * 5000)
                out.done({"id": number})
        status(stage, part, "stopped" if missing else "done")
        (stage / "lock").touch()
        if not missing:
            run.note_stage(part, stage.name)
    extract = stage_of(run, "extract")
    for waste in (".draft@host@00002@abc", ".torso@00003@abc", "00003"):  # the last: a shard without a receipt
        (extract / "shards" / waste).mkdir()
        (extract / "shards" / waste / "audio.npy").write_bytes(b"half")
    (extract / "STOP").touch()
    model = run.folder / "models" / "crnn-0123456789ab"
    model.mkdir(parents=True)
    (model / "last.safetensors").write_bytes(b"weights and optimizer")
    (model / ".last.safetensors.host.1").write_bytes(b"draft")
    (model.parent / "crnn").symlink_to(model.name)
    for path in (
        "scores/crnn.csv",
        "scores/input/내 녹음.csv",
        "report/index.html",
        "logs/train.log",
        "submission.csv",
    ):
        (run.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / path).write_text(path)
    return run


def status(folder: Path, job: str, state: str, **more: object) -> None:
    known = Status(folder, job)
    known.update(label=job, run="small", **more)
    known.end(state)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below, links told as such."""
    return {
        str(p.relative_to(folder)): bytes(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in folder.rglob("*")
        if p.is_symlink() or p.is_file()
    }


def moved(runs: Path) -> dict[str, bytes]:
    """What is to arrive of a small run."""
    no = ("lock", "STOP", ".draft", ".torso", ".last", "extract/shards/00003", ".moksori.tar")
    extract = next(path.name for path in runs.glob("stages/extract-*"))
    found = {name.replace(extract, "extract"): data for name, data in content(runs).items()}
    kept = {name: data for name, data in found.items() if not any(word in name for word in no)}
    return {name.replace("stages/extract/", f"stages/{extract}/"): data for name, data in kept.items()}


@pytest.fixture
def here(tmp_path):
    run = small_run(tmp_path / "here")
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 0, done.stderr
    return run, run.runs / "small.moksori.tar", tmp_path / "elsewhere" / "runs"


def arrived(there: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(there).items() if name != ".unpack.lock"}


def test_a_run_arrives_with_all_that_is_done_and_nothing_half_done(here):
    run, archive, there = here
    done = ask("unpack", ARCHIVE=str(archive), RUNS=str(there))
    assert done.returncode == 0, done.stderr
    assert arrived(there) == moved(run.runs)
    assert (there / "small/stages/denoise").resolve() == there / "stages" / stage_of(run, "denoise").name
    assert (there / "small/models/crnn/last.safetensors").read_bytes() == b"weights and optimizer"
    assert "go on: make mix extract train infer evaluate CONFIG=" in done.stderr and "DATA=..." in done.stderr
    assert f"CONFIG={there}/small/config.yaml RUN=small RUNS={there}" in done.stderr
    assert "still read by: extract (the test recordings), infer (its tables)" in done.stderr
    again = ask("unpack", ARCHIVE=str(archive), RUNS=str(there))
    assert again.returncode == 0 and "unpacked already" in again.stderr and arrived(there) == moved(run.runs)


def test_packing_twice_gives_the_same_bytes(here, tmp_path):
    run, archive, _ = here
    other = tmp_path / "again.tar"
    assert ask("pack", RUN="small", RUNS=str(run.runs), OUT=str(other)).returncode == 0
    assert other.read_bytes() == archive.read_bytes()


def test_what_is_missing_of_an_unpacked_run_is_put_back(here):
    run, archive, there = here
    assert ask("unpack", "--archive", archive, "--runs", there).returncode == 0
    shutil.rmtree(there / "stages" / stage_of(run, "denoise").name)
    assert ask("unpack", "--archive", archive, "--runs", there).returncode == 0
    assert arrived(there) == moved(run.runs)


def test_another_archive_is_never_replaced(here):
    run, archive, _ = here
    before = archive.read_bytes()
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 0 and "packed already, every byte checked" in done.stderr
    (run.folder / "submission.csv").write_text("another")
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 2 and "holds something else" in done.stderr and "OUT=" in done.stderr
    assert archive.read_bytes() == before and not list(run.runs.glob(".small*"))


@pytest.mark.parametrize("words", [("--run", "smal"), ()])
def test_an_unknown_run_names_those_there_are(here, words):
    done = ask("pack", "--runs", here[0].runs, *words)
    assert done.returncode == 2 and "there are: small" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("job", ["extract", "train", "sweep"])
def test_a_run_at_work_is_not_packed(tmp_path, job):
    run = small_run(tmp_path / "here")
    folder = {"train": run.folder / "models" / "crnn-0123456789ab", "sweep": run.folder / "sweep"}.get(job)
    status(folder or stage_of(run, "extract"), job, "running")  # by this very process, which lives
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr, done.stderr
    assert f"make stop JOB={job}" in done.stderr
    assert not list(run.runs.glob("*.tar")) and not list(run.runs.glob(".*"))


def test_a_job_that_died_does_not_hold_the_run_and_its_status_stays_here(tmp_path):
    run = small_run(tmp_path / "here")
    dead = subprocess.Popen(["true"])
    dead.wait()
    status(run.folder / "models" / "crnn-0123456789ab", "train", "running", pid=dead.pid, host=socket.gethostname())
    assert ask("pack", "--runs", run.runs, "--run", "small").returncode == 0
    there = tmp_path / "there"
    assert ask("unpack", "--archive", run.runs / "small.moksori.tar", "--runs", there).returncode == 0
    assert not (there / "small/models/crnn/status").exists()


def test_a_shard_that_is_not_as_its_receipt_says_is_named(tmp_path):
    run = small_run(tmp_path / "here")
    path = stage_of(run, "denoise") / "shards" / "00001" / "audio.npy"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 2 and "shards/00001: audio.npy is not what the shard's receipt says" in done.stderr
    assert "make denoise" in done.stderr and not list(run.runs.glob("*.tar")) and not list(run.runs.glob(".*"))


def test_links_that_are_not_ours_are_not_followed(tmp_path):
    run = small_run(tmp_path / "here")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("not to be sent")
    (run.folder / "report" / "link.txt").symlink_to(secret / "key")
    (run.folder / "models" / "mine").symlink_to(secret)
    done = ask("pack", "--runs", run.runs, "--run", "small")
    assert done.returncode == 0 and "left out: " in done.stderr and "link.txt, a link" in done.stderr
    assert b"not to be sent" not in (run.runs / "small.moksori.tar").read_bytes()
    stage = stage_of(run, "denoise")
    stage.rename(tmp_path / "moved")
    stage.symlink_to(tmp_path / "moved")
    done = ask("pack", "--runs", run.runs, "--run", "small", "--out", tmp_path / "x.tar")
    assert done.returncode == 2 and f"{stage}: a link" in done.stderr


def test_a_stage_that_is_there_stays_and_a_half_done_one_gets_the_missing_shards(here):
    run, archive, there = here
    half, whole = stage_of(run, "denoise"), stage_of(run, "prepare")
    for stage in (half, whole):
        shutil.copytree(stage, there / "stages" / stage.name)
    shutil.rmtree(there / "stages" / half.name / "shards" / "00001")
    (there / "stages" / half.name / "shards" / "00002" / "receipt.json").unlink()
    (there / "stages" / half.name / "stage.json").write_text('{"job": "denoise"}')
    before = {path: path.stat().st_mtime_ns for path in (there / "stages" / whole.name).rglob("*")}
    done = ask("unpack", "--archive", archive, "--runs", there)
    assert done.returncode == 0 and f"{whole.name} is here already and stays\n" in done.stderr, done.stderr
    assert {path: path.stat().st_mtime_ns for path in (there / "stages" / whole.name).rglob("*")} == before
    assert is_complete(there / "stages" / half.name)
    for name in ("00000", "00001", "00002"):
        assert content(there / "stages" / half.name / "shards" / name) == content(half / "shards" / name)


def test_a_stage_here_with_other_bytes_stays_and_is_told(here):
    run, archive, there = here
    stage = stage_of(run, "denoise")
    shutil.copytree(stage, there / "stages" / stage.name)
    mine = there / "stages" / stage.name / "shards"
    shutil.rmtree(mine / "00001")
    with commit(mine, "00001") as out:
        (out.path / "audio.npy").write_bytes(b"computed here")
        out.done({"id": "00001"})
    done = ask("unpack", "--archive", archive, "--runs", there)
    assert done.returncode == 0 and "stays; 1 of its shards have other bytes than those packed" in done.stderr
    assert (mine / "00001" / "audio.npy").read_bytes() == b"computed here"


def test_another_run_of_that_name_stays_and_a_new_name_takes_it_up(here):
    run, archive, there = here
    (there / "small").mkdir(parents=True)
    (there / "small" / "config.yaml").write_text("mine")
    done = ask("unpack", "--archive", archive, "--runs", there)
    assert done.returncode == 2 and "RUN=other" in done.stderr and arrived(there) == {"small/config.yaml": b"mine"}
    done = ask("unpack", "--archive", archive, "--runs", there, "--run", "other")
    assert done.returncode == 0 and "RUN=other" in done.stderr, done.stderr
    assert content(there / "other") == {n[6:]: d for n, d in moved(run.runs).items() if n.startswith("small/")}
    assert ask("unpack", "--archive", archive, "--runs", there, "--run", "../x").returncode == 2


def test_a_damaged_archive_leaves_nothing(here):
    _, archive, there = here
    data = bytearray(archive.read_bytes())
    data[-5000] ^= 4
    archive.write_bytes(data)
    done = ask("unpack", "--archive", archive, "--runs", there)
    assert done.returncode == 2 and "damaged" in done.stderr and "Traceback" not in done.stderr
    assert arrived(there) == {} and not list(there.glob(".unpack@*"))


def test_room_is_asked_for_before_a_byte_is_written(here):
    """A file of 2 TB that takes no room itself."""
    run, archive, there = here
    small = archive.read_bytes()
    shard = stage_of(run, "denoise") / "shards" / "00001"
    os.truncate(shard / "audio.npy", 2 << 40)
    receipt = json.loads((shard / "receipt.json").read_text())
    receipt["files"]["audio.npy"]["bytes"] = 2 << 40
    write_json(shard / "receipt.json", receipt)
    done = ask("pack", "--runs", run.runs, "--run", "small", "--out", archive.with_name("x.tar"))
    assert done.returncode == 2 and re.search(r"no room: .* free, 2199.0 GB needed", done.stderr), done.stderr
    table = json.loads(small[512:].partition(b"\n}\n")[0] + b"}")
    name = next(name for name in table["files"] if name.endswith(f"{shard.parent.parent.name}/shards/00001/audio.npy"))
    table["bytes"] += (2 << 40) - table["files"][name]["bytes"]
    table["files"][name]["bytes"] = 2 << 40
    text = json.dumps(table, indent=1).encode() + b"\n"
    archive.write_bytes(header("moksori-archive.json", len(text)) + text + bytes(-len(text) % 512))
    os.truncate(archive, archive_bytes(table))
    done = ask("unpack", "--archive", archive, "--runs", there)
    assert done.returncode == 2 and re.search(r"no room: .* free, 2199.0 GB needed", done.stderr), done.stderr
    assert arrived(there) == {}


@pytest.mark.parametrize("point", ["unpack writing:7", "unpack checked:1", "unpack stage in place:2",
                                   "unpack shard in place:1", "unpack run in place:1"])  # fmt: skip
def test_an_unpack_killed_anywhere_and_repeated_ends_well(here, tmp_path, point):
    run, archive, there = here
    half = there / "stages" / stage_of(run, "denoise").name
    shutil.copytree(stage_of(run, "denoise"), half)
    shutil.rmtree(half / "shards" / "00001")
    killed = ask("unpack", "--archive", archive, "--runs", there, MOKSORI_KILL_AT=f"{point}:{tmp_path / 'mark'}")
    assert killed.returncode == -signal.SIGKILL
    assert not (there / "small").exists() or point.startswith("unpack run")
    assert ask("unpack", "--archive", archive, "--runs", there).returncode == 0
    (half / "lock").unlink()  # of the copy that was there before
    assert arrived(there) == moved(run.runs)


@pytest.mark.parametrize("point", ["pack writing:9", "pack written:1"])
def test_a_pack_killed_anywhere_and_repeated_ends_well(here, tmp_path, point):
    run, archive, _ = here
    expected = archive.read_bytes()
    archive.unlink()
    killed = ask("pack", "--runs", run.runs, "--run", "small", MOKSORI_KILL_AT=f"{point}:{tmp_path / 'mark'}")
    assert killed.returncode == -signal.SIGKILL and not archive.exists()
    assert ask("pack", "--runs", run.runs, "--run", "small").returncode == 0
    assert archive.read_bytes() == expected and not list(run.runs.glob(".small*"))


def test_a_pack_told_to_stop_leaves_nothing(tmp_path):
    run = small_run(tmp_path / "here")
    (run.folder / "config.yaml").write_text("runtime: {nice: 0, write_mb_s: 0.02}\n")  # slow enough to be caught at it
    words = [sys.executable, "-m", "jobs.pack", "--runs", str(run.runs), "--run", "small"]
    packing = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    draft = run.runs / ".small.moksori.tar.draft"
    while packing.poll() is None and not (draft.exists() and draft.stat().st_size > 50_000):
        time.sleep(0.02)
    second = ask("pack", "--runs", run.runs, "--run", "small")
    packing.terminate()
    said = packing.communicate(timeout=60)[1]
    assert packing.returncode == 75 and "stopped (SIGTERM)" in said, said
    assert second.returncode == 2 and "is being packed already" in second.stderr
    assert not draft.exists() and not list(run.runs.glob("*.tar"))


def test_a_run_moves_in_the_middle_of_its_training_and_ends_in_the_same_bytes(tmp_path):
    """On another path: the same bytes. With another number of threads: close, as it is promised."""
    data, here, there = make_corpus(tmp_path / "corpus"), tmp_path / "here", tmp_path / "there"
    config = tmp_path / "road.yaml"
    more = "models: [crnn], epochs: 3, checkpoint_minutes: 0.0001, "
    config.write_text(CONFIG.replace("train: {epochs: 2, ", f"train: {{{more}").replace("clips: 96", "clips: 48"))
    for job in ("prepare", "denoise", "mix", "extract"):
        done = call(job, config, data, here)
        assert done.returncode == 0, done.stderr
    unbroken = tmp_path / "unbroken"
    shutil.copytree(here, unbroken, symlinks=True)
    for job in ("train", "infer"):
        assert call(job, config, data, unbroken, "--workers", "1").returncode == 0

    words = [sys.executable, "-m", "jobs.train", "--config", config, "--run", "road", "--data", data, "--runs", here]
    training = subprocess.Popen([*map(str, words), "--workers", "1"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while training.poll() is None and not list(here.glob("road/models/crnn-*/last.safetensors")):
        time.sleep(0.02)
    busy = ask("pack", "--runs", here, "--run", "road") if training.poll() is None else None
    training.send_signal(signal.SIGTERM)
    said = training.communicate(timeout=60)[1]
    assert training.returncode == 75, said
    assert busy is None or busy.returncode == 2 and "train crnn" in busy.stderr
    assert not list(here.glob("road/models/*/model.json"))  # in the middle, indeed
    archive = tmp_path / "usb" / "road.moksori.tar"
    archive.parent.mkdir()
    done = ask("pack", "--runs", here, "--run", "road", "--out", archive)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(here)
    corpus = tmp_path / "corpus on another path"
    data.rename(corpus)

    done = ask("unpack", "--archive", archive, "--runs", there, "--data", corpus)
    assert done.returncode == 0 and f"go on: make train infer evaluate CONFIG={there}" in done.stderr, done.stderr
    assert "still read by: infer (its tables)" in done.stderr
    path = there / "road" / "config.yaml"
    for job in ("denoise", "mix", "extract"):
        assert "done already" in call(job, path, corpus, there).stderr, job
    for job in ("train", "infer"):
        done = call(job, path, corpus, there, "--workers", "1")
        assert done.returncode == 0 and ("goes on after step" in done.stderr or job == "infer"), done.stderr
    for name in ("models/crnn/best.safetensors", "models/crnn/metrics.jsonl", "models/crnn/valid.csv",
                 "models/crnn/calibration.json", "scores/crnn.csv", "submission.csv"):  # fmt: skip
        assert (there / "road" / name).read_bytes() == (unbroken / "road" / name).read_bytes(), name

    done = ask("unpack", "--archive", archive, "--runs", there, "--run", "two")
    assert done.returncode == 0 and "extract-" in done.stderr and "is here already and stays\n" in done.stderr
    path = there / "two" / "config.yaml"
    done = call("train", path, corpus, there, "--run", "two", "--workers", "2")
    assert done.returncode == 0 and "goes on after step" in done.stderr, done.stderr
    ours, theirs = (metrics(runs / name) for runs, name in ((there, "two"), (unbroken, "road")))
    assert [row["epoch"] for row in ours] == [1, 2, 3]
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(expected, rel=1e-3)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "models/crnn/metrics.jsonl").read_text().splitlines()]
