"""What tells the label without being the voice is found and said in a sentence; an honest corpus passes."""

import numpy as np
import pytest
from corpora_rows import RATE
from pytest import approx
from scipy.signal import butter, sosfilt
from scipy.stats import norm

from app.audio.survey import clip_facts
from app.corpora.audit import audit_of

CLIPS = 1200


def corpus(seed=0, clips=CLIPS, languages=("ko", "en", "fr")):
    """(rows, facts) of a corpus in which nothing tells the label."""
    rng = np.random.default_rng(seed)
    rows, facts = [], {}
    for n in range(clips):
        fake = int(rng.random() < 0.5)
        rows.append({"id": f"c{n}", "fake": fake, "real": 1 - fake, "language": str(rng.choice(languages))})
        facts[f"c{n}"] = {
            "seconds": rng.lognormal(1, 0.5),
            "rms_dbfs": rng.normal(-23, 3),
            "bandwidth_hz": rng.normal(4000, 600),
            "leading_silence_s": rng.exponential(0.1),
            "sample_rate": int(rng.choice([16000, 44100])),
            "channels": 1,
            "digest": f"{n:024x}",
        }
    return rows, facts


def shift_for(auc):
    """The distance, in standard deviations, of two normal distributions that are told apart with this AUC."""
    return np.sqrt(2) * norm.ppf(auc)


def found(audit):
    return {s.fact for s in audit.shortcuts if s.found}


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_corpus_has_no_shortcut(seed):
    rows, facts = corpus(seed, clips=300)
    audit = audit_of(rows, facts, [])
    assert found(audit) == set() and audit.sentences == [] and audit.failed == {} and audit.duplicates == []
    assert (audit.clips, audit.fake, audit.real) == (300, sum(r["fake"] for r in rows), sum(r["real"] for r in rows))
    assert all(0.5 <= s.auc < 0.6 for s in audit.shortcuts)


@pytest.mark.parametrize("auc", [0.7, 0.95])
@pytest.mark.parametrize(
    ("key", "name", "spread"),
    [
        ("seconds", "length", 0.5),
        ("rms_dbfs", "level", 3.0),
        ("bandwidth_hz", "bandwidth", -600.0),  # the fakes end lower: either way round it tells
        ("leading_silence_s", "leading silence", 0.1),
    ],
)
def test_a_planted_shortcut_is_found_with_its_auc(key, name, spread, auc):
    rows, facts = corpus(languages=("ko",))
    rng = np.random.default_rng(5)
    for row in rows:
        facts[row["id"]][key] = 5 + spread * (rng.normal() + shift_for(auc) * row["fake"])
    audit = audit_of(rows, facts, [])
    assert found(audit) == {name}
    (shortcut,) = [s for s in audit.shortcuts if s.fact == name]
    assert shortcut.auc == approx(auc, abs=0.03)
    typical = [np.median([facts[r["id"]][key] for r in rows if r["fake"] == label]) for label in (0, 1)]
    assert [float(shortcut.real), float(shortcut.fake)] == approx(typical, rel=1e-3)
    assert audit.sentences == [
        f"{name} alone tells the label: AUC {shortcut.auc:.2f} (real {shortcut.real}, fake {shortcut.fake})"
    ]


def test_a_language_that_tells_the_label_is_found_with_its_auc():
    rows, facts = corpus(languages=("ko", "en"))
    rng = np.random.default_rng(6)
    for row in rows:  # fakes speak English in 80 %, real voices in 30 %
        row["language"] = "en" if rng.random() < (0.8 if row["fake"] else 0.3) else "ko"
    audit = audit_of(rows, facts, [])
    assert found(audit) == {"language"}
    (shortcut,) = [s for s in audit.shortcuts if s.fact == "language"]
    assert shortcut.auc == approx(0.8 * 0.7 + 0.5 * (0.8 * 0.3 + 0.2 * 0.7), abs=0.03)
    assert audit.sentences[0].startswith("language alone tells the label: AUC 0.7")
    assert "% ko, " in shortcut.real and "% en, " in shortcut.fake


@pytest.mark.parametrize("languages", [2, 40, 600])
@pytest.mark.parametrize("order", ["random", "alternating", "sorted"])
def test_a_language_that_tells_nothing_is_not_blamed(languages, order):
    """As many fakes as real voices in every language: no name may seem to tell what it was counted on."""
    rows, facts = corpus(7, languages=[f"l{n}" for n in range(languages)])
    for n, row in enumerate(rows):
        row["fake"] = n % 2 if order == "alternating" else int(n >= CLIPS / 2) if order == "sorted" else row["fake"]
        if order != "random":
            row["language"] = f"l{n // 2 % languages if order == 'alternating' else n % languages}"
    audit = audit_of(rows, facts, [])
    (language,) = [s for s in audit.shortcuts if s.fact == "language"]
    assert language.auc < 0.58 and not language.found


def test_an_unknown_language_is_a_language_of_its_own():
    rows, facts = corpus()
    for row in rows:
        row["language"] = None if row["fake"] else "ko"
    audit = audit_of(rows, facts, [])
    assert "language alone tells the label: AUC 1.00 (real 100% ko, fake 100% unknown)" in audit.sentences


