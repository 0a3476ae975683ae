import numpy as np
import pytest
from audio_signals import RATE, hiss, shift_and_likeness, voice
from pytest import approx

from app.audio.room import PRE_DELAY_S, recorded_response, reverberate, room_response


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


def test_a_recorded_response_begins_with_its_direct_sound_and_ends_when_it_has_died_away():
    rng = np.random.default_rng(0)
    tail = 0.1 * rng.standard_normal(3 * 16000) * 10 ** (-3 * np.arange(3 * 16000) / (0.4 * 16000))
    tail[0] = -0.8
    response = recorded_response(np.concatenate([np.zeros(500), tail]).astype(np.float32), 16000)
    assert response[0] == 1.0 and np.abs(response).max() == 1.0
    assert response[1:100] == pytest.approx(tail[1:100] / -0.8, abs=1e-6)
    assert 0.2 * 16000 < len(response) < 0.5 * 16000
    assert response.dtype == np.float32


def test_a_response_is_cut_after_two_seconds_and_silence_is_none():
    assert len(recorded_response(np.ones(5 * 16000, np.float32), 16000)) == 2 * 16000
    for silence in (np.zeros(0, np.float32), np.zeros(100, np.float32)):
        with pytest.raises(ValueError, match="without any sound"):
            recorded_response(silence, 16000)
