import numpy as np
import pytest
from audio_signals import RATE, db, hiss, tone, voice
from pytest import approx
from scipy.signal import sosfilt, welch
from scipy.stats import kstest, kurtosis

from app.audio.noise import speech_free, texture
from app.audio.synthetic import coloured, hum


def spoken(pause_s, background=0.001, word_s=1.0, seed=0):
    """Words with pauses between them over a steady background; (samples, [(start, stop) of each pause])."""
    parts, pauses, at = [], [], 0
    for n, seconds in enumerate(pause_s):
        word = voice(word_s, seed=seed + n)
        parts += [word, np.zeros(round(seconds * RATE), np.float32)]
        at += len(word)
        pauses.append((at, at + len(parts[-1])))
        at += len(parts[-1])
    parts.append(voice(word_s, seed=99))
    samples = np.concatenate(parts)
    return samples + hiss(len(samples) / RATE, background, seed), pauses


def test_pauses_are_found_and_nothing_of_the_words():
    samples, pauses = spoken([0.5, 0.3, 0.8])
    found = speech_free(samples, RATE, 30.0, 0.12)
    assert len(found) == 3
    for (start, stop), (first, last) in zip(found, pauses, strict=True):
        assert first + 0.015 * RATE <= start < stop <= last - 0.015 * RATE
        assert stop - start > last - first - 0.1 * RATE
        assert db(samples[start:stop]) == approx(-60, abs=1)


def test_a_short_pause_is_no_segment():
    samples, _ = spoken([0.12, 0.5])
    assert len(speech_free(samples, RATE, 30.0, 0.12)) == 1


@pytest.mark.parametrize("level_db", [-22, -14, -8])
@pytest.mark.parametrize("band_hz", [(3500, 7500), (2000, 5000)])
def test_a_fricative_in_a_pause_is_not_background(level_db, band_hz):
    """Bursts 30 dB and more under the voice would pass for pause by their level alone."""
    samples, ((first, last), _) = spoken([0.8, 0.8], background=10 ** (-70 / 20))
    at = (first + last) // 2
    burst = hiss(0.15, 10 ** ((level_db - 40) / 20), 5, band_hz=band_hz)
    samples[at : at + len(burst)] += burst
    found = speech_free(samples, RATE, 20.0, 0.1)
    assert len(found) == 3  # before the burst, after it, and the other pause
    assert all(stop <= at or start >= at + len(burst) for start, stop in found)


def test_a_faint_murmur_is_not_background():
    samples, ((first, _),) = spoken([0.8])
    at = first + 1600
    samples[at : at + 4000] += 0.025 * voice(0.25, seed=7)
    assert all(stop <= at or start >= at + 4000 for start, stop in speech_free(samples, RATE, 30.0, 0.1))


def test_a_fading_word_is_not_background():
    samples, ((first, last),) = spoken([0.8], background=10 ** (-70 / 20))
    tail = voice(0.5, seed=3) * np.exp(-np.arange(8000) / 800).astype(np.float32)
    samples[first : first + 8000] += tail
    for start, _ in speech_free(samples, RATE, 30.0, 0.1):
        assert db(tail[start - first :]) < -68 if start < first + 8000 else start < last


def test_without_a_pause_there_is_nothing():
    nothing = [voice(3.0), hiss(2.0, 0.1), hiss(2.0, 1e-4), tone(100), np.zeros(RATE, np.float32)]
    nothing += [np.zeros(0, np.float32), voice(0.01), np.concatenate([voice(1.0), np.zeros(RATE, np.float32)])]
    for samples in nothing:
        assert speech_free(samples, RATE, 30.0, 0.1) == []
    with pytest.raises(ValueError):
        speech_free(voice(), RATE, 0.0, 0.1)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 2.0])
