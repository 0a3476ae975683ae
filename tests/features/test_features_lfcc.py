"""LFCC against scipy's cosine transform, librosa's spectrogram and librosa's deltas."""

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

from app.features.lfcc import COEFFICIENTS, FLOOR, Lfcc, cosines, deltas, linear_filters


def sound(samples: int = 16000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.arange(samples) / 16000
    return (0.3 * np.sin(2 * np.pi * 440 * at) + 0.05 * rng.normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000])
def test_filters_are_even_triangles_that_sum_to_one(rate):
    filters = linear_filters(rate, round(0.02 * rate)).numpy()
    bins = np.arange(filters.shape[1]) * rate / round(0.02 * rate)
    step = rate / 2 / (len(filters) + 1)
    inside = (bins >= step) & (bins <= rate / 2 - step)
    assert filters[:, inside].sum(0) == pytest.approx(1, abs=1e-4)
    assert len(filters) == max(20, round(rate / 800)) and (filters >= 0).all() and filters.max() <= 1


@pytest.mark.parametrize("inputs", [20, 40])
def test_cosines_are_the_orthonormal_dct(inputs):
    values = np.random.default_rng(0).normal(size=(inputs, 7)).astype(np.float32)
    expected = scipy.fft.dct(values, axis=0, norm="ortho")[:COEFFICIENTS]
    assert (cosines(inputs, COEFFICIENTS) @ torch.from_numpy(values)).numpy() == pytest.approx(expected, abs=1e-5)


def test_coefficients_are_those_of_librosas_spectrogram():
    wave = sound()
    power = np.abs(librosa.stft(wave, n_fft=320, hop_length=160)) ** 2 / 320
    banks = np.log(np.maximum(linear_filters(16000, 320).numpy() @ power, FLOOR))
    expected = scipy.fft.dct(banks, axis=0, norm="ortho")[:20]
    assert Lfcc(16000)(torch.from_numpy(wave))[:20].numpy() == pytest.approx(expected, abs=2e-3)


def test_deltas_are_librosas():
    values = np.random.default_rng(1).normal(size=(20, 31)).astype(np.float32)
    expected = librosa.feature.delta(values, width=5, mode="nearest")
    assert deltas(torch.from_numpy(values)).numpy() == pytest.approx(expected, abs=1e-5)


def test_leading_dimensions_are_free_and_each_clip_is_its_own():
    waves = torch.from_numpy(np.stack([sound(seed=n) for n in range(6)])).reshape(2, 3, -1)
    found = Lfcc(16000)(waves)
    assert found.shape == (2, 3, 60, 101)
    torch.testing.assert_close(found[1, 2], Lfcc(16000)(waves[1, 2]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 500])
def test_any_length_is_finite_and_silence_too(samples):
    assert Lfcc(16000)(torch.zeros(samples)).isfinite().all()
    assert Lfcc(16000)(torch.zeros(samples)).shape == (60, 1 + samples // 160)
