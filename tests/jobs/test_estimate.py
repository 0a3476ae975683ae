"""make estimate: the arithmetic on numbers that are known, the real probe on the demo recordings. No time is judged."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from app.config import load_config
from app.corpora.layouts.contest import read_contest
from app.runtime.estimate import Cost, Threads, cost_of, makespan, threads_from, training_of
from app.runtime.run import Run
from app.runtime.stop import StopFlag
from jobs.estimate import scratch
from jobs.passes import clip_seconds
from jobs.probe import draw_clips, lay_out
from jobs.sizes import sizes_of
from jobs.takes import truth_of
from jobs.told import show
from jobs.undone import done_parts
from tests.jobs.road import CONFIG, DEMO, JOBS, ROOT, call, command


def test_what_a_worker_pays_once_is_not_scaled():
    # 2 workers, 10 clips a shard at 0.1 s a clip, the first of each 5 s longer; 3 s of start
    shards = [(10, 6.0), (10, 6.0), *[(10, 1.0)] * 4]
    cost = cost_of(3.0 + 8.0, shards, workers=2, cores=2)
    assert cost == Cost(pytest.approx(8.0), 0.0, pytest.approx(0.1))
    assert cost.seconds(1000, 2, cores=8) == pytest.approx(8 + 50)
    assert cost.seconds(1000, 4, cores=8) == pytest.approx(8 + 25)
    assert cost.seconds(1000, 16, cores=8) == cost.seconds(1000, 8, cores=8)  # capped by the cores


def test_a_shard_that_was_held_up_does_not_speak_for_all():
    shards = [(10, 6.0), (10, 6.0), (10, 1.0), (5, 0.5), (10, 1.0), (10, 9.0)]  # the last one, by something else
    assert cost_of(20.0, shards, workers=2, cores=2).busy_s == pytest.approx(0.1)


def test_what_the_job_does_by_itself_does_not_shrink_with_workers():
    cost = cost_of(12.0, [(10, 1.0)] * 4, workers=2, cores=2, own_s=8.0)
    assert cost.own_s == pytest.approx(0.2)
    assert cost.seconds(100, 2, 2) - cost.seconds(100, 1, 2) == pytest.approx(-5.0)


def test_workers_that_share_cores_are_not_faster_than_cores():
    # 4 workers on 2 cores: each clip of 0.1 s of a core takes 0.2 s
    cost = cost_of(8.0, [(10, 2.0)] * 16, workers=4, cores=2)
    assert cost.busy_s == pytest.approx(0.1) and cost.seconds(160, 4, 2) == pytest.approx(8.0)


def test_a_probe_without_a_second_shard_takes_the_warm_up_from_elsewhere():
    cost = cost_of(8.0, [(10, 7.0), (10, 7.0)], workers=2, cores=2, warm_s=5.0)
    assert cost.busy_s == pytest.approx(0.2) and cost.start_s == pytest.approx(6.0)
    assert cost_of(2.0, [], 2, 2) == Cost(2.0, 0.0, 0.0)


def test_shards_go_to_whoever_is_free():
    assert makespan([3, 1, 1, 1, 2], 2) == 5 and makespan([], 2) == 0 and makespan([1, 2], 1) == 3


def test_amdahl_is_found_back_from_two_measurements():
    law = Threads(0.25)
    times = {n: 7 * (0.25 + 0.75 / n) for n in (1, 2, 8)}
    found = threads_from((2, times[2]), (1, times[1]))
    assert found.alone == pytest.approx(0.25) and found.against(8, 2) == pytest.approx(times[8] / times[2])
    assert threads_from((1, 1.0), (2, 1.4)).alone == 1.0  # threads that harm are taken for useless
    assert law.against(2, 2) == 1.0


def test_an_epoch_is_its_steps_its_validation_and_its_save():
    # learning 0.01 s a clip, 0.5 s a step, 0.02 s a clip validated, 0.3 s a save, 4 s of start; the first epoch +9 s
    epoch = 5 * 0.5 + 32 * 0.02 + 0.3
    spent = {"learn inputs": 1.6, "validate": 2 * 32 * 0.02, "save": 0.6}
    whole = 4 + 1.6 + (epoch + 9) + epoch + 64 * 0.02
    how = training_of(whole, spent, [epoch + 9, epoch], steps=5, train=160, select=32, both=64)
    assert (how.step_s, how.validate_s, how.save_s, how.learn_s) == pytest.approx((0.5, 0.02, 0.3, 0.01))
    assert how.start_s == pytest.approx(4 + 9)
    assert how.epoch_seconds(250, 800) == pytest.approx(125 + 16 + 0.3)
    assert how.seconds(14, 250, 8000, 800, 800) == pytest.approx(13 + 80 + 32 + 14 * 141.3)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """(config, runs) of a run over the demo recordings, all jobs done."""
    base = tmp_path_factory.mktemp("estimate")
    config, runs = base / "road.yaml", base / "runs"
    config.write_text(yaml.safe_dump(yaml.safe_load(CONFIG) | {"mix": {"train_clips": 320, "valid_clips": 96}}))
    for job in JOBS:
        done = call(job, config, DEMO, runs)
        assert done.returncode == 0, done.stderr
    return config, runs


def ask(config, runs, *more, **env):
    return call("estimate", config, DEMO, runs, *more, **env)


@pytest.fixture(scope="module")
def found(truth, tmp_path_factory):
    """(what it said, its JSON, where RUNS was) of a probe of the same config beside the run that is done."""
    runs = tmp_path_factory.mktemp("probe") / "runs"
    done = ask(truth[0], runs, "--against", str(truth[1] / "road"), JSON="1")
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads(done.stdout), runs


PARTS = ["prepare", "denoise", "mix", "extract", "extract-test", "train pooled_logistic", "train crnn", "infer"]


def test_every_part_is_there_with_the_clips_of_the_whole_run(found):
    _, told, _ = found
    assert [line["job"] for line in told["jobs"]] == [*PARTS, "evaluate"]
    clips = {line["job"]: line["clips"] for line in told["jobs"]}
    assert clips["prepare"] == len([r for r in read_contest(DEMO).rows if r["split"] == "train"])
    assert clips["mix"] == clips["extract"] == 416 and clips["extract-test"] == 24 and clips["train crnn"] == 320
    for line in told["jobs"]:
        assert set(line["seconds"]) == {"1", "2", "4", "16"} and not line["done"]
        assert line["seconds"]["1"] >= line["seconds"]["2"] >= line["seconds"]["16"] > 0
        assert line["peak_mb"] > 20 and 0 < line["slowest_share"] <= 1 and line["gpu_mb"] == 0
    assert {line["job"] for line in told["jobs"] if line["epoch_seconds"]} == {"train crnn"}


def test_the_disk_is_known_within_a_tenth(found):
    _, told, _ = found
    took = told["truth"]["parts"]
    ours = {line["job"]: line["disk_mb"] * 1e6 for line in told["jobs"]}
    for part in ("denoise", "mix", "extract", "extract-test", "train crnn", "infer"):
        assert ours[part] == pytest.approx(took[part]["bytes"], rel=0.1), part
    assert sum(ours.values()) == pytest.approx(sum(part["bytes"] for part in took.values()), rel=0.1)


def test_the_estimate_stands_beside_what_it_took(found):
    said, told, runs = found
    assert "Estimate and what it took, 2 workers" in said and "1/9  prepare" in said and "9/9  evaluate" in said
    row = next(line for line in said.splitlines() if re.search(r"│ extract +│", line))
    assert f"{told['truth']['parts']['extract']['seconds']:.1f} s" in row
    assert not list(runs.iterdir())  # the probe is removed, and no run was begun


def test_the_steps_add_up_to_most_of_the_busy_time(truth):
    took = truth_of(truth[1] / "road")["parts"]
    for part in ("prepare", "denoise", "extract", "extract-test"):
        own = took[part]["steps"].pop("split and audit", 0.0)
        whole = sum(took[part]["steps"].values())
        # rounded to a millisecond each; what is in no step is a few hundredths, and more where the disk is busy
        assert 0.7 * took[part]["busy_s"] <= whole <= 1.1 * took[part]["busy_s"] + 0.03, part
        assert (own > 0) == (part == "prepare")
    assert {"step", "validate", "learn inputs", "save"} <= set(took["train crnn"]["steps"])
    assert {"pool", "fit"} <= set(took["train pooled_logistic"]["steps"])
    assert {"decode", "gate"} <= set(took["denoise"]["steps"]) and {"render", "features"} <= set(
        took["extract"]["steps"]
    )
    assert took["mix"]["steps"]["draw"] > 0 and took["infer"]["steps"]["network"] > 0


def test_a_fit_is_asked_for_its_passes_and_not_for_what_it_loads(truth):
    folder = truth[1] / "road"
    extracted = (folder / "stages" / "extract").resolve()
    passes = 320 * clip_seconds(extracted, "pooled_logistic", load_config(truth[0]), 2)
    took = truth_of(folder)["parts"]["train pooled_logistic"]
    cold = took["steps"]["learn inputs"] + took["steps"]["pool"]
    assert 0.02 * cold < passes < 5 * cold and passes < took["seconds"]  # of chance there is a lot, of factors not


def test_what_is_done_already_takes_no_time(truth, found, capsys):
    config, runs = truth
    road = Run("road", load_config(config), config, DEMO, runs, StopFlag())
    parts = [line["job"] for line in found[1]["jobs"]]
    assert done_parts(road) == set(parts)
    other = Run("road", load_config(config, {"extract.mels": 32}), config, DEMO, runs, StopFlag())
    assert done_parts(other) == {"prepare", "denoise", "mix"}
    assert done_parts(Run("new", road.config, config, DEMO, runs, StopFlag())) == set()
    lines = [{**line, "done": line["job"] == "denoise"} for line in found[1]["jobs"]]
    show(lines, 1.0, 2)
    rows = {line.split("│")[1].strip(): line for line in capsys.readouterr().err.splitlines() if "│" in line}
    assert "done already" in rows["denoise"] and "done already" not in rows["extract"] and "all" in rows


def test_a_stop_ends_it_politely_and_leaves_nothing(tmp_path):
    config, runs = tmp_path / "road.yaml", tmp_path / "runs"
    config.write_text(CONFIG)
    words = command("estimate", config, DEMO, runs)
    assert words[0] == sys.executable
    clean = {key: value for key, value in os.environ.items() if key not in ("CONFIG", "RUN", "DATA", "RUNS")}
    asking = subprocess.Popen(words, cwd=ROOT, env=clean, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not list(runs.glob(".estimate@*/50/runs/stages/denoise-*/stage.json")):
            assert time.monotonic() < end and asking.poll() is None
            time.sleep(0.05)
        asking.send_signal(signal.SIGTERM)
        said = asking.communicate(timeout=60)[1]
    finally:
        asking.kill()
        asking.wait()
    assert asking.returncode == 75 and "estimate: stopped (SIGTERM)" in said
    assert not list(runs.iterdir())


def test_a_probe_that_was_killed_is_cleared_by_the_next(a_run):
    run = a_run(DEMO)
    gone = subprocess.Popen(["true"])
    gone.wait()
    host = os.uname().nodename
    left, alive, other = (run.runs / f".estimate@{who}@abc" for who in (f"{host}@{gone.pid}", f"{host}@1", "far@1"))
    for folder in (left, alive, other):
        folder.mkdir(parents=True)
    with scratch(run) as folder:
        assert folder.parent == run.runs and not left.exists()
    assert sorted(run.runs.iterdir()) == sorted([alive, other])


def test_a_run_to_compare_with_must_be_there(tmp_path):
    done = ask(ROOT / "configs" / "demo.yaml", tmp_path, "--against", str(tmp_path / "nothing"))
    assert done.returncode == 2 and "nothing: no run" in done.stderr and "fix:" in done.stderr


def test_the_probe_is_drawn_by_lot_and_never_holds_test_labels(tmp_path):
    rows = [row for row in read_contest(DEMO).rows if row["split"] == "train"]
    drawn = draw_clips(DEMO, rows, 50, seed=1)
    assert len(drawn) == len({row["id"] for row in drawn}) == 50 and sum(row["fake"] for row in drawn) == 25
    assert drawn == draw_clips(DEMO, rows, 50, seed=1) != draw_clips(DEMO, rows, 50, seed=2)
    assert len(draw_clips(DEMO, rows, 10_000, seed=1)) == len(rows)
    lay_out(DEMO, tmp_path / "corpus", drawn, [row for row in read_contest(DEMO).rows if row["split"] == "test"][:5])
    again = read_contest(tmp_path / "corpus").rows
    known = {row["id"]: row for row in read_contest(DEMO).rows}
    assert len(again) == 55 and all(row == known[row["id"]] for row in again)
    assert not (tmp_path / "corpus" / "test_labels.csv").exists()


def test_the_amounts_are_those_of_the_corpus(a_run):
    run: Run = a_run(DEMO, **{"infer.overlap_s": 2.5})
    assert isinstance(run.stop, StopFlag)
    sizes = sizes_of(run, read_contest(DEMO), {"crnn": 3})
    assert sizes.windows == sizes.tests == 24  # of 5 s each
    assert (sizes.planned, sizes.train, sizes.select, sizes.calibrate, sizes.steps) == (25600, 24000, 800, 800, 750)
    assert sizes.epochs == {"pooled_logistic": 3, "crnn": 3}
    short = sizes_of(a_run(DEMO, **{"prepare.max_seconds": 1.0}), read_contest(DEMO), {})
    assert short.sound_s <= sizes.recordings < sizes.sound_s
