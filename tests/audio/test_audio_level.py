import numpy as np
import pytest
from audio_signals import RATE, db, tone, voice
from pytest import approx

from app.audio.level import active_level_db, level_db, rms_db


def test_a_full_scale_sine_has_minus_3_db_in_every_frame():
    levels = rms_db(tone(1000, rms=np.sqrt(0.5)), frame=320, hop=160)
    assert levels.shape == (99,)
    assert levels == approx(-3.01, abs=0.01)


def test_leading_dimensions_are_free_and_silence_is_minus_100():
    two = np.stack([tone(500), np.zeros(RATE, np.float32)])
    levels = rms_db(two[None], 320, 320)
    assert levels.shape == (1, 2, 50)
    assert np.array_equal(levels[0, 0], rms_db(two[0], 320, 320))
    assert (levels[0, 1] == -100).all()
    assert level_db(two) == approx([-20, -100], abs=1e-3)
    assert active_level_db(two, RATE) == approx([-20, -100], abs=1e-3)


@pytest.mark.parametrize("length", [0, 319])
def test_too_few_samples_are_an_error(length):
    with pytest.raises(ValueError):
        rms_db(np.zeros(length, np.float32), 320, 160)
    with pytest.raises(ValueError):
        level_db(np.zeros(0, np.float32))
    with pytest.raises(ValueError):
        active_level_db(np.zeros(0, np.float32), RATE)


def test_pauses_do_not_lower_the_active_level():
    speech = voice(2.0)
    spaced = np.concatenate([np.zeros(RATE, np.float32), speech, np.zeros(3 * RATE, np.float32)])
    assert active_level_db(spaced, RATE) == approx(float(active_level_db(speech, RATE)), abs=0.05)
    assert level_db(spaced) < level_db(speech) - 4
    assert active_level_db(speech[:7], RATE) == approx(db(speech[:7]), abs=1e-6)  # shorter than a frame
