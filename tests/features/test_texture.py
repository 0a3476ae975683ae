"""The texture of a voice against its definition in plain loops, and what it must and must not notice."""

import librosa
import numpy as np
import pytest
import torch
from feature_sounds import real_ids, recording, voice, white_noise
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter, resample_poly

from app.features.texture import texture
from app.features.texture_on_cpu import texture_of
from app.features.texture_plan import texture_plan

BANDS, HZ = 12, (80.0, 6800.0)
SKEW, KURTOSIS, PEAK, GAIN = range(2 * BANDS, 2 * BANDS + 4)


def by_loops(wave, sample_rate=16000, hop_s=0.01):
    hop = round(hop_s * sample_rate)
    frames = 1 + len(wave) // hop
    rows = np.full((2 * BANDS + 4, frames), np.nan, np.float32)
    texture_of(wave.astype(np.float32), hop, texture_plan(sample_rate, hop, frames, BANDS, HZ), rows)
    return rows


def by_tensors(wave, sample_rate=16000, hop_s=0.01):
    hop = round(hop_s * sample_rate)
    frames = 1 + len(wave) // hop
    plan = texture_plan(sample_rate, hop, frames, BANDS, HZ)
    return texture(torch.from_numpy(wave.astype(np.float32))[None], hop, frames, plan)[0].numpy()


@pytest.fixture(scope="module")
def speech():
    return recording(real_ids(1)[0], 16000)[:32000].astype(np.float32)


