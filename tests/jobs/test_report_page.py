"""The report of a real run, in a real browser; one test recording's name is markup, one is long, one is none."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.special import logit

from app.runtime.desk import Desk
from app.runtime.status import read_status
from app.scoring.calibration import Calibration, apply_calibration
from jobs import clips
from jobs.compare import _trained
from jobs.report_tables import by_split, job_rows
from jobs.scored import scored_test_of, validation_of
from tests.browser import LAPTOP, PHONE, SCHEMES, opened
from tests.jobs.road import CONFIG, JOBS, ROOT, call, make_corpus

HOSTILE, LONG, BROKEN = "<img src=x onerror=alert('TEST')>", "TEST_00001", "TEST_00002"
MORE = CONFIG.replace("bootstrap: 20", "bootstrap: 50, shown: 12, explain_s: 1.5, final: true")
MORE += "infer: {model: pooled_logistic}\n"  # the quick one: some of its clips are explained in that time

PARTS = """ROC; DET; Reliability, fake; AUC by codec; AUC by number of voices; AUC by state; AUC by SNR, dB;
AUC by attack; AUC by language; Worst mistakes: test; Most doubtful: validation; Spectrogram and F0;
Validation clips by state; Recordings by attack; Recordings by speaker; Recordings by language;
Does a plain fact tell the label?; Jobs; How to repeat;
Looks at this test"""
PARTS = [part.strip().lower() for part in PARTS.split(";")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(corpus, config, runs) after all seven jobs, and a second training of the same clips."""
    base = tmp_path_factory.mktemp("page")
    data, runs, config = make_corpus(base / "corpus"), base / "runs", base / "page.yaml"
    config.write_text(MORE)
    for name in ("test.csv", "test_labels.csv", "sample_submission.csv"):
        rows = list(csv.reader((data / name).open(newline="")))
        with (data / name).open("w", newline="") as file:
            csv.writer(file).writerows([HOSTILE if row[0] == "TEST_00000" else row[0], *row[1:]] for row in rows)
    samples, rate = soundfile.read(data / "test" / f"{LONG}.ogg")
    soundfile.write(data / "test" / f"{LONG}.ogg", np.tile(samples, 3)[: 12 * rate], rate)
    (data / "test" / f"{BROKEN}.ogg").write_bytes(b"no recording")
    for job in JOBS:
        done = call(job, config, data, runs, "--set", "runtime.max_failed=0.5")
        assert done.returncode == 0, f"{job}:\n{done.stderr}"
    other = call("train", config, data, runs, "--set", "train.models=[crnn]", "--set", "train.seed=1")
    assert other.returncode == 0, other.stderr
    return data, config, runs


@pytest.fixture(scope="module")
def report(run) -> Path:
    """Made again, now that there is another training."""
    done = call("report", run[1], run[0], run[2])
    assert done.returncode == 0, done.stderr
    return run[2] / "road/report/index.html"


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_whole_and_legible(report, browser, size, scheme):
    with opened(browser, report.as_uri(), size, scheme) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert seen.said == [] and seen.asked == [report.as_uri()]
        assert not seen.is_too_wide()
        if (size == LAPTOP) == (scheme == "light"):  # ten seconds each
            assert seen.violations() == []
        dark = seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
        assert dark == (scheme == "dark")


def test_every_figure_is_drawn(report, browser):
    with opened(browser, report.as_uri()) as seen:
        page = seen.page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        figures = page.locator("figure svg[role=img][aria-label]")
        shown = page.locator("article.clip").count()
        assert shown == 24 + 24  # all of the test, half of validation
        assert figures.count() > 3 * 3 + shown + shown // 2  # how many were explained, in 1.5 s, hangs on the machine
        sizes = figures.evaluate_all("all => all.map(one => [one.clientWidth, one.clientHeight])")
        assert all(width > 200 and height > 80 for width, height in sizes)
        pictures = page.locator("article.clip svg image")
        boxes = pictures.evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
        assert len(boxes) > shown and min(boxes) > 100
        loaded = """Promise.all([...document.querySelectorAll('svg image')].map(one => {
            const image = new Image(); image.src = one.getAttribute('xlink:href') || one.getAttribute('href');
            return image.decode().then(() => image.naturalWidth) }))"""
        assert min(page.evaluate(loaded)) > 1
        words = {title.lower() for title in page.locator("h2, h3, figcaption, summary").all_inner_texts()}
        for part in PARTS:
            assert any(word.startswith(part) for word in words), part


def test_players_play(report, browser):
    with opened(browser, report.as_uri()) as seen:
        players = seen.page.locator("article.clip audio")
        assert players.count() == 24 + 24 - 1  # one cannot be read
        for number in (0, players.count() - 1):
            seconds, at = players.nth(number).evaluate(
                """one => one.play().then(() => new Promise(done => setTimeout(done, 700)))
                   .then(() => [one.duration, one.currentTime])"""
            )
            assert 1 < seconds <= 5.01 and at > 0.2
        assert seen.said == []


