import librosa
import numpy as np
import pytest
import torch
from feature_sounds import tone, varied_sounds, white_noise

from app.features import temporal
from app.features.contrast import contrast
from app.features.mel import power_stft

BIN_HZ = 15.625
RATES = [(16000, 1024, 160), (32000, 2048, 320)]
LIBROSA = librosa.feature


def magnitude_of(wave, frame=1024, hop=160):
    return power_stft(torch.as_tensor(wave), frame, hop).sqrt()


@pytest.fixture(scope="module", params=RATES, ids=["16kHz", "32kHz"])
def sounds(request):
    """(name, waveform, our magnitude, librosa's of 64 bits, what librosa's functions want to know) of each sound."""
    sample_rate, frame, hop = request.param
    made = []
    for name, wave in varied_sounds(sample_rate).items():
        theirs = np.abs(librosa.stft(wave.astype(np.float64), n_fft=frame, hop_length=hop))
        made.append((name, wave, magnitude_of(wave, frame, hop), theirs, (sample_rate, frame, hop)))
    return made


def test_centroid_and_bandwidth_are_librosas_within_a_thousandth(sounds):
    for name, _, ours, theirs, (sample_rate, frame, _hop) in sounds:
        centre = temporal.centroid_hz(ours, BIN_HZ)
        expected = LIBROSA.spectral_centroid(S=theirs, sr=sample_rate, n_fft=frame)[0]
        np.testing.assert_allclose(centre, expected, rtol=1e-3, atol=1e-3, err_msg=name)
        expected = LIBROSA.spectral_bandwidth(S=theirs, sr=sample_rate, n_fft=frame)[0]
        np.testing.assert_allclose(temporal.bandwidth_hz(ours, BIN_HZ, centre), expected, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("share", [0.5, 0.85, 0.95])
def test_rolloff_is_librosas_within_a_bin(sounds, share):
    for name, _, ours, theirs, (sample_rate, frame, _hop) in sounds:
        rolloff = temporal.rolloff_hz(ours, BIN_HZ, share).numpy()
        expected = LIBROSA.spectral_rolloff(S=theirs, sr=sample_rate, n_fft=frame, roll_percent=share)[0]
        assert np.abs(rolloff - expected).max() <= BIN_HZ, name
        assert np.mean(rolloff == expected) > 0.99, name


def test_flatness_is_librosas(sounds):
    for name, _, ours, theirs, _ in sounds:
        expected = LIBROSA.spectral_flatness(S=theirs)[0]
        np.testing.assert_allclose(temporal.flatness(ours.square()), expected, atol=1e-5, err_msg=name)


def test_contrast_is_librosas(sounds):
    """Within 0.01 on 95 of 100, 0.05 on 99, 0.5 on all: the rounding of float32 can fill the very deepest valleys."""
    for name, _, ours, theirs, (sample_rate, frame, _hop) in sounds:
        for octaves in (3, 5):
            expected = LIBROSA.spectral_contrast(S=theirs, sr=sample_rate, n_fft=frame, n_bands=octaves)
            error = np.abs(contrast(ours, BIN_HZ, octaves).numpy() - expected)
            assert error.shape[0] == octaves + 1
            assert np.quantile(error, 0.95) < 0.01, name
            assert np.quantile(error, 0.99) < 0.05, name
            assert error.max() < 0.5, name


def test_zero_crossings_are_librosas_exactly(sounds):
    for name, wave, _, _, (_, frame, hop) in sounds:
        expected = LIBROSA.zero_crossing_rate(wave, frame_length=frame, hop_length=hop)[0]
        ours = temporal.zero_crossing_rate(torch.from_numpy(wave), frame, hop)
        assert np.array_equal(ours, expected.astype(np.float32)), name


def test_rms_is_librosas(sounds):
    for name, wave, _, _, (_, frame, hop) in sounds:
        expected = LIBROSA.rms(y=wave, frame_length=frame, hop_length=hop)[0]
        np.testing.assert_allclose(
            temporal.rms(torch.from_numpy(wave), frame, hop), expected, rtol=1e-6, atol=1e-9, err_msg=name
        )


def test_a_tone_is_where_it_is():
    wave = torch.from_numpy(tone(1000.0, 16000))
    magnitude = magnitude_of(wave)[:, 10:-10]
    centre = temporal.centroid_hz(magnitude, BIN_HZ)
    assert centre.numpy() == pytest.approx(1000.0, abs=0.1)
    assert temporal.bandwidth_hz(magnitude, BIN_HZ, centre).max() < 20
    assert (temporal.rolloff_hz(magnitude, BIN_HZ, 0.7) == 1000.0).all()
    assert temporal.flatness(magnitude.square()).max() < 1e-4
    assert temporal.rms(wave, 1024, 160)[10:-10].numpy() == pytest.approx(0.5 / 2**0.5, rel=1e-3)
    assert temporal.zero_crossing_rate(wave, 1024, 160)[10:-10].numpy() == pytest.approx(2 * 1000 / 16000, abs=1e-3)


def test_white_noise_is_nearly_flat():
    flatness = temporal.flatness(magnitude_of(white_noise(5, 80000)).square())[10:-10]
    assert flatness.mean().item() == pytest.approx(np.exp(-np.euler_gamma), abs=0.01)


def test_flux_is_nothing_for_a_steady_tone_and_peaks_at_its_onset():
    wave = torch.from_numpy(np.concatenate([white_noise(6, 16000, 1e-4), tone(440.0, 16000)]))
    flux = temporal.flux(magnitude_of(wave), reach=3)
    assert flux[110:195].max() < 0.01
    assert abs(int(flux.argmax()) - 100) <= 1  # the onset is at 1 s, frame 100
    assert flux[100] > 0.1
    fading = temporal.flux(magnitude_of(wave[16000:] * torch.linspace(1, 0, 16000)), reach=3)
    assert fading[5:95].max() < 0.01  # what fades is not new


def test_flux_ignores_the_level():
    wave = white_noise(7, 16000)
    loud, quiet = (temporal.flux(magnitude_of(gain * wave), reach=3) for gain in (1.0, 1 / 1024))
    assert torch.allclose(loud, quiet, rtol=1e-5)


def test_silence_is_zero_and_flat():
    magnitude = magnitude_of(torch.zeros(2, 8000))
    centre = temporal.centroid_hz(magnitude, BIN_HZ)
    zeros = [centre, temporal.bandwidth_hz(magnitude, BIN_HZ, centre), temporal.rolloff_hz(magnitude, BIN_HZ, 0.85)]
    zeros += [temporal.flux(magnitude, 3), contrast(magnitude, BIN_HZ, 5), temporal.rms(torch.zeros(9), 1024, 160)]
    assert all((row == 0).all() for row in zeros)
    assert temporal.flatness(magnitude.square()).numpy() == pytest.approx(1.0, abs=1e-5)


def test_contrast_needs_bins_up_to_its_last_octave():
    with pytest.raises(ValueError, match="need bins beyond"):
        contrast(torch.ones(513, 3), BIN_HZ, 7)
