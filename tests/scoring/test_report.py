import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from app.scoring.decisions import thresholds_of
from app.scoring.evaluation import evaluate_scores
from app.scoring.report import JobRow, ModelRow, Report, render, write_report
from app.scoring.scored import DOUBT, MISTAKE, Picked, Scored
from app.scoring.shown import Credits, Picture, ShownClip, credit_panels, credit_sentences, spectrogram_panel
from app.scoring.slices import STATES
from app.scoring.table import Table, duration, number

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "<script>alert('$x_1$')</script>\"&"


class Page(HTMLParser):
    """Checks nesting while it parses; keeps tags, headings, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.headings, self.loads, self.ids = [], [], [], [], []
        self.words, self.figures = "", 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.loads += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action", "data", "srcset")]
        self.ids += [v for k, v in attrs if k == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def evaluation(name: str = "test", n: int = 120, seed: int = 0):
    rng = np.random.default_rng(seed)
    state = np.array(STATES)[rng.integers(0, 6, n)]
    labels = np.array([["fake" in s, "real" in s] for s in state], int)
    logits = rng.normal(0, 2, (n, 2)) + 3 * (labels - 0.5)
    details = {
        "state": state.tolist(),
        "attack": [f"A0{i % 3}" if fake else None for i, fake in enumerate(labels[:, 0])],
        "codec": [("none", "opus", HOSTILE)[i % 3] for i in range(n)],
        "snr_db": rng.uniform(0, 30, n).tolist(),
    }
    sigmoid = [1 / (1 + np.exp(-logits * scale)) for scale in (1, 3)]
    clips = [f"{HOSTILE}{i}" for i in range(n)]
    scored = Scored(name, clips, labels, sigmoid[0], sigmoid[1], details)
    return evaluate_scores(scored, resamples=40, thresholds=thresholds_of(labels, sigmoid[0]))


def shown() -> ShownClip:
    picked = Picked("test", MISTAKE, HOSTILE, 1, 0, 0.12, 0.91, {"attack": HOSTILE, "snr_db": 12.5, "voices": 1})
    rng = np.random.default_rng(0)
    f0 = np.where(rng.random(101) > 0.5, 180.0, 0.0).astype(np.float32)
    picture = Picture(rng.normal(-40, 9, (16, 101)).astype(np.float32), f0, 0.01, np.linspace(50, 7000, 16).tolist())
    maps, strip = rng.normal(0, 1, (2, 16, 101)).astype(np.float32), rng.normal(0, 1, (2, 101)).astype(np.float32)
    credits = Credits(
        "integrated gradients", maps, strip, [{HOSTILE: 0.5}, {"zcr": 0.04}], [0.02, -0.3], [0.4, 0.5], [0.11, 0.92]
    )
    panels = [spectrogram_panel(picked, picture), *credit_panels(picked, picture, credits)]
    return ShownClip(picked, HOSTILE, panels, credit_sentences(picked, credits), "data:audio/flac;base64,AAAA")


@pytest.fixture(scope="module")
def full() -> Report:
    epochs = [
        {
            "epoch": i,
            "train_loss": 0.7 / (i + 1),
            "select_loss": 0.6 + 0.01 * i,
            "select_score": 0.3 - 0.01 * i,
            "select_auc": None if i == 2 else 0.7 + 0.02 * i,
        }
        for i in range(6)
    ]
    return Report(
        run=f"demo {HOSTILE}",
        when="2026-01-02 03:04",
        evaluations=(evaluation("select", 300, 1), evaluation(f"test {HOSTILE}", 24, 2)),
        notes=("24 clips prove nothing.",),
        models=(
            ModelRow("pooled_logistic", 0.21, ("T 1.20", "none"), 2.5),
            ModelRow(HOSTILE, 0.16, ("0.43 z + 0.10", HOSTILE), 500.0, chosen=True),
        ),
        training={f"crnn {HOSTILE}": epochs, "pooled_logistic": []},
        audit=("Length alone predicts the label: AUC 0.91.",),
        audit_table=Table("Shortcuts", ("what", "AUC"), (("length", 0.91), ("level", float("nan")))),
        shortcuts=(("length", 0.91), (HOSTILE, 0.6), ("level", float("nan"))),
        groups=(Table("Recordings by attack", (HOSTILE, "train"), ((HOSTILE, 12),)),),
        mixed={"state": ["real_fake", "none", "real"], "snr_db": [3.0, None, 28.0], "codec": [HOSTILE, "opus", "none"]},
        others=Table("Others", ("run", "score on select"), ((HOSTILE, 0.2),)),
        other_scores=(0.2,),
        looks=Table("Looks at this test", ("when", "run"), (("2026-01-01", HOSTILE),)),
        clips=(shown(), ShownClip(replace(shown().picked, why=DOUBT), sentences=[f"No sound here: {HOSTILE}."])),
        clip_notes=(f"1 of these clips was not explained: {HOSTILE}.",),
        splits=Table("Splits", ("split", "clips", "speakers"), (("train", 38800, 12), ("select", 800, None))),
        mix=Table("Mix", ("state", "clips", "SNR, dB"), (("none", 120, "0 to 30"),), note="drawn by mix.states"),
        jobs=(JobRow("prepare", 1200, 3, 12.0, 310.2), JobRow("train", None, None, None, None)),
        commands=("make demo", f"echo {HOSTILE}"),
        config_yaml=f"seed: 1\nmix:\n  note: {HOSTILE}\n",
        versions={"torch": "2.11", "numpy": "2.4"},
    )


@pytest.fixture(scope="module")
def text(full) -> str:
    return render(full)


def test_the_page_is_whole_and_self_contained(text):
    page = Page(text)
    assert page.tags[0][0] == "html" and page.tags[0][1]["lang"] == "en"
    assert page.loads and all(target.startswith(("#", "data:")) for target in page.loads)
    assert sum(target.startswith("data:audio/flac") for target in page.loads) == 1
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert "@import" not in page.words and "url(" not in page.words
    assert {link[1:] for link in page.loads if link[0] == "#"} <= set(page.ids)  # every link has its target
    assert len(page.ids) == len(set(page.ids))


def test_headings_come_in_order(text):
    headings = Page(text).headings
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_names_stay_names(text):
    assert "<script" not in text
    words = Page(text).words
    assert f"demo {HOSTILE}" in words
    assert f"note: {HOSTILE}" in words
    assert words.count(HOSTILE) > 20


def test_every_figure_is_there_with_a_text(text):
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    # training of one model; a data set: ROC, DET, two reliability curves, state, attack, codec, SNR; data; a clip
    assert len(svgs) == 2 + 2 * (2 + 2 + 4) + 1 + 3 + 3
    for svg in svgs:
        element = ElementTree.fromstring(svg)
        assert element.get("role") == "img" and element.get("aria-label")
        assert element.get("viewBox") and not element.get("width")
        assert "#0a0b" not in svg  # every colour follows the page
        assert "<text" in svg
    assert len(set(re.findall(r'aria-label="([^"]*)"', text))) >= len(svgs)


def test_numbers_are_the_evaluations(full, text):
    words = Page(text).words
    for e in full.evaluations:
        assert number(e.score.score) in words
        assert number(e.ece_floor.mean) in words
    for words_of_it in (
        "24 clips prove nothing.",
        "38,800",
        "8 min 20 s",
        "0.43 z + 0.10; ",
        "100.0",
        "drawn by mix.states",
        "–",
    ):
        assert words_of_it in words


def test_thresholds_and_clips_with_one_voice_have_their_tables(full, text):
    words = Page(text).words
    assert "Yes or no" in words and "1% false alarms" in words and "One voice: real or fake?" in words
    assert "One voice: each attack" in words and "mean over attacks" in words
    for e in full.evaluations:
        assert number(e.single.min_dcf) in words and number(e.single.cllr) in words
        assert all(number(d.hits) in words and number(d.threshold.p) in words for d in e.decisions)


def test_the_same_report_is_the_same_bytes(full, text):
    assert render(full) == text


def test_a_clip_says_what_is_right_and_what_hiding_does(text):
    words = Page(text).words
    assert "wrong: there is a fake voice" in words and "wrong: there is no real voice" in words
    assert f"attack {HOSTILE}, SNR 12.5 dB, {HOSTILE}" in words
    assert "that spoke most against a fake voice, p_fake goes from 0.120 to 0.400" in words
    assert "that spoke most for a real voice, p_real goes from 0.910 to 0.500" in words
    assert "elsewhere, to 0.110" in words and f"No sound here: {HOSTILE}." in words


EMPTY = {
    "shortcuts": (),
    "groups": (),
    "mixed": {},
    "others": None,
    "other_scores": (),
    "looks": None,
    "clips": (),
    "clip_notes": (),
    "evaluations": (),
    "notes": (),
    "models": (),
    "training": {},
    "audit": (),
    "audit_table": None,
    "splits": None,
    "mix": None,
    "jobs": (),
    "commands": (),
    "config_yaml": "",
    "versions": {},
}


@pytest.mark.parametrize("part", EMPTY)
def test_a_missing_part_leaves_the_page_whole(full, part):
    first = replace(full.evaluations[0], rocs=(), before=(), after=full.evaluations[0].after[:1])  # quick to draw
    full = replace(full, evaluations=(first,), training={"crnn": ()})
    page = Page(render(replace(full, **{part: EMPTY[part]})))
    assert {link[1:] for link in page.loads if link[0] == "#"} <= set(page.ids)


def test_an_empty_report_says_so():
    page = Page(render(Report(run="bare", when="today")))
    assert "no labels to score against" in page.words
    assert "None" not in page.words and "nan" not in page.words


def test_one_class_is_a_dash_and_not_nan():
    e = evaluate_scores(Scored("real only", ["a", "b"], [[0, 1], [0, 1]], [[0.2, 0.8], [0.1, 0.6]]), resamples=5)
    words = Page(render(Report(run="r", when="w", evaluations=(e,)))).words
    assert "one class only" in words and "nan" not in words


def test_a_report_that_fails_leaves_the_old_one(tmp_path):
    path, full = tmp_path / "index.html", Report(run="bare", when="today")
    write_report(path, full)
    before = path.read_bytes()
    with pytest.raises(Exception, match="boom"):
        write_report(path, replace(full, notes=Boom()))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


class Boom(tuple):
    def __bool__(self):
        raise RuntimeError("boom")


def test_cells():
    assert [number(v) for v in (0.1594, 50000, None, float("nan"), "<b>", 0)] == [
        "0.159",
        "50,000",
        "–",
        "–",
        "<b>",
        "0",
    ]
    assert [duration(s) for s in (0.42, 12, 200, 18120, None)] == ["0.4 s", "12 s", "3 min 20 s", "5 h 2 min", "–"]


def test_measures_that_weigh_are_named(text):
    words = Page(text).words
    assert f"Measures, for a fake voice: {HOSTILE} +0.50." in words and "dull" not in words


def test_credits_that_do_not_add_up_say_so(text):
    assert "The credits of the real voice miss -0.30 of its logit." in text
    assert "The credits of the fake voice miss" not in text  # 0.02
