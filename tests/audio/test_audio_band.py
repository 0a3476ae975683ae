import numpy as np
import pytest
from audio_signals import RATE, db, hiss, shift_and_likeness, tone, voice
from pytest import approx
from scipy.signal import butter, sosfiltfilt

from app.audio.band import band_pass, band_stop


def test_band_stop_takes_the_band_and_nothing_else():
    for hz, lost in ((300, 0), (1400, 40), (4000, 0)):
        before = tone(hz)
        after = band_stop(before, RATE, 1000, 2000)
        assert after.dtype == np.float32
        middle = slice(RATE // 4, -RATE // 4)
        loss = db(before[middle]) - db(after[middle])
        assert loss > 40 if lost else abs(loss) < 0.1
    kept = band_stop(voice(), RATE, 6000, 7000)
    assert shift_and_likeness(voice(), kept, 50) == (0, approx(1.0, abs=1e-3))


def test_band_stop_edges():
    assert len(band_stop(voice()[:5], RATE, 500, 900)) == 5
    assert np.isfinite(band_stop(voice(), RATE, 7000, 9000)).all()  # reaches Nyquist
    for band in ((0, 100), (900, 500), (8000, 9000)):
        with pytest.raises(ValueError):
            band_stop(voice(), RATE, *band)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize(("low", "high"), [(210.0, 260.0), (300.0, 3400.0), (2000.0, 3900.0)])
@pytest.mark.parametrize(("ours", "kind"), [(band_stop, "bandstop"), (band_pass, "bandpass")])
def test_it_is_the_butterworth_filter_run_both_ways(ours, kind, rate, low, high):
    sound = hiss(2.0, 0.1, sample_rate=rate)
    sound[: rate // 2] = sound[-rate // 2 :] = 0  # the ends, where scipy goes on by a mirror and we by silence
    expected = sosfiltfilt(butter(4, (low, high), kind, fs=rate, output="sos"), sound.astype(np.float64))
    assert db(ours(sound, rate, low, high) - expected) < db(sound) - 90


def test_leading_dimensions_are_free_and_nothing_stays_nothing():
    both = band_pass(np.stack([voice(), -voice()]), RATE, 300, 3400)
    assert np.array_equal(both[0], band_pass(voice(), RATE, 300, 3400)) and np.allclose(both[1], -both[0], atol=1e-6)
    assert band_stop(np.zeros((2, 0), np.float32), RATE, 300, 3400).shape == (2, 0)
    assert not band_stop(np.zeros(100, np.float32), RATE, 300, 3400).any()
    with pytest.raises(ValueError, match="does not lie below"):
        band_pass(voice(), RATE, 300, RATE / 2)