def loud_frames(wave, above=3e-3):
    """(frames,) bool"""
    return np.array([wave[160 * t :][:400].std() > above for t in range(len(wave) // 160)] + [False])


both_ways = pytest.mark.parametrize("rows_of", [by_loops, by_tensors])


@both_ways
def test_the_residual_is_that_of_a_toeplitz_solver(rows_of, speech):
    rows = rows_of(speech)
    window = np.hanning(401)[:-1]
    padded = np.pad(speech.astype(np.float64), 200)
    for t in range(20, 180, 7):
        frame = padded[160 * t :][:400] * window
        lags = np.array([frame[: 400 - k] @ frame[k:] for k in range(17)])
        lags[0] = lags[0] * 1.001 + 1e-9
        weights = np.r_[1, -solve_toeplitz(lags[:16], lags[1:])]
        rest = lfilter(weights, 1, frame)[20:380]
        left = lags @ weights
        away = rest - rest.mean()
        spread = away.std()
        expected = [
            np.mean(away**3) / spread**3,
            np.log1p(np.mean(away**4) / spread**4),
            np.log(np.abs(rest).max() / spread),
            np.log(lags[0] / left),
        ]
        np.testing.assert_allclose(rows[SKEW : GAIN + 1, t], expected, rtol=5e-3, atol=5e-3, err_msg=str(t))


@both_ways
def test_the_pulses_are_those_of_a_plain_loop(rows_of, speech):
    rows = rows_of(speech)
    window, count = np.hanning(129)[:-1], 1 + 10 * 200
    padded = np.pad(speech.astype(np.float64), (64, 256))
    power = np.array([np.abs(np.fft.rfft(padded[16 * j :][:128] * window)) ** 2 for j in range(count)])
    edges, bins = np.linspace(80, 6800, BANDS + 2), np.arange(65) * 125.0
    level = np.empty((count, BANDS))
    for b in range(BANDS):
        level[:, b] = np.log(power @ np.interp(bins, edges[b : b + 3], [0, 1, 0], 0, 0) + 1e-9)
    held = np.pad(level, ((10, 10), (0, 0)), mode="edge")
    level = level - np.array([held[j : j + 21].mean(0) for j in range(count)])
    for t in range(2, 198, 9):
        near = level[10 * t - 20 : 10 * t + 20]
        away = near - near.mean(0)
        middle = away.mean(1, keepdims=True)
        np.testing.assert_allclose(rows[:BANDS, t], np.log(away.std(0)), atol=5e-3)
        sync = (away * middle).mean(0) / (away.std(0) * middle.std() + 1e-12)
        np.testing.assert_allclose(rows[BANDS : 2 * BANDS, t], sync, atol=5e-3)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 32000, 44100])
@pytest.mark.parametrize("time", [1, 130, 4000, 9999])
def test_loops_and_tensors_say_the_same_at_any_rate_and_length(sample_rate, time):
    wave = voice(130.0, sample_rate, 1)[0][:time] + white_noise(3, time, 1e-3)[:time]
    np.testing.assert_allclose(by_loops(wave, sample_rate), by_tensors(wave, sample_rate), rtol=2e-3, atol=8e-3)


@pytest.mark.parametrize("hop_s", [0.0005, 0.004, 0.0125, 0.02])
def test_any_hop_will_do(hop_s, speech):
    wave = speech[:8000]
    np.testing.assert_allclose(by_loops(wave, 16000, hop_s), by_tensors(wave, 16000, hop_s), rtol=2e-3, atol=8e-3)


def test_level_says_nothing_and_a_turned_sign_turns_the_skewness_alone(speech):
    rows, louder, turned, loud = by_loops(speech), by_loops(4 * speech), by_loops(-speech), loud_frames(speech)
    assert loud.sum() > 50
    np.testing.assert_allclose(louder[:, loud], rows[:, loud], atol=2e-2)
    same = [k for k in range(len(rows)) if k != SKEW]
    np.testing.assert_allclose(turned[same], rows[same], atol=1e-4)
    np.testing.assert_allclose(turned[SKEW], -rows[SKEW], atol=1e-4)


def test_sharp_pulses_are_heard_as_sharp_and_as_one():
    train = np.zeros(32000)
    train[::160] = 1.0  # 100 Hz
    pulses, noise = by_loops(train + white_noise(1, 32000, 1e-3)), by_loops(white_noise(2, 32000, 0.1))
    middle = slice(20, 180)
    assert pulses[BANDS : 2 * BANDS, middle].mean() > 0.9 > 0.5 > noise[BANDS : 2 * BANDS, middle].mean()
    assert pulses[PEAK, middle].mean() > noise[PEAK, middle].mean() + 0.5
    assert pulses[KURTOSIS, middle].mean() > noise[KURTOSIS, middle].mean() + 1.0
    assert 4.0 < np.exp(noise[KURTOSIS, middle]).mean() - 1 < 6.0  # of noise in a Hann window 5.8, less its edges


def test_a_smooth_filter_leaves_the_residual(speech):
    """A microphone that rises by 6 dB an octave above 1 kHz, against what Griffin and Lim's copy does."""
    rows, tilted = by_loops(speech), by_loops(lfilter([1.0, -0.7], 1, speech))
    loud = loud_frames(speech)
    copy = librosa.griffinlim(np.abs(librosa.stft(speech, n_fft=512)), n_iter=32, random_state=0, length=len(speech))
    copied = by_loops(copy)

    def change(other, row):
        return np.abs(other[row, loud] - rows[row, loud]).mean()

    for row in (KURTOSIS, PEAK):
        assert change(tilted, row) < 0.5 * change(copied, row), row


def test_copies_of_people_are_told_from_them_by_the_sharpness_of_their_pulses():
    """Griffin-Lim of the mel spectrogram, eight recordings, each against its own copy."""
    sharper = 0
    for id in real_ids(8):
        wave = recording(id, 16000)[:32000].astype(np.float32)
        mel = librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=1024, hop_length=256, n_mels=80)
        copy = librosa.feature.inverse.mel_to_audio(mel, sr=16000, n_fft=1024, hop_length=256, n_iter=16)
        kept = [np.pad(sound, (0, max(0, len(wave) - len(sound))))[: len(copy)] for sound in (wave, copy)]
        loud = loud_frames(kept[0])
        real, fake = (by_loops(sound)[:, loud] for sound in kept)
        sharper += int(real[BANDS : 2 * BANDS].mean() > fake[BANDS : 2 * BANDS].mean())
    assert sharper >= 7


def test_faster_sound_is_heard_as_at_16_khz(speech):
    doubled = resample_poly(speech, 2, 1)
    rows, fast = by_loops(speech), by_loops(doubled, 32000)
    loud = loud_frames(speech)
    for row in range(len(rows)):
        assert np.corrcoef(rows[row, loud], fast[row, loud])[0, 1] > 0.9, row


@both_ways
def test_silence_is_finite_and_moves_nowhere(rows_of):
    rows = rows_of(np.zeros(8000))
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows[BANDS : 2 * BANDS], 0, atol=1e-6)
    np.testing.assert_allclose(rows[[SKEW, GAIN]], 0, atol=2e-3)


def test_bands_too_narrow_for_short_frames_are_refused():
    with pytest.raises(ValueError, match="too narrow"):
        texture_plan(16000, 160, 10, 60, (80.0, 1000.0))