def test_a_keyboard_is_enough(report, browser):
    with opened(browser, report.as_uri()) as seen:
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#result"
        for _ in range(4):
            page.keyboard.press("Tab")
        target = page.evaluate("document.activeElement.getAttribute('href')")
        page.keyboard.press("Enter")
        top = page.evaluate(f"document.querySelector('{target}').getBoundingClientRect().top")
        assert page.url.endswith(target) and top == pytest.approx(0, abs=40)
        summary = page.locator("summary").first
        summary.focus()
        page.keyboard.press("Enter")
        assert summary.evaluate("one => one.parentElement.open")


def test_names_stay_names_and_each_clip_says_what_it_is(report, browser):
    with opened(browser, report.as_uri()) as seen:
        page = seen.page
        assert page.locator("script, img").count() == 0
        assert page.locator("article.clip h4", has_text=HOSTILE).count() == 1
        long = page.locator("article.clip", has=page.locator("h4", has_text=LONG))
        assert re.search(r"[\d.]+ to [\d.]+ s, the highest p_(fake|real) of its 4 windows", long.inner_text())
        broken = page.locator("article.clip", has=page.locator("h4", has_text=BROKEN))
        assert "Not readable" in broken.inner_text() and broken.locator("audio").count() == 0
        text = page.locator("main").inner_text()
        assert "were not explained" in text  # explain_s is short on purpose
        assert "Without the tenth of the map" in text and "without as large a part elsewhere" in text
        assert "train.seed 1" in text  # the other training


def test_what_it_shows_is_what_was_answered(run, report):
    """Each clip's sound was scored again by the model's folder: no stored answer lay elsewhere."""
    page = report.read_text()
    assert "Answered again here" not in page
    assert len(page) < 15e6
    [look] = [json.loads(line) for line in (run[2] / "test_looks.jsonl").read_text().splitlines()]
    assert look["model"] in page  # one look, though the report was made twice


def test_a_page_does_not_grow_beyond_its_size(run, monkeypatch, tmp_path):
    """The last clips go without picture and player, and a sentence says so."""
    data, _, runs = run
    trained, model = _trained(runs, "road", str(data))
    picks = clips.picks_of(validation_of(trained, model), 3)
    monkeypatch.setattr(clips, "MOST_BYTES", 400_000)
    shown, notes = clips.shown_clips(trained, model, picks, Desk(trained, tmp_path, "evaluate", "evaluate"))
    assert [one.picked for one in shown] == picks and len(picks) == 6
    heard = [one.audio is not None for one in shown]
    assert heard == sorted(heard, reverse=True) and 1 <= sum(heard) < 6
    assert all(bool(one.panels) == (one.audio is not None) for one in shown)
    assert any("too large (evaluate.shown)" in note for note in notes)


def test_each_recording_is_counted_once(run):
    prepared = run[2] / "road/stages/prepare"
    audit = json.loads((prepared / "shards/manifest/audit.json").read_text())
    for key in ("attack", "language"):
        rows = by_split(prepared, key)
        for split in audit["splits"]:
            assert sum(row[split["split"]] for row in rows) == split["clips"], (key, split)


def test_each_job_is_counted_once_whatever_its_tasks(run, tmp_path):
    """A resume where locks do not work leaves a second status file."""
    stage = run[2] / "road/stages/denoise"
    [status] = read_status(stage)
    folder = tmp_path / "stage"
    shutil.copytree(stage, folder)
    (folder / "status/again.json").write_text(json.dumps({**status, "seconds": 2.5, "peak_mb": 1.0}))
    [row] = job_rows({"denoise": folder}, [])
    assert row["clips"] > 0 and row["peak_mb"] == status["peak_mb"]
    assert row["seconds"] == pytest.approx(status["seconds"] + 2.5)


def test_before_calibration_the_test_is_known_too(run):
    """Each recording's logits, as far as they can be told from its answer."""
    data, _, runs = run
    trained, model = _trained(runs, "road", str(data))
    scored = scored_test_of(trained, model)
    again = apply_calibration(logit(scored.uncalibrated), Calibration.from_json(model["calibration"]))
    heard = np.array([clip != BROKEN for clip in scored.clips])
    assert again[heard] == pytest.approx(scored.scores[heard], abs=1e-6)
    assert (scored.uncalibrated[~heard] == scored.scores[~heard]).all() and not heard.all()
    assert not np.allclose(scored.uncalibrated[heard], scored.scores[heard], atol=1e-3)


