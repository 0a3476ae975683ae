import numpy as np
import pytest
from audio_signals import RATE, db, hiss, voice
from pytest import approx

from app.audio.denoise import gate


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
    long = np.tile(noisy()[1], 12)[: 45 * RATE]  # over the 600,000 samples noisereduce takes at once
    after = gate(long, RATE, stationary=True, reduction=0.7)
    assert after.shape == long.shape
    seam = after[600_000 - 800 : 600_000 + 800]
    assert np.abs(np.diff(seam)).max() < 1.5 * np.abs(np.diff(long[600_000 - 800 : 600_000 + 800])).max()
