"""The whole road, as a user walks it: seven jobs in processes of their own, on real recordings and broken ones."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from app.config import load_config
from app.runtime.shards import Draft, rows_of
from jobs.prepare import _join
from tests.jobs.road import BROKEN, CONFIG, JOBS, ROOT, call, command, files_under, make_corpus


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """(corpus, config, runs, {job: what it said}) after all seven jobs."""
    base = tmp_path_factory.mktemp("road")
    data, runs, config = make_corpus(base / "corpus"), base / "runs", base / "road.yaml"
    config.write_text(CONFIG)
    said = {}
    for job in JOBS:
        done = call(job, config, data, runs)
        assert done.returncode == 0, f"{job}:\n{done.stderr}"
        said[job] = done.stderr
    return data, config, runs, said


def stage(runs: Path, part: str) -> Path:
    return runs / "road" / "stages" / part


def test_every_clip_is_accounted_for(road):
    _, _, runs, said = road
    assert "done: in 157 = out 151 + failed 6" in said["prepare"]
    assert "done: in 151 = out 151 + failed 0" in said["denoise"]
    assert "done: in 144 = out 144 + failed 0" in said["extract"] and "in 24 = out 24 + failed 0" in said["extract"]
    failed = {row["id"]: row["cause"] for row in rows_of(stage(runs, "prepare"), "failed")}
    assert failed == BROKEN
    assert "clips are left out: silent" in said["prepare"]


def test_other_rates_and_channels_are_converted(road):
    row = next(row for row in rows_of(stage(road[2], "denoise")) if row["id"] == "STEREO")
    assert (row["sample_rate"], row["num_samples"]) == (16000, 32000)


def test_no_recording_serves_two_splits(road):
    split_of = {row["id"]: row["split"] for row in rows_of(stage(road[2], "prepare"), shard="manifest")}
    rows = list(rows_of(stage(road[2], "extract")))
    assert len(rows) == 144
    for row in rows:
        assert {split_of[source] for source in row["sources"]} <= {row["split"]}
    speakers = {split: set() for split in ("train", "select", "calibrate")}
    for row in rows_of(stage(road[2], "prepare"), shard="manifest"):
        if row["split"] in speakers:
            speakers[row["split"]].add(row["speaker"])
    assert not speakers["train"] & speakers["select"] and not speakers["train"] & speakers["calibrate"]
    assert not speakers["select"] & speakers["calibrate"]


def test_the_split_is_the_same_though_another_job_has_made_it_meanwhile(road, tmp_path):
    """Where locks do not work two jobs may be at it: what the other has committed must not be read as its own input."""
    prepared = stage(road[2], "prepare")
    draft = Draft(tmp_path)
    _join(prepared, draft, load_config(road[1]), has_meta=True)
    again = {row["id"]: row["split"] for row in draft.manifest}
    assert again == {row["id"]: row["split"] for row in rows_of(prepared, shard="manifest")}


@pytest.mark.parametrize(
    ("job", "steps"),
    [("prepare", ["decode", "facts"]), ("denoise", ["gate", "pauses"]), ("extract", ["render", "features"])],
)
def test_a_profile_tells_the_steps_of_a_shard_and_leaves_nothing(road, job, steps):
    data, config, runs, _ = road
    before = set(runs.rglob("*"))
    done = call("profile", config, data, runs, JOB=job)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"│ {step} +│ \d+\.\d+ +│ \d+% +│", done.stderr) for step in [*steps, "in no step"])
    assert "ms a clip" in done.stderr and "The dearest functions" in done.stderr
    assert set(runs.rglob("*")) == before
    refused = call("profile", config, data, runs, JOB="train")
    assert refused.returncode == 2 and "JOB=prepare or denoise or extract" in refused.stderr


def test_a_job_that_is_refused_leaves_no_run_and_no_config(road, tmp_path):
    data, config, runs, _ = road
    refused = call("extract", config, data, tmp_path / "runs")
    assert refused.returncode == 2 and "no corpus has been prepared" in refused.stderr
    assert not list((tmp_path / "runs").glob("*"))
    kept, other = (runs / "road" / "config.yaml").read_text(), tmp_path / "other.yaml"
    other.write_text(CONFIG.replace("sample_rate: 16000", "sample_rate: 22050"))
    refused = call("prepare", other, tmp_path / "nowhere", runs)
    assert refused.returncode == 2 and (runs / "road" / "config.yaml").read_text() == kept
    for name in ("../x", "my run", "stages", "."):
        refused = call("prepare", config, data, tmp_path / "runs", "--run", name)
        assert refused.returncode == 2 and "is no name for a run" in refused.stderr
    through_a_file = call("prepare", config, data, other / "runs")
    assert through_a_file.returncode == 2 and "choose another place with RUNS=" in through_a_file.stderr


def test_the_submission_is_that_of_the_sample(road):
    data, _, runs, _ = road
    sample, ours = (list(csv.reader(p.open())) for p in (data / "sample_submission.csv", runs / "road/submission.csv"))
    assert [row[0] for row in ours] == [row[0] for row in sample] and ours[0] == ["id", "fake", "real"]
    values = np.array([row[1:] for row in ours[1:]], float)
    assert values.min() >= 0 and values.max() <= 1 and len(np.unique(values)) > 10


def test_the_test_labels_are_looked_at_only_when_asked_and_each_look_is_logged(road):
    data, config, runs, said = road
    assert "Validation only: the test labels were not looked at" in said["evaluate"]
    assert not (runs / "test_looks.jsonl").exists()
    assert {d["name"] for d in json.loads((runs / "road/metrics.json").read_text())["data"]} == {
        "select", "calibrate",
    }  # fmt: skip
    done = call("evaluate", config, data, runs, FINAL="1")
    assert done.returncode == 0 and "test" in done.stderr and "Too few clips to judge by" in done.stderr
    [look] = [json.loads(line) for line in (runs / "test_looks.jsonl").read_text().splitlines()]
    metrics = json.loads((runs / "road/metrics.json").read_text())["data"][0]
    assert metrics["name"] == "test" and metrics["clips"] == 24 and look["score"] == metrics["score"]


def test_without_test_labels_validation_is_reported_and_said(road, tmp_path):
    _, config, runs, _ = road
    done = call("evaluate", config, tmp_path, runs, FINAL="1")
    assert done.returncode == 0 and "this corpus has no test labels" in done.stderr


def test_another_corpus_than_the_prepared_one_is_refused(road, tmp_path):
    data, config, runs, _ = road
    other = tmp_path / "other"
    shutil.copytree(data, other)
    (other / "test.csv").write_text((data / "test.csv").read_text() + "TEST_99999,./test/TEST_00000.ogg\n")
    for job in ("infer", "evaluate"):
        done = call(job, config, other, runs, FINAL="1")
        assert done.returncode == 2 and "not the table that run road was prepared from" in done.stderr, job


def test_a_recording_that_changed_or_went_after_prepare_is_no_failed_clip(road, tmp_path):
    data, config, _, _ = road
    other, runs = tmp_path / "other", tmp_path / "runs"
    shutil.copytree(data, other)
    assert call("prepare", config, other, runs).returncode == 0
    path = other / "train" / "STEREO.wav"
    content = path.read_bytes()
    for change in (lambda: path.write_bytes(content[:-2] + b"ab"), path.unlink):
        change()
        done = call("denoise", config, other, runs)
        assert done.returncode == 2 and "STEREO.wav: not the recording that was prepared" in done.stderr
    path.write_bytes(content)
    done = call("denoise", config, other, runs)
    assert done.returncode == 0 and "in 151 = out 151 + failed 0" in done.stderr
    # where DATA is not said, it is the corpus that was prepared
    words = command("mix", config, other, runs)
    del words[words.index("--data") : words.index("--data") + 2]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0


def test_a_model_of_another_config_does_not_answer_for_this_one(road):
    data, config, runs, _ = road
    before = files_under(runs / "road" / "models")
    other = ("--set", "extract.f0_hz=[70, 600]")
    assert "no model is trained" not in call("infer", config, data, runs).stderr
    late = call("infer", config, data, runs, *other)
    assert late.returncode == 2 and "no model is trained for this config" in late.stderr
    retrained = ("--set", "train.epochs=1", "--set", "train.models=[crnn]")
    assert call("train", config, data, runs, *retrained).returncode == 0
    assert len(list((runs / "road/models").glob("crnn-*"))) == 2
    again = call("train", config, data, runs)  # back to the first config: both models are still there
    assert again.returncode == 0 and again.stderr.count("done already") == 2
    assert before.items() <= files_under(runs / "road" / "models").items()


def test_the_report_is_one_file_with_all_its_parts(road):
    page = (road[2] / "road/report/index.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    for part in (
        "Recordings, by split",
        "Planned clips",
        "By attack",
        "Reliability",
        "ROC",
        "pooled_logistic",
        "crnn",
        "peak",
        "silent",
    ):
        assert part.lower() in page.lower(), part


def test_a_second_time_nothing_is_computed_and_no_byte_changes(road):
    data, config, runs, _ = road
    before = files_under(runs)
    for job in JOBS[:-1]:
        done = call(job, config, data, runs)
        assert done.returncode == 0 and "done already" in done.stderr and "clips/s" not in done.stderr
    after = files_under(runs)
    rewritten = {path for path in after if after[path] != before.get(path)}
    assert rewritten <= {"road/submission.csv", "road/scores/crnn.csv", "road/scores/pooled_logistic.csv"}


def test_an_earlier_config_leaves_its_stages_and_a_later_one_computes_only_what_changes(road, tmp_path):
    data, _, runs, _ = road
    config = tmp_path / "road.yaml"
    config.write_text(CONFIG.replace("train_clips: 96", "train_clips: 48"))
    for job, done_already in (("prepare", True), ("denoise", True), ("mix", False)):
        assert ("done already" in call(job, config, data, runs).stderr) == done_already, job
    assert len(list(runs.glob("stages/mix-*"))) == 2
    late = call("train", config, data, runs)
    assert (
        late.returncode == 2 and "extract is not done for this config" in late.stderr and "make extract" in late.stderr
    )


def test_a_broken_extraction_ends_in_the_same_bytes(road, tmp_path):
    data, config, runs, _ = road
    other = tmp_path / "runs"
    for job in ("prepare", "denoise", "mix"):
        assert call(job, config, data, other).returncode == 0
    shards = next(other.glob("stages/mix-*")).parent
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = len(list(shards.glob("extract-*/shards/*/receipt.json")))
        job = subprocess.Popen(command("extract", config, data, other), cwd=ROOT, stderr=subprocess.DEVNULL)
        while job.poll() is None and len(list(shards.glob("extract-*/shards/*/receipt.json"))) <= before:
            time.sleep(0.02)
        os.kill(job.pid, number)
        assert job.wait(30) == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert call("extract", config, data, other).returncode == 0
    for path in sorted(runs.glob("stages/extract-*/shards/*/*")):
        twin = other / path.relative_to(runs)
        assert path.read_bytes() == twin.read_bytes(), path
    assert not list(other.glob("stages/extract-*/shards/.draft*"))


def test_a_test_clip_scores_the_same_as_a_single_file(road):
    data, config, runs, _ = road
    done = call("infer", config, data, runs, INPUT=str(data / "test" / "TEST_00003.ogg"))
    assert done.returncode == 0, done.stderr
    [row] = csv.DictReader((runs / "road/scores/input/TEST_00003.ogg.csv").open())
    submitted = {r["id"]: r for r in csv.DictReader((runs / "road/submission.csv").open())}["TEST_00003"]
    for column in ("fake", "real"):
        assert float(row[column]) == pytest.approx(float(submitted[column]), rel=1e-4)


def test_any_folder_of_recordings_is_scored_by_file_and_window(road, tmp_path):
    data, config, runs, _ = road
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    noise = np.random.default_rng(1).normal(0, 0.05, (int(12.3 * 44100), 2))
    soundfile.write(folder / "long stereo.wav", noise, 44100)
    soundfile.write(folder / "sub" / "short.flac", noise[:22050, 0], 44100)
    (folder / "broken.ogg").write_bytes(b"OggS nothing")
    (folder / "notes.txt").write_text("no recording")
    done = call("infer", config, data, runs, INPUT=str(folder))
    assert done.returncode == 0, done.stderr
    assert "broken.ogg: unreadable" in done.stderr
    rows = {r["id"]: r for r in csv.DictReader((runs / "road/scores/input/mine.csv").open())}
    windows = list(csv.DictReader((runs / "road/scores/input/mine.windows.csv").open()))
    assert set(rows) == {"long stereo.wav", "sub/short.flac"}
    starts = [float(w["start_s"]) for w in windows if w["file"] == "long stereo.wav"]
    assert starts == [0.0, 2.5, 5.0, pytest.approx(7.3, abs=0.01)]
    for column in ("fake", "real"):
        highest = max(float(w[column]) for w in windows if w["file"] == "long stereo.wav")
        assert float(rows["long stereo.wav"][column]) == highest


@pytest.mark.parametrize(("given", "words"), [("nothing/here.wav", "no such file"), ("EMPTY", "holds no recording")])
def test_an_input_that_is_none_is_told(road, tmp_path, given, words):
    data, config, runs, _ = road
    done = call("infer", config, data, runs, INPUT=str(tmp_path) if given == "EMPTY" else given)
    assert done.returncode == 2 and words in done.stderr and "fix:" in done.stderr


def test_an_unreadable_test_clip_still_has_a_row_in_the_submission(road, tmp_path):
    data, config, runs, _ = road
    broken, other = tmp_path / "corpus", tmp_path / "runs"
    shutil.copytree(data, broken)
    (broken / "test" / "TEST_00005.ogg").write_bytes(b"")
    shutil.copytree(runs, other, symlinks=True)
    for job in ("prepare", "denoise", "extract", "train", "infer"):
        done = call(job, config, broken, other)
        assert done.returncode == 0, done.stderr
        # what happens to the test leaves all that training made
        assert job in ("prepare", "extract", "infer") or "done already" in done.stderr, job
    assert "1 recordings could not be read (TEST_00005: empty" in done.stderr
    rows = {r["id"]: r for r in csv.DictReader((other / "road/submission.csv").open())}
    models = [json.loads(path.read_text()) for path in other.glob("road/models/*-*/model.json")]
    model = min(models, key=lambda model: model["select"]["select_score"])
    assert len(rows) == 24 and float(rows["TEST_00005"]["fake"]) == pytest.approx(model["prevalence"][0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mix: {snr: [1, 2]}", ["road.yaml:1: mix.snr: unknown key", "snr_db"]),
        ("train: {models: [crn]}", ["road.yaml:1: train.models.0", "did you mean 'crnn'?"]),
        ("infer: {model: crn}", ["road.yaml:1: infer.model", "did you mean 'crnn'?"]),
    ],
)
def test_a_wrong_key_stops_before_any_work(tmp_path, text, words):
    config = tmp_path / "road.yaml"
    config.write_text(text)
    done = call("prepare", config, ROOT / "data/demo", tmp_path / "runs")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "runs" / "stages").exists()


def test_a_corpus_that_is_none_is_told(tmp_path):
    config = tmp_path / "road.yaml"
    config.write_text(CONFIG)
    done = call("prepare", config, tmp_path, tmp_path / "runs")
    assert done.returncode == 2 and "fits no layout that is known (found: road.yaml" in done.stderr
    assert "contest: train.csv (id,path,label)" in done.stderr and "docs/data.md" in done.stderr


def test_status_shows_every_job(road):
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "jobs.status", "--runs", str(road[2])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    for job in ("prepare", "denoise", "mix", "extract", "train crnn", "infer"):
        assert re.search(rf"{job} +│ road +│ done", done.stderr), job


def test_whoever_stops_make_stops_the_job_and_is_told_how_to_go_on(road, tmp_path):
    data, config, _, _ = road
    runs = tmp_path / "runs"
    for job in ("prepare", "denoise", "mix"):
        assert call(job, config, data, runs).returncode == 0
    words = ["make", "-s", "extract", f"CONFIG={config}", "RUN=road", f"DATA={data}", f"RUNS={runs}", "WORKERS=1"]
    made = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while made.poll() is None and not list(runs.glob("stages/extract-*/shards/00000/receipt.json")):
        time.sleep(0.05)
    made.terminate()
    said = made.communicate(timeout=60)[1]
    assert made.returncode != 0 and "the same command goes on" in said
    [status] = [json.loads(p.read_text()) for p in runs.glob("stages/extract-*/status/main.json")]
    assert status["state"] == "stopped"
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "shards are done already" in done.stderr


def test_mixes_can_be_listened_to_and_nothing_is_computed_again_for_that(road):
    data, config, runs, _ = road
    done = call("mix", config, data, runs, "--set", "mix.materialise=true")
    assert done.returncode == 0 and "mix  done already" in done.stderr, done.stderr
    found = sorted(stage(runs, "mix-audio").glob("shards/*/*.wav"))
    assert len(found) == 144
    samples, rate = soundfile.read(found[0])
    assert rate == 16000 and len(samples) == 80000 and 0 < np.abs(samples).max() < 1
    assert "extract  done already" in call("extract", config, data, runs, "--set", "mix.materialise=true").stderr


def test_a_gate_as_front_end_is_before_all_features_alike(road):
    data, config, runs, _ = road
    plain = {part: stage(runs, part).resolve() for part in ("extract", "extract-test")}
    done = call("extract", config, data, runs, "--set", "extract.front_end=gate")
    assert done.returncode == 0, done.stderr
    for part, before in plain.items():
        gated = stage(runs, part).resolve()
        assert gated != before
        mels = [np.load(where / "shards/00000/mel.npy")[:8].astype(float) for where in (gated, before)]
        quiet, loud = (np.percentile(mel, 10) for mel in mels)
        assert quiet < loud - 3  # dB: the noise between the words is lower
    assert call("extract", config, data, runs).returncode == 0  # the links of the run point to this config again


def test_a_corpus_without_a_test_walks_the_road(road, tmp_path):
    data, config, _, _ = road
    other, runs = tmp_path / "other", tmp_path / "runs"
    shutil.copytree(data, other)
    for name in ("test.csv", "test_labels.csv", "sample_submission.csv"):
        (other / name).unlink()
    small = ("--set", "train.models=[pooled_logistic]")
    for job in JOBS:
        done = call(job, config, other, runs, *small, FINAL="1")
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{job}: {done.stderr}"
    assert "there is no " in done.stderr and "test_labels.csv" in done.stderr


def test_an_interrupt_between_two_jobs_ends_the_chain(road, tmp_path):
    data, config, runs, _ = road
    words = ["make", "-s", "all", f"CONFIG={config}", "RUN=road", f"DATA={data}", f"RUNS={runs}", "WORKERS=1"]
    for seconds in (0.6, 1.4, 2.3):
        made = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(seconds)
        os.killpg(made.pid, signal.SIGINT)
        said = made.communicate(timeout=30)[1]
        assert made.returncode != 0 and "Traceback" not in said and "exit code 75, stopped" in said, said