def test_without_the_recordings_the_report_says_so(run, tmp_path):
    data, config, runs = run
    before = (runs / "road/report/index.html").read_bytes()
    try:
        bare = tmp_path / "bare"
        bare.mkdir()
        for path in data.glob("*.csv"):
            (bare / path.name).write_bytes(path.read_bytes())
        done = call("report", config, bare, runs, "--set", "evaluate.shown=1")
        assert done.returncode == 0, done.stderr
        page = (runs / "road/report/index.html").read_text()
        assert "No sound here" in page and "not the recording that was prepared" in page
        assert page.count("<audio") == 2  # of validation, which is mixed again
    finally:
        (runs / "road/report/index.html").write_bytes(before)


@pytest.fixture
def kept(run):
    """The report as it was is there again afterwards."""
    page, metrics = run[2] / "road/report/index.html", run[2] / "road/metrics.json"
    before = page.read_bytes(), metrics.read_bytes()
    yield page
    page.write_bytes(before[0])
    metrics.write_bytes(before[1])


def test_a_known_score_of_the_test_is_not_lost_or_changed_unseen(run, report, kept, tmp_path):
    """Without the labels, and with other ones, `make report` says so and leaves all as it is."""
    data, config, runs = run
    looks, before = (runs / "test_looks.jsonl").read_bytes(), kept.read_bytes()
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    shutil.copytree(data, other)
    lines = (other / "test_labels.csv").read_text().splitlines(keepends=True)
    (other / "test_labels.csv").write_text("".join(lines[:-1]))
    for folder, words in (("empty", "the labels of the test are not here"), ("other", "not the labels that run road")):
        done = call("report", config, tmp_path / folder, runs, "--set", "evaluate.final=false")
        assert done.returncode == 2 and words in done.stderr and "fix: " in done.stderr, done.stderr
    assert (runs / "test_looks.jsonl").read_bytes() == looks and kept.read_bytes() == before


def test_numbers_do_not_need_the_weights(run, report, kept):
    data, config, runs = run
    weights = next((runs / "road/models").glob("pooled_logistic-*/best.safetensors"))
    moved = weights.rename(weights.with_suffix(".away"))
    try:
        done = call("report", config, data, runs)
    finally:
        moved.rename(weights)
    assert done.returncode == 0, done.stderr
    text = kept.read_text()
    assert "Without pictures and players" in text and "<audio" not in text and "AUC by codec" in text


@pytest.fixture(scope="module")
def comparison(run) -> Path:
    """Both trainings of crnn, which differ in their seed; the test only with FINAL=1."""
    data, config, runs = run
    names = sorted(path.parent.name for path in runs.glob("road/models/crnn-*/model.json"))
    both = ",".join(f"road/{name}" for name in names)
    done = call_tool("compare", runs, data, RUNS_LIST=both)
    assert done.returncode == 0, done.stderr
    assert "The test is left out" in done.stderr and "Official score" in done.stderr
    return runs / f"road/report/beside-road-{names[1]}--{names[0]}.html"


def call_tool(tool: str, runs: Path, data: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL")}
    words = [sys.executable, "-m", f"jobs.{tool}", "--runs", str(runs), "--data", str(data)]
    return subprocess.run(words, cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("size", "scheme"), [(LAPTOP, "dark"), (PHONE, "light")])
def test_two_trainings_side_by_side(comparison, browser, size, scheme):
    with opened(browser, comparison.as_uri(), size, scheme) as seen:
        page = seen.page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert seen.said == [] and seen.asked == [comparison.as_uri()]
        assert not seen.is_too_wide() and seen.violations() == []
        assert page.locator("figure svg[role=img]").count() >= 2 * 5
        text = page.locator("main").inner_text()
        assert "train.seed" in text and "Changed their mind, select" in text and "difference, 95 %" in text
        players = page.locator("article audio")
        assert 1 <= players.count() <= 6
        heard = [title.split(":")[0] for title in page.locator("article h3").all_inner_texts()]
        assert len(heard) == len(set(heard)) == players.count()
        assert players.first.evaluate("one => one.play().then(() => one.duration)") > 1


def test_clips_of_another_plan_are_not_compared(run):
    """Both were trained on one plan; the labels of their clips' names are others now."""
    data, _, runs = run
    path = runs / "road/config.yaml"
    before = path.read_text()
    both = ",".join(f"road/{one.parent.name}" for one in sorted(runs.glob("road/models/crnn-*/model.json")))
    try:
        path.write_text(re.sub(r"(  room_chance: )[\d.]+|(  valid_clips: )\d+", r"\g<0>1", before))
        done = call_tool("compare", runs, data, RUNS_LIST=both)
    finally:
        path.write_text(before)
    assert done.returncode == 2 and "the config has changed since" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("road", "not two trainings"),
        ("road/crnn,road/crnn", "not two trainings"),
        ("road,nowhere", "has no run nowhere"),
        ("road/crnn,road/ghost", "run road has no trained ghost"),
    ],
)
def test_what_cannot_be_compared_is_told(run, asked, words):
    done = call_tool("compare", run[2], run[0], RUNS_LIST=asked)
    assert done.returncode == 2 and words in done.stderr and "fix: " in done.stderr
