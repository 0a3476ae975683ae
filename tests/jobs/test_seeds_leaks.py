"""make seeds and make leaks on the demo, and what they find where something is wrong."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from app.corpora.leaks import shared_between_splits
from jobs.seeds import chance_of
from tests.jobs.road import CONFIG, DEMO, ROOT, call

FAST = ["--set", "train.models=[pooled_boosting]"]


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    base = tmp_path_factory.mktemp("seeds")
    config, runs = base / "road.yaml", base / "runs"
    config.write_text(CONFIG)
    for job in ("prepare", "denoise", "mix", "extract", "train"):
        done = call(job, config, DEMO, runs, *FAST)
        assert done.returncode == 0, done.stderr
    return config, runs


def leaks(config, runs):
    words = ["--config", config, "--run", "road", "--data", DEMO, "--runs", runs]
    return subprocess.run(
        [sys.executable, "-m", "jobs.leaks", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_seeds_give_a_spread_and_leave_the_model_that_was_chosen(road):
    config, runs = road
    chosen = (runs / "road/models/pooled_boosting").resolve()
    done = call("seeds", config, DEMO, runs, *FAST, N="3")
    assert done.returncode == 0, done.stderr
    told = json.loads((runs / "road/seeds.json").read_text())
    scores = [row["select_score"] for row in told["seeds"]]
    assert len(scores) == 3 and len(set(scores)) > 1 and told["model"] == "pooled_boosting"
    assert told["mean"]["select_score"] == pytest.approx(sum(scores) / 3)
    assert told["sd"]["select_score"] == pytest.approx((sum((s - sum(scores) / 3) ** 2 for s in scores) / 2) ** 0.5)
    assert f"from {min(scores):.4f} to {max(scores):.4f}" in done.stderr
    assert f"may differ by {chance_of(told['sd']['select_score'], 3):.4f} (95 %)" in done.stderr
    assert (runs / "road/models/pooled_boosting").resolve() == chosen
    assert len(list((runs / "road/models").glob("pooled_boosting-*"))) == 3
    again = call("seeds", config, DEMO, runs, *FAST, N="3")
    assert again.stderr.count("done already") == 3
    for job in ("infer", "evaluate"):
        assert call(job, config, DEMO, runs, *FAST).returncode == 0
    assert any("with 3 seeds" in note for note in json.loads((runs / "road/metrics.json").read_text())["notes"])


@pytest.mark.parametrize("count", [3, 5])
def test_what_the_seed_alone_may_do_holds_for_95_of_100_pairs(count):
    """Of trainings whose spread is only known from `count` of them."""
    draws = np.random.default_rng(0).normal(0.2, 0.01, (20_000, count + 2))
    bounds = [chance_of(sd, count) for sd in draws[:, :count].std(1, ddof=1)]
    within = np.abs(draws[:, -1] - draws[:, -2]) < bounds
    assert 0.945 < within.mean() < 0.955


@pytest.mark.parametrize("count", ["1", "0", "many"])
def test_what_is_no_number_of_seeds_is_told(road, count):
    config, runs = road
    done = call("seeds", config, DEMO, runs, *FAST, N=count)
    assert done.returncode == 2 and f"N={count}" in done.stderr and "N=" in done.stderr


def test_the_demo_has_no_leaks(road):
    done = leaks(*road)
    assert done.returncode == 0, done.stderr
    assert "none: no source in two splits, and shuffled labels give chance" in done.stderr
    for what in ("speakers", "engines", "recordings, by their bytes", "originals", "sources of planned clips"):
        assert what in done.stderr


def rows(*known):
    return [
        {"id": id, "split": split, "speaker": speaker, "attack": attack, "parent": parent, "sha256": sha}
        | {"real": int(attack == "bonafide")}
        for id, split, speaker, attack, parent, sha in known
    ]


def test_where_no_model_reads_features_the_splits_are_looked_at_all_the_same(road):
    config, runs = road
    words = ["--config", config, "--run", "other", "--data", DEMO, "--runs", runs]
    more = ["--set", "train.models=[lfcc_lcnn]", "--set", "extract.mels=32"]
    for job in ("prepare", "denoise", "mix"):
        assert (
            subprocess.run([sys.executable, "-m", f"jobs.{job}", *words, *more], cwd=ROOT, check=False).returncode == 0
        )
    done = subprocess.run(
        [sys.executable, "-m", "jobs.leaks", *words, *more], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "shuffled labels are not tried" in done.stderr, done.stderr
    assert "none: no source in two splits\n" in done.stderr


def test_what_two_splits_share_is_found():
    recordings = rows(
        ("a", "train", "ann", "bonafide", None, "1"),
        ("b", "select", "ann", "bonafide", None, "2"),
        ("c", "train", None, "tts/one", None, "3"),
        ("d", "calibrate", None, "tts/two", None, "3"),
        ("e", "select", "bob", "vocoder", "a", "4"),
        ("f", "calibrate", "cid", "vocoder", "g", "5"),
        ("h", "test", "ann", "tts/one", None, "1"),
    )
    planned = [
        {"split": "train", "sources": ["a", "noise-1"]},
        {"split": "select", "sources": ["b", "noise-1"]},
        {"split": "select", "sources": ["b"]},
    ]
    assert dict(shared_between_splits(recordings, planned)) == {
        "recordings, by their bytes": ["3"],
        "speakers": ["ann"],
        "engines": ["tts"],
        "originals that were copied": ["a"],
        "sources of planned clips": ["noise-1"],
    }


def test_an_engine_that_clones_speakers_goes_with_them():
    """Of each there are real recordings, so that speakers were split, and the engine is heard in all splits."""
    cloned = rows(
        ("a", "train", "ann", "bonafide", None, "1"),
        ("b", "train", "ann", "xtts/ann", None, "2"),
        ("c", "select", "bob", "bonafide", None, "3"),
        ("d", "select", "bob", "xtts/bob", None, "4"),
    )
    assert not any(names for _, names in shared_between_splits(cloned, []))
    alone = [row for row in cloned if not row["real"]]
    assert dict(shared_between_splits(alone, []))["engines"] == ["xtts"]


def test_a_manifest_with_a_leak_ends_with_code_2(road, tmp_path):
    """A speaker of training is written into a row of select, in a copy of the stage."""
    config, runs = road
    copy = tmp_path / "runs"
    shutil.copytree(runs, copy, symlinks=True)
    manifest = (copy / "road/stages/prepare").resolve() / "shards/manifest/manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    voice = next(row["speaker"] for row in lines if row["split"] == "train" and row["speaker"])
    next(row for row in lines if row["split"] == "select")["speaker"] = voice
    manifest.write_text("".join(json.dumps(row) + "\n" for row in lines))
    done = leaks(config, copy)
    assert done.returncode == 2 and f"two splits share speakers: {voice}" in done.stderr and "fix:" in done.stderr
