import numpy as np
import pytest
from audio_signals import RATE, db, hiss, shift_and_likeness, tone, voice
from pytest import approx

from app.audio.codec import apply_codec
from app.config import CODECS

LIKENESS = {  # lowest correlation with a voice below 3.4 kHz
    "g711-ulaw": 0.99,
    "g711-alaw": 0.99,
    "gsm": 0.90,
    "ima-adpcm": 0.98,
    "mp3": 0.92,
    "opus": 0.93,
    "vorbis": 0.97,
    "telephone-band": 0.99,
}


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100])
@pytest.mark.parametrize("name", CODECS)
def test_a_codec_keeps_length_place_level_and_likeness(name, rate):
    before = voice(1.37, rate)
    after = apply_codec(before, rate, name)
    assert after.dtype == np.float32
    assert after.shape == before.shape
    lag, likeness = shift_and_likeness(before, after, rate // 20)
    assert abs(lag) < 0.002 * rate
    assert likeness > LIKENESS[name]
    assert db(after) == approx(db(before), abs=1.0)
    assert likeness < 0.99999  # it did something


@pytest.mark.parametrize("name", CODECS)
def test_the_same_input_gives_the_same_bytes(name):
    before = voice(0.8)
    first = apply_codec(before, RATE, name)
    assert np.array_equal(first, apply_codec(before, RATE, name))
    both = apply_codec(np.stack([before, 0.5 * before]), RATE, name)
    assert np.array_equal(both[0], first) or name == "telephone-band"
    assert np.allclose(both[0], first, atol=1e-5)


@pytest.mark.parametrize("name", CODECS)
def test_a_peak_over_full_scale_is_not_clipped(name):
    loud = 40 * voice(0.8)
    after = apply_codec(loud, RATE, name)
    assert shift_and_likeness(loud, after, 40)[1] > LIKENESS[name]
    assert db(after) == approx(db(loud), abs=1.0)


@pytest.mark.parametrize("name", CODECS)
def test_silence_and_short_clips_go_through(name):
    assert db(apply_codec(np.zeros(RATE, np.float32), RATE, name)) < -60
    for length in (0, 1, 2, 10, 100, 1000):
        after = apply_codec(voice()[:length], RATE, name)
        assert after.shape == (length,)
        assert np.isfinite(after).all()


@pytest.mark.parametrize("name", ["g711-ulaw", "g711-alaw", "gsm", "telephone-band"])
def test_telephone_codecs_pass_the_telephone_band_alone(name):
    high = hiss(1.0, 0.05, band_hz=(5000, 7500))
    assert db(apply_codec(high, RATE, name)) < db(high) - 25
    if name == "telephone-band":
        assert db(apply_codec(tone(60), RATE, name)[4000:-4000]) < db(tone(60)) - 40


def test_opus_is_wideband_and_lossy_at_any_rate():
    for low, high, least, most in ((100, 6500, -6.0, 1.0), (9000, 15000, -120.0, -25.0)):
        before = hiss(1.0, 0.05, sample_rate=32000, band_hz=(low, high))
        assert least < db(apply_codec(before, 32000, "opus")) - db(before) < most


@pytest.mark.parametrize("rate", [8000, 12000, 16000, 32000])
def test_opus_is_in_place_to_a_sample_and_codes_what_is_faint(rate):
    for rms in (0.05, 1e-4):
        before = hiss(2.0, rms, sample_rate=rate, band_hz=(200, 3000))
        lag, likeness = shift_and_likeness(before, apply_codec(before, rate, "opus"), rate // 20)
        assert lag == 0 and likeness > 0.75


def test_an_unknown_codec_is_named():
    with pytest.raises(ValueError, match=r"'amr'.*opus"):
        apply_codec(voice(), RATE, "amr")