def test_texture_keeps_the_spectrum_without_a_period(seconds, exponent):
    segment = coloured(np.random.default_rng(1), round(seconds * RATE), exponent, RATE)
    noise = texture(np.random.default_rng(2), segment, 5 * RATE)
    assert noise.shape == (5 * RATE,)
    assert noise.dtype == np.float32
    assert db(noise) == approx(0, abs=1e-4)
    for low in (125, 250, 500, 1000, 2000, 4000):
        before, after = (band_db(x, low, 2 * low) - db(x) for x in (segment, noise))
        assert after == approx(before, abs=3 if low < 500 else 1.5)
    spectrum = np.abs(np.fft.rfft(noise, 2 * len(noise))) ** 2
    whitened = spectrum / np.convolve(spectrum, np.ones(401) / 401, "same")  # no credit for colour
    likeness = np.fft.irfft(whitened)
    lags = likeness[int(0.02 * RATE) : int(2.5 * RATE)] / likeness[0]
    assert np.abs(lags).max() < 0.25  # a loop of the segment would give 0.5 to 1
    assert abs(likeness[len(segment)] / likeness[0]) < 0.1


def test_texture_is_steady():
    noise = texture(np.random.default_rng(2), hiss(0.1, 0.01), 10 * RATE)
    levels = [db(part) for part in noise.reshape(-1, RATE // 10)]
    assert np.std(levels) < 0.5


def test_texture_of_any_length_from_any_length():
    rng = np.random.default_rng(0)
    for segment in (8, 9, 100, 5000):
        for length in (1, 7, 100, 4999, 20000):
            noise = texture(rng, hiss(1.0, 0.1)[:segment], length)
            assert noise.shape == (length,)
            assert np.isfinite(noise).all()
    for segment in (np.zeros(100, np.float32), np.ones(100, np.float32), np.ones(7, np.float32)):
        with pytest.raises(ValueError):
            texture(rng, segment, 1000)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_as_asked(exponent):
    noise = coloured(np.random.default_rng(3), 20 * RATE, exponent, RATE)
    assert db(noise) == approx(0, abs=1e-5)
    assert abs(noise.mean(dtype=np.float64)) < 1e-6
    hz, power = welch(noise, RATE, nperseg=4096)
    keep = (hz > 60) & (hz < 7000)
    slope = np.polyfit(np.log10(hz[keep]), np.log10(power[keep]), 1)[0]
    assert -slope == approx(exponent, abs=0.05)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_is_gaussian(exponent):
    clips = np.stack([coloured(np.random.default_rng(seed), 80_000, exponent, RATE) for seed in range(60)])
    assert abs(kurtosis(clips, axis=1).mean()) < 0.05
    middles = clips[:, 40_000]
    assert kstest(middles / middles.std(), "norm").pvalue > 0.01


def test_hum_has_its_lines_at_the_mains():
    for seed in range(8):
        samples = hum(np.random.default_rng(seed), 10 * RATE, RATE)
        assert db(samples) == approx(0, abs=1e-4)
        hz, power = welch(samples, RATE, nperseg=10 * RATE)
        at = [k * mains for mains in (50, 60) for k in range(1, 17)]
        near = np.abs(hz[:, None] - np.array(at)).min(1) < 4
        assert power[near].sum() > 0.999 * power.sum()


def test_the_same_seed_gives_the_same_noise():
    for make in (
        lambda rng: texture(rng, hiss(0.2, 0.1), 5000),
        lambda rng: coloured(rng, 5000, 1.0, RATE),
        lambda rng: hum(rng, 5000, RATE),
    ):
        first, again, other = (make(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


def band_db(samples, low, high):
    from scipy.signal import butter

    return db(sosfilt(butter(4, (low, min(high, 7900)), "bandpass", fs=RATE, output="sos"), samples))


@pytest.mark.parametrize("level", [0.1, 0.013, 0.0007, 0.3])
@pytest.mark.parametrize("length", [533, 8001, 16000])
def test_a_level_that_is_held_has_no_texture_and_is_no_background(level, length):
    with pytest.raises(ValueError, match="without any power"):
        texture(np.random.default_rng(0), np.full(length, level, np.float32), 8000)
    spoken_once = np.concatenate([voice(1.0), np.full(RATE, 0.002, np.float32), voice(1.0, seed=1)])
    assert all(np.ptp(spoken_once[start:stop]) > 0 for start, stop in speech_free(spoken_once, RATE, 25.0, 0.1))
