"""A voice through another recording chain: as long, in place, finite, without a look at who speaks."""

import numpy as np
import pytest
from audio_signals import RATE, voice
from pytest import approx
from scipy.signal import sosfreqz

from app.audio.chain import PEAK, all_pass, peak, shelf, through_chain


def heard(seed, samples=None, rate=RATE):
    return through_chain(voice(2.0) if samples is None else samples, rate, np.random.default_rng(seed))


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 48000])
def test_any_chain_leaves_a_voice_of_the_same_length_at_the_same_peak(rate):
    samples = voice(1.0)
    for seed in range(60):
        found = heard(seed, samples, rate)
        assert found.dtype == np.float32 and found.shape == samples.shape and np.isfinite(found).all()
        assert 0.5 * PEAK < np.abs(found).max() < 1.5 * PEAK  # a codec moves it a little


def test_the_same_draws_are_the_same_bytes_and_others_are_not():
    assert heard(3).tobytes() == heard(3).tobytes() != heard(4).tobytes()


def test_half_of_the_chains_turn_the_polarity_and_a_voice_stays_in_its_place():
    samples, turned = voice(2.0), []
    for seed in range(80):
        found = heard(seed, samples)
        likeness = np.fft.irfft(np.fft.rfft(found, 2 * len(found)) * np.conj(np.fft.rfft(samples, 2 * len(found))))
        near = np.concatenate([likeness[-40:], likeness[:80]])  # 40 samples before to 80 after
        assert np.abs(near).max() > 0.9 * np.abs(likeness).max()
        turned.append(near[np.abs(near).argmax()] < 0)
    assert 0.25 < np.mean(turned) < 0.75


def test_silence_and_what_is_too_short_stay_as_they_are():
    for samples in (np.zeros(0, np.float32), np.zeros(RATE, np.float32), voice(2.0)[:399]):
        assert heard(1, samples) is samples


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        (peak(1000, 1.0, 6.0, RATE), {10: 0.0, 1000: 6.0, RATE / 2 - 10: 0.0}),
        (peak(500, 0.7, -8.0, RATE), {10: 0.0, 500: -8.0}),
        (shelf(1000, 6.0, RATE, high=True), {10: 0.0, 1000: 3.0, RATE / 2 - 10: 6.0}),
        (shelf(300, -6.0, RATE, high=False), {10: -6.0, 300: -3.0, RATE / 2 - 10: 0.0}),
        (all_pass(400, 0.5, RATE), {10: 0.0, 400: 0.0, 3000: 0.0}),
    ],
)
def test_a_filter_has_the_gain_that_its_name_says(section, wanted):
    _, response = sosfreqz(section[None], list(wanted), fs=RATE)
    assert 20 * np.log10(np.abs(response)) == approx(list(wanted.values()), abs=0.05)


def test_an_all_pass_turns_the_phase_half_round_at_its_middle():
    _, response = sosfreqz(all_pass(400, 0.5, RATE)[None], [400], fs=RATE)
    assert response[0] == approx(-1.0, abs=1e-6)