def test_a_tell_of_few_clips_is_chance():
    rows, facts = corpus(clips=16)
    for row, value in zip(rows, np.random.default_rng(0).normal(size=16), strict=True):
        facts[row["id"]]["seconds"] = 3 + value + 0.5 * row["fake"]
    assert found(audit_of(rows, facts, [])) == set()


def test_copies_and_contradicting_copies_are_told():
    rows, facts = corpus()
    same = {0: [3, 40, 500], 1: [7, 9]}
    rows[3]["fake"] = rows[40]["fake"] = rows[500]["fake"] = 1
    rows[7]["fake"], rows[9]["fake"] = 0, 1
    for digest, copies in same.items():
        for n in copies:
            facts[f"c{n}"]["digest"] = f"the same {digest}"
    audit = audit_of(rows, facts, [])
    assert sorted(audit.duplicates) == [["c3", "c40", "c500"], ["c7", "c9"]]
    assert audit.sentences == [
        "5 clips are copies of another (c3, c40, c500, ...)",
        "1 recordings are labelled both real and fake: c7, c9",
    ]


def test_failures_are_counted_by_cause():
    rows, facts = corpus()
    failed = [{"id": f"x{n}", "cause": "silent" if n < 3 else "unreadable"} for n in range(5)]
    audit = audit_of([*rows, {"id": "x0", "fake": 1, "real": 0, "language": None}], facts, failed)
    assert audit.failed == {"silent": 3, "unreadable": 2} and audit.clips == CLIPS
    assert audit.sentences == [
        "3 clips are left out: silent (x0, x1, x2); all are in failed.jsonl",
        "2 clips are left out: unreadable (x3, x4); all are in failed.jsonl",
    ]
    assert audit.as_json()["shortcuts"][0]["fact"] == "length"


# what is measured of one recording


def noise(seconds=2.0, rms=0.1, seed=0, sample_rate=RATE):
    return (rms * np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("cut_hz", [1000, 3400, 7000])
def test_the_bandwidth_is_where_low_passed_noise_ends(cut_hz, sample_rate):
    spectrum = np.fft.rfft(noise(sample_rate=sample_rate))
    spectrum[round(len(spectrum) * cut_hz / (sample_rate / 2)) :] = 0
    samples = np.fft.irfft(spectrum).astype(np.float32)
    facts = clip_facts(samples, sample_rate)
    assert facts["bandwidth_hz"] == approx(cut_hz, abs=40)  # a bin has 31 Hz
    assert clip_facts(0.01 * samples, sample_rate)["bandwidth_hz"] == facts["bandwidth_hz"]


@pytest.mark.parametrize("silence_s", [0.0, 0.2, 1.0])
def test_the_leading_silence_is_measured(silence_s):
    samples = np.concatenate([noise(silence_s, 1e-4), noise(1.0), noise(0.7, 1e-4)])
    facts = clip_facts(samples, RATE)
    assert facts["leading_silence_s"] == approx(silence_s, abs=0.032)
    assert facts["seconds"] == approx(silence_s + 1.7)
    assert facts["rms_dbfs"] == approx(-20 + 10 * np.log10(1 / (silence_s + 1.7)), abs=0.2)
    assert facts["peak"] == np.abs(samples).max()


def test_equal_audio_has_an_equal_digest_and_other_audio_another():
    samples = noise()
    digest = clip_facts(samples, RATE)["digest"]
    stored = np.round(samples * 32767) / 32767  # as a 16-bit file keeps it
    assert clip_facts(stored.astype(np.float32), RATE)["digest"] == digest
    changed = samples.copy()
    changed[5] += 0.001
    for other in (changed, samples[:-1], 0.9 * samples, noise(seed=1)):
        assert clip_facts(other, RATE)["digest"] != digest


def test_the_colour_does_not_depend_on_level_and_hardly_on_the_rate_of_the_file():
    low_pass = butter(2, 800, fs=48000, output="sos")
    samples = sosfilt(low_pass, noise(seconds=4.0, sample_rate=48000)).astype(np.float32)
    colour = np.array(clip_facts(samples, 48000)["colour"])
    assert np.array(clip_facts(0.1 * samples, 48000)["colour"]) == approx(colour, abs=0.02)
    assert len(colour) == 40 and np.isfinite(colour).all()
    half = np.array(clip_facts(samples[::2], 24000)["colour"])  # nothing to alias above 12 kHz
    assert np.abs(half - colour)[:20].max() < 1.5


@pytest.mark.parametrize("samples", [np.zeros(100, np.float32), np.full(8000, 0.5, np.float32), noise(0.001)])
def test_facts_of_odd_recordings_are_plain_finite_numbers(samples):
    facts = clip_facts(samples, RATE)
    assert all(np.isfinite(facts[key]) for key in facts if key not in ("digest", "colour"))
    assert np.isfinite(facts["colour"]).all() and {type(x) for x in facts["colour"]} == {float}
