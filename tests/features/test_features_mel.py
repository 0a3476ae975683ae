import librosa
import numpy as np
import pytest
import torch
from feature_sounds import tone, varied_sounds, white_noise

from app.features.mel import log_mel, mel_filters, power_stft

RATES = [(16000, 1024, 160), (32000, 2048, 320)]


@pytest.mark.parametrize(("sample_rate", "frame", "hop"), RATES)
def test_power_and_mel_power_are_librosas(sample_rate, frame, hop):
    for name, wave in varied_sounds(sample_rate).items():
        expected = np.abs(librosa.stft(wave.astype(np.float64), n_fft=frame, hop_length=hop)) ** 2
        power = power_stft(torch.from_numpy(wave), frame, hop)
        np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-6 * expected.max(), err_msg=name)
        filters = librosa.filters.mel(sr=sample_rate, n_fft=frame, n_mels=64, fmin=40, fmax=7600)
        ours = mel_filters(sample_rate, frame, 64, (40.0, 7600.0)) @ power
        expected = filters @ expected
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-9 * expected.max(), err_msg=name)


@pytest.mark.parametrize(("mels", "mel_hz"), [(64, (40.0, 14000.0)), (20, (0.0, 16000.0)), (80, (300.0, 8000.0))])
def test_filters_are_librosas(mels, mel_hz):
    expected = librosa.filters.mel(sr=32000, n_fft=2048, n_mels=mels, fmin=mel_hz[0], fmax=mel_hz[1])
    ours = mel_filters(32000, 2048, mels, mel_hz)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6 * expected.max())


def test_a_filter_that_sees_no_bin_is_refused():
    with pytest.raises(ValueError, match="too narrow"):
        mel_filters(16000, 256, 100, (40.0, 8000.0))


def test_decibels_have_a_floor_and_no_ceiling():
    filters = mel_filters(16000, 1024, 64, (40.0, 8000.0))
    assert (log_mel(power_stft(torch.zeros(16000), 1024, 160), filters) == -100).all()
    wave = torch.from_numpy(white_noise(0, 16000))
    quiet, loud = (log_mel(power_stft(gain * wave, 1024, 160), filters) for gain in (1e-2, 1.0))
    assert torch.allclose(loud - quiet, torch.tensor(40.0), atol=1e-3)
    both = log_mel(power_stft(torch.cat([100 * wave, 1e-3 * wave]), 1024, 160), filters)
    assert both[:, :90].mean() - both[:, 110:].mean() == pytest.approx(100, abs=1)  # top_db would have made it 80


def test_frame_k_is_centred_on_its_hop():
    wave = torch.zeros(16000)
    wave[40 * 160] = 1.0
    power = power_stft(wave, 1024, 160).sum(0)
    assert power.shape == (101,)
    assert power.argmax() == 40
    assert power[40 - 3].item() == pytest.approx(power[40 + 3].item(), rel=1e-4)


@pytest.mark.parametrize(("frame", "hop", "time"), [(1024, 160, 0), (1024, 160, 5), (1411, 220, 44100), (101, 10, 999)])
def test_any_time_and_odd_frames_give_one_frame_a_hop(frame, hop, time):
    assert power_stft(torch.ones(2, 3, time), frame, hop).shape == (2, 3, frame // 2 + 1, 1 + time // hop)


def test_a_tone_has_its_power():
    wave = torch.from_numpy(tone(1000.0, 16000, amplitude=0.5))  # bin 64: amplitude * sum(window) / 2
    assert power_stft(wave, 1024, 160)[64, 50].item() == pytest.approx((0.5 * 512 / 2) ** 2, rel=1e-4)
