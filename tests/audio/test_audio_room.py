import numpy as np
import pytest
from audio_signals import RATE, hiss, shift_and_likeness, voice
from pytest import approx

from app.audio.room import PRE_DELAY_S, reverberate, room_response


def measured_t60(response):
    """Schroeder's backward integration, -5 to -35 dB, of all after the direct sound."""
    tail = response[round(PRE_DELAY_S * RATE) :].astype(np.float64)
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    span = (left < -5) & (left > -35)
    slope = np.polyfit(np.flatnonzero(span) / RATE, left[span], 1)[0]
    return -60 / slope


@pytest.mark.parametrize("t60_s", [0.15, 0.4, 0.8])
@pytest.mark.parametrize("drr_db", [-2.0, 5.0, 12.0])
def test_a_room_has_the_asked_t60_and_drr(t60_s, drr_db):
    responses = [room_response(np.random.default_rng(seed), RATE, t60_s, drr_db) for seed in range(8)]
    assert np.mean([measured_t60(r) for r in responses]) == approx(t60_s, rel=0.05)
    for response in responses:
        assert response.dtype == np.float32
        assert measured_t60(response) == approx(t60_s, rel=0.2)
        assert response[0] == 1.0
        late = np.sum(response[round(PRE_DELAY_S * RATE) :] ** 2, dtype=np.float64)
        assert -10 * np.log10(late) == approx(drr_db, abs=0.01)
        assert np.argmax(np.abs(response)) == 0


def test_reverberate_is_convolution_in_place():
    response = room_response(np.random.default_rng(1), RATE, 0.3, 6.0)
    dry = voice(1.0)
    wet = reverberate(dry, response)
    assert wet.dtype == np.float32
    assert wet.shape == dry.shape
    assert np.allclose(wet, np.convolve(dry.astype(float), response)[: len(dry)], atol=1e-5)
    assert shift_and_likeness(hiss(1.0, 0.1), reverberate(hiss(1.0, 0.1), response), 100)[0] == 0
    both = reverberate(np.stack([dry, -dry]), response)
    assert np.allclose(both[0], wet, atol=1e-6)


def test_reverberate_edges():
    response = room_response(np.random.default_rng(1), RATE, 0.3, 6.0)
    assert not reverberate(np.zeros(100, np.float32), response).any()
    assert reverberate(np.ones(1, np.float32), response) == approx([1.0])
    assert reverberate(np.zeros((2, 0), np.float32), response).shape == (2, 0)
    with pytest.raises(ValueError):
        room_response(np.random.default_rng(1), RATE, 0.0, 6.0)
