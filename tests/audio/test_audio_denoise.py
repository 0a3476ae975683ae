from pathlib import Path

import noisereduce
import numpy as np
import pytest
import soundfile
import soxr
from audio_signals import RATE, db, hiss, voice
from pytest import approx

from app.audio.denoise import MOVING_PAD, _quietest, gate

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"


def noisy(sample_rate=RATE):
    """A voice, half a second on and half a second off, and the same in hiss."""
    clean = voice(4.0, sample_rate)
    clean.reshape(4, 2, -1)[:, 1] = 0
    return clean, clean + hiss(4.0, 0.02, sample_rate=sample_rate)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 32000, 44100])
@pytest.mark.parametrize(("stationary", "gain_db", "loss_db"), [(True, 2, 1.5), (False, 1, 4)])
def test_a_noisy_voice_gains_snr_and_keeps_its_length(stationary, gain_db, loss_db, sample_rate):
    clean, both = noisy(sample_rate)
    after = gate(both, sample_rate, stationary=stationary, reduction=0.7)
    assert after.shape == both.shape
    assert after.dtype == np.float32
    assert np.isfinite(after).all()
    said = clean != 0
    assert db(after[~said]) < db(both[~said]) - 6
    assert db(after[said]) == approx(db(both[said]), abs=loss_db)
    scale = np.dot(after, clean) / np.dot(clean, clean)  # what is left of the voice
    assert db(clean) - db(after / scale - clean) > db(clean) - db(both - clean) + gain_db


def by_noisereduce(samples, sample_rate, stationary, reduction):
    window = 2 ** round(np.log2(0.032 * sample_rate))
    return noisereduce.reduce_noise(
        samples, sample_rate, y_noise=_quietest(samples, window) if stationary else None, stationary=stationary,
        prop_decrease=reduction, n_fft=window, padding=4 * window if stationary else MOVING_PAD, n_jobs=1,
    )  # fmt: skip


@pytest.mark.parametrize("stationary", [True, False])
@pytest.mark.parametrize(("sample_rate", "reduction"), [(16000, 0.7), (32000, 1.0), (44100, 0.3)])
def test_real_recordings_come_out_as_of_noisereduce(sample_rate, reduction, stationary):
    for path in sorted(DEMO.glob("train/*.ogg"))[::40]:
        samples, rate = soundfile.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, sample_rate)
        ours = gate(samples, sample_rate, stationary=stationary, reduction=reduction)
        theirs = by_noisereduce(samples, sample_rate, stationary, reduction)
        assert db(ours - theirs) < db(theirs) - 80, path.name  # 16 bits hold 98


def test_long_clips_are_gated_in_the_same_pieces_as_of_noisereduce():
    long = np.tile(noisy()[1], 12)[: 45 * RATE]
    ours = gate(long, RATE, stationary=True, reduction=0.7)
    assert db(ours - by_noisereduce(long, RATE, True, 0.7)) < db(ours) - 70  # numpy 1 rounds noisereduce otherwise


def test_reduction_says_how_much():
    _, both = noisy()
    pause = slice(9000, 15000)
    levels = [db(gate(both, RATE, stationary=True, reduction=r)[pause]) for r in (0.0, 0.3, 0.7, 1.0)]
    assert levels[0] == approx(db(both[pause]), abs=0.1)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("stationary", [True, False])
def test_gate_edges(stationary):
    def gated(samples):
        return gate(samples, RATE, stationary=stationary, reduction=0.7)

    assert not gated(np.zeros(2 * RATE, np.float32)).any()
    for length in (0, 1, 511, 512, 2047, 2048, 2049, 5000):
        after = gated(voice()[:length])
        assert after.shape == (length,)
        assert np.isfinite(after).all()
    for at in (3, 30_000, 39_999):  # one click in digital silence, also beyond the last whole window
        click = np.zeros(40_000, np.float32)
        click[at] = 0.5
        assert np.isfinite(gated(click)).all()
    spaced = np.concatenate([voice(1.0), np.zeros(RATE, np.float32)])
    assert np.isfinite(gated(spaced)).all()
    assert db(gated(spaced)[-4000:]) < -90


def test_gate_is_the_same_each_time_and_for_each_channel():
    _, both = noisy()
    once = gate(both, RATE, stationary=True, reduction=0.7)
    untouched = both.copy()
    assert np.array_equal(once, gate(both, RATE, stationary=True, reduction=0.7))
    stacked = gate(np.stack([both, both[::-1]])[None], RATE, stationary=True, reduction=0.7)
    assert stacked.shape == (1, 2, len(both))
    assert np.array_equal(stacked[0, 0], once)
    assert np.array_equal(both, untouched)


def test_a_long_clip_is_gated_in_chunks_of_bounded_memory():
    long = np.tile(noisy()[1], 12)[: 45 * RATE]  # over the 600,000 samples that are taken at once
    after = gate(long, RATE, stationary=True, reduction=0.7)
    assert after.shape == long.shape
    seam = after[600_000 - 800 : 600_000 + 800]
    assert np.abs(np.diff(seam)).max() < 1.5 * np.abs(np.diff(long[600_000 - 800 : 600_000 + 800])).max()
