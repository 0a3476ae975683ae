"""train.on_the_fly: every epoch hears clips of its own, rendered while it learns, and all the rest stays as it was."""

import json
import re
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import psutil
import pytest
import torch

from app.audio.recipe import Recipe
from app.config import load_config
from app.corpora.manifest import by_split
from app.corpora.plan import planner_of
from app.features.store import STORES
from app.learning.fresh import Fresh, Rendering
from app.runtime.shards import rows_of
from jobs.mix import recipes_of
from tests.jobs.road import CONFIG, DEMO, ROOT, call, command

WINDOW = "mix: {train_clips: 64, valid_clips: 32, window_s: 1.5, voice_s: [0.8, 1.5]}"
FLY = ["--set", "train.on_the_fly=true", "--set", "train.models=[crnn]", "--set", "train.checkpoint_steps=1"]
FLY += ["--set", "train.epochs=12", "--set", "train.patience=12", "--set", "runtime.heartbeat_s=0.1"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """(config, runs) after extract, of features and of waves."""
    base = tmp_path_factory.mktemp("fly")
    config, runs = base / "road.yaml", base / "runs"
    lines = [line for line in CONFIG.splitlines() if line and not line.startswith("mix")]
    config.write_text("\n".join([*lines, WINDOW, "infer: {overlap_s: 0.5}"]))
    for job in ("prepare", "denoise", "mix", "extract"):
        done = call(job, config, DEMO, runs, "--set", "train.models=[crnn,lfcc_lcnn]")
        assert done.returncode == 0, done.stderr
    return config, runs


def stage(runs, part):
    return (runs / "road/stages" / part).resolve()


def other_run(runs, folder):
    """The same stages, nothing trained."""
    (folder / "road").mkdir(parents=True)
    (folder / "stages").symlink_to(runs / "stages")
    for name in ("config.yaml", "corpus.json", "stages.json"):
        (folder / "road" / name).write_bytes((runs / "road" / name).read_bytes())
    return folder


def trained(config, runs, *words, model="crnn"):
    done = call("train", config, DEMO, runs, *FLY, *words)
    assert done.returncode == 0, done.stderr
    folder = runs / "road/models" / model
    return done.stderr, {name: (folder / name).read_bytes() for name in ("best.safetensors", "metrics.jsonl")}


@pytest.fixture(scope="module")
def whole(planned, tmp_path_factory):
    """What an unbroken training leaves, with a renderer of its own beside it."""
    config, runs = planned
    return trained(config, other_run(runs, tmp_path_factory.mktemp("whole") / "runs"))


@pytest.mark.parametrize("reads", ["extract", "waves"])
def test_what_is_rendered_of_a_recipe_is_what_extract_left_on_disk(planned, reads):
    config, runs = planned
    rendering = Rendering(load_config(config), reads, stage(runs, "denoise"), None)
    recipes = list(recipes_of(stage(runs, "mix")))
    stored, clips = STORES[reads](stage(runs, reads)), [3, 17, 60, 80]
    found = rendering.together([rendering[Recipe.from_row(recipes[n])] for n in clips])
    expected = stored.stored_batch(np.array(clips))
    assert type(found) is type(expected) and found.padded == expected.padded
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found[:-1], expected[:-1], strict=True))
    none = rendering.together([])
    assert [v.shape[1:] for v in none[:-1]] == [v.shape[1:] for v in found[:-1]] and len(none.targets) == 0


def test_each_epoch_has_clips_of_its_own_from_the_training_voices_alone(planned):
    config, runs = planned
    cfg, denoised = load_config(config), stage(runs, "denoise")
    fresh = Fresh(cfg, "extract", denoised, None, 0, pinned=False)
    epochs = [fresh.recipes(n) for n in (0, 1, 0)]
    assert epochs[0] == epochs[2] and len(epochs[0]) == 64
    planned_ones = {row["seed"] for row in recipes_of(stage(runs, "mix"))}
    seen = [{r.seed for r in epoch} for epoch in epochs[:2]]
    assert not seen[0] & seen[1] and len(seen[0]) == 64
    assert not {str(r.seed) for r in epochs[0]} & planned_ones
    kinds = [Counter((len(r.voices), r.labels) for r in epoch) for epoch in epochs[:2]]
    assert kinds[0] == kinds[1]  # the shares of states are the config's
    of_split = {row["id"] for row in by_split(rows_of(denoised), "train")}
    used = {piece.clip for epoch in epochs for r in epoch for voice in r.voices for piece in voice.pieces}
    assert used <= of_split
    noises = {row["id"] for row in by_split(rows_of(denoised, "noise"), "train")}
    assert {r.noise for epoch in epochs for r in epoch if r.noise} <= noises
    row = planner_of("train", denoised, None, cfg)
    assert row.seed == cfg.seed  # drawing other epochs has not moved it


