"""Models that hear waveforms, through the same seven jobs; and trees, which are fitted at once."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest

from app.runtime.shards import rows_of
from tests.jobs.road import CONFIG, DEMO, JOBS, ROOT, call, command

WINDOW = "mix: {train_clips: 96, valid_clips: 48, shard_clips: 60, window_s: 1.5, voice_s: [0.8, 1.5]}"
MODELS = "train: {models: [pooled_boosting, lfcc_lcnn], epochs: 1, batch_clips: 16}"


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """(config, runs, {job: what it said}): boosting on features, then a network on waveforms, which answers."""
    base = tmp_path_factory.mktemp("waves")
    lines = [line for line in CONFIG.splitlines() if line and line.split(":")[0] not in ("mix", "train")]
    config, runs, said = base / "road.yaml", base / "runs", {}
    config.write_text("\n".join([*lines, WINDOW, MODELS, "infer: {model: lfcc_lcnn, overlap_s: 0.5}"]))
    for job in JOBS:
        done = call(job, config, DEMO, runs, FINAL="1")
        assert done.returncode == 0, f"{job}:\n{done.stderr}"
        said[job] = done.stderr
    return config, runs, said


def test_extract_makes_what_the_models_read_and_infer_reads_what_its_model_does(road):
    _, runs, said = road
    assert "waves  done: in 144 = out 144 + failed 0" in said["extract"]
    features, waves = ({row["id"] for row in rows_of(runs / "road/stages" / part)} for part in ("extract", "waves"))
    assert features == waves and len(waves) == 144
    heard = {row["id"] for row in rows_of(runs / "road/stages/waves-test")}
    assert {row["id"] for row in rows_of(runs / "road/stages/infer")} == heard
    with (runs / "road/scores/lfcc_lcnn.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 24
    metrics = json.loads((runs / "road/metrics.json").read_text())
    assert metrics["model"] == "lfcc_lcnn" and len(metrics["data"]) == 3


def test_the_report_tells_what_carried_the_answers_of_waveforms_and_of_trees(road):
    config, runs, _ = road
    page = (runs / "road/report/index.html").read_text()
    assert "A fake voice? Logit: map " in page and "measures +0.00" in page and "were not explained" not in page
    assert page.count("<audio") == 20 and "Answered again here" not in page
    done = call("report", config, DEMO, runs, "--set", "infer.model=pooled_boosting", "--set", "evaluate.shown=1")
    assert done.returncode == 0, done.stderr
    page = (runs / "road/report/index.html").read_text()
    assert page.count("A fake voice? By occlusion") == page.count("<audio") == 2
    slow = call("report", config, DEMO, runs, "--set", "evaluate.explain_s=0.01", "--set", "evaluate.shown=1")
    assert slow.returncode == 0, slow.stderr  # its looks at the test are logged, so that the test is there again
    page = (runs / "road/report/index.html").read_text()
    assert (
        "of these clips were not explained" in page
        and "A fake voice? Logit" not in page
        and "Worst mistakes: test" in page
    )


def test_a_model_that_hears_waveforms_needs_no_features(road, tmp_path):
    config, runs, _ = road
    alone = tmp_path / "road.yaml"
    alone.write_text(config.read_text().replace("[pooled_boosting, lfcc_lcnn]", "[lfcc_lcnn]"))
    for job in ("prepare", "denoise", "mix", "extract", "train"):
        done = call(job, alone, DEMO, tmp_path / "runs")
        assert done.returncode == 0, f"{job}:\n{done.stderr}"
    made = {path.name for path in (tmp_path / "runs/road/stages").iterdir()}
    assert {"waves", "waves-test"} <= made and not {"extract", "extract-test"} & made
    both = [json.loads((place / "road/models/lfcc_lcnn/model.json").read_text()) for place in (runs, tmp_path / "runs")]
    assert both[0]["weights_sha256"] == both[1]["weights_sha256"]


def test_the_folder_alone_answers_as_the_job_does(road):
    config, runs, _ = road
    files = [DEMO / "test" / f"TEST_0000{n}.ogg" for n in (0, 1)]
    scored = {}
    with (runs / "road/scores/lfcc_lcnn.csv").open() as file:
        scored = {row["id"]: (float(row["fake"]), float(row["real"])) for row in csv.DictReader(file)}
    for model in ("lfcc_lcnn", "pooled_boosting"):
        done = subprocess.run(
            [sys.executable, "-m", "jobs.infer", "--model", runs / "road/models" / model, "--csv", *files],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(done.stdout.splitlines()))
        if model == "lfcc_lcnn":
            for row, file in zip(rows, files, strict=True):
                assert (float(row["fake"]), float(row["real"])) == pytest.approx(scored[file.stem], abs=1e-5)
        others = call("infer", config, DEMO, runs, "--set", f"infer.model={model}", INPUT=str(files[0]), CSV="1")
        assert others.returncode == 0, others.stderr
        told = next(csv.DictReader(others.stdout.splitlines()))
        assert float(told["fake"]) == pytest.approx(float(rows[0]["fake"]), abs=1e-5)


def test_what_is_trained_in_pieces_ends_in_the_same_bytes(road, tmp_path):
    """Stopped after each few steps, and killed; the weights lie channels last, or not, or are an LSTM's."""
    config, runs, _ = road
    other = tmp_path / "runs"
    (other / "road").mkdir(parents=True)
    (other / "stages").symlink_to(runs / "stages")
    for name in ("config.yaml", "corpus.json", "stages.json"):
        (other / "road" / name).write_bytes((runs / "road" / name).read_bytes())
    words = ["--set", "train.checkpoint_steps=1"]
    for stop in (signal.SIGTERM, signal.SIGKILL):
        job = subprocess.Popen(command("train", config, DEMO, other, *words), cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(other.glob("road/models/lfcc_lcnn-*/last.safetensors")):
            time.sleep(0.02)
        time.sleep(0.2)
        job.send_signal(stop)
        job.wait()
    done = call("train", config, DEMO, other, *words)
    assert done.returncode == 0, done.stderr
    for model in ("lfcc_lcnn", "pooled_boosting"):
        whole, pieces = (place / "road/models" / model / "best.safetensors" for place in (runs, other))
        assert whole.read_bytes() == pieces.read_bytes()