def test_the_same_bytes_whoever_renders(planned, whole, tmp_path):
    config, runs = planned
    said, files = whole
    assert "each epoch is mixed anew, by 1 beside 1 to compute" in said
    alone, same = trained(config, other_run(runs, tmp_path / "runs"), "--workers", "1")
    assert "mixed anew, by this one" in alone and same == files
    losses = [json.loads(line)["train_loss"] for line in files["metrics.jsonl"].decode().splitlines()]
    assert len(losses) == 12 and all(0.3 < loss < 1.5 for loss in losses)


def done_steps(runs):
    found = list(runs.glob("road/models/crnn-*/status/main.json"))
    return json.loads(found[0].read_text())["done"] if found else 0


def test_cut_and_killed_it_ends_in_the_same_bytes_and_leaves_nobody_behind(planned, whole, tmp_path):
    config, runs = planned
    mine = other_run(runs, tmp_path / "runs")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        words = command("train", config, DEMO, mine, *FLY)
        job = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        steps = done_steps(mine)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and job.poll() is None:
            if done_steps(mine) > steps + 1:
                break
            time.sleep(0.05)
        family = psutil.Process(job.pid).children(recursive=True)
        began = time.monotonic()
        job.send_signal(number)
        job.communicate()
        assert time.monotonic() - began < 20
        gone, alive = psutil.wait_procs(family, timeout=10)
        assert not alive and (len(gone) >= 1 or job.returncode == 0)
        if number == signal.SIGTERM and job.returncode:
            assert job.returncode == 75
    assert trained(config, mine)[1] == whole[1]


def test_a_renderer_that_is_killed_is_told_and_costs_nothing_but_time(planned, whole, tmp_path):
    config, runs = planned
    mine = other_run(runs, tmp_path / "runs")
    job = subprocess.Popen(command("train", config, DEMO, mine, *FLY), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not list(mine.glob("road/models/crnn-*/last.safetensors")):
        time.sleep(0.05)
    renderers = [
        process for process in psutil.Process(job.pid).children(recursive=True)
        if process.parent().pid != job.pid  # the forkserver's children
    ]  # fmt: skip
    assert renderers
    renderers[0].kill()
    said = job.communicate()[1]
    assert job.returncode == 2 and "a process that renders training clips was ended from outside" in said, said
    assert trained(config, mine)[1] == whole[1]


def test_two_processes_share_it_and_learn_the_same(planned, tmp_path):
    config, runs = planned
    exact = ["--set", "train.precision=float64", "--set", "train.dropout=0.0", "--workers", "2"]
    one = trained(config, other_run(runs, tmp_path / "one"), *exact)[1]
    two = trained(config, other_run(runs, tmp_path / "two"), *exact, "--set", "runtime.processes=2")[1]
    for mine, theirs in zip(one["metrics.jsonl"].splitlines(), two["metrics.jsonl"].splitlines(), strict=True):
        mine, theirs = json.loads(mine), json.loads(theirs)
        assert all(mine[key] == pytest.approx(theirs[key], abs=1e-8) for key in ("train_loss", "select_loss"))


def test_waveforms_too_and_trees_take_no_notice(planned, tmp_path):
    config, runs = planned
    mine = other_run(runs, tmp_path / "runs")
    words = ["--set", "train.models=[pooled_boosting,lfcc_lcnn]", "--set", "train.epochs=1"]
    said, _ = trained(config, mine, *words, model="lfcc_lcnn")
    assert re.search(r"train lfcc_lcnn  each epoch is mixed anew", said)
    assert "train pooled_boosting  each epoch" not in said and "train pooled_boosting  done" in said
