"""Every feature beside its reference in double precision, by librosa and scipy; and sounds that might become NaN."""

import librosa
import numpy as np
import pytest
import torch
from feature_sounds import real_ids, recording, tone, white_noise
from scipy.ndimage import maximum_filter1d

from app.config import ExtractConfig
from app.features.extract import by_tensors, channel_names, compute

CONFIGS = {16000: ExtractConfig(mel_hz=(40.0, 7600.0)), 32000: ExtractConfig()}


def reference(wave, rate, cfg):
    """{channel: (frames,)} and mel (mels, frames) in dB, all in double precision."""
    frame, hop = round(cfg.frame_s * rate), round(cfg.hop_s * rate)
    y = wave.astype(np.float64)
    magnitude = np.abs(librosa.stft(y, n_fft=frame, hop_length=hop))
    of, how = librosa.feature, {"S": magnitude, "sr": rate, "n_fft": frame}
    mel = librosa.feature.melspectrogram(
        S=magnitude**2, sr=rate, n_fft=frame, n_mels=cfg.mels, fmin=cfg.mel_hz[0], fmax=cfg.mel_hz[1]
    )
    total = magnitude.sum(0)
    rise = np.maximum(np.diff(magnitude, axis=1, prepend=magnitude[:, :1]), 0).sum(0)
    reach = round(frame / hop / 2)
    found = {
        "centroid_hz": of.spectral_centroid(**how)[0],
        "bandwidth_hz": of.spectral_bandwidth(**how)[0],
        "rolloff_hz": of.spectral_rolloff(**how, roll_percent=cfg.roll_off)[0],
        "flatness": of.spectral_flatness(S=magnitude)[0],
        "flux": rise / maximum_filter1d(total, 2 * reach + 1, mode="constant"),
        "zcr": of.zero_crossing_rate(y, frame_length=frame, hop_length=hop)[0],
        "rms": of.rms(y=y, frame_length=frame, hop_length=hop)[0],
    }
    contrasts = of.spectral_contrast(**how, n_bands=cfg.contrast_bands)
    return found | {f"contrast_{k}": row for k, row in enumerate(contrasts)}, 10 * np.log10(np.maximum(mel, 1e-10))


@pytest.mark.parametrize("way", [compute, by_tensors])
@pytest.mark.parametrize("rate", CONFIGS)
def test_all_features_of_recordings_are_those_of_double_precision(rate, way):
    cfg = CONFIGS[rate]
    for id in real_ids(6):
        wave = recording(id, rate)
        expected, expected_mel = reference(wave, rate, cfg)
        mel, temporal = way(torch.from_numpy(wave)[None], rate, cfg)
        channels = dict(zip(channel_names(cfg), temporal[0].numpy(), strict=True))
        near_peak = expected_mel > expected_mel.max(0) - 90  # float32 has 140 dB, of which a clip's onset may take 50
        assert np.abs(mel[0].numpy() - expected_mel)[near_peak].max() < 2e-3
        for name in ("centroid_hz", "bandwidth_hz"):
            np.testing.assert_allclose(channels[name], expected[name], rtol=1e-3, err_msg=f"{id} {name}")
        for name, tolerance in (("flatness", 1e-5), ("flux", 1e-4), ("zcr", 1e-6), ("rms", 1e-6)):
            np.testing.assert_allclose(
                channels[name], expected[name], rtol=1e-3, atol=tolerance, err_msg=f"{id} {name}"
            )
        assert np.abs(channels["rolloff_hz"] - expected["rolloff_hz"]).max() <= rate / round(cfg.frame_s * rate)
        for k in range(cfg.contrast_bands + 1):
            error = np.abs(channels[f"contrast_{k}"] - expected[f"contrast_{k}"])
            assert np.quantile(error, 0.99) < 0.05, f"{id} contrast_{k}"


def hostile(rate):
    time = rate // 2
    click = np.zeros(time, np.float32)
    click[time // 3] = 1.0
    return {
        "silence": np.zeros(time, np.float32),
        "clipping": np.clip(20 * tone(220.0, rate, 0.5), -1, 1),
        "DC": np.full(time, 0.5, np.float32),
        "full-scale DC": np.ones(time, np.float32),
        "one sample": np.ones(1, np.float32),
        "one sample of silence": np.zeros(1, np.float32),
        "full-scale square": np.sign(tone(440.0, rate, 0.5)).astype(np.float32),
        "full-scale noise": np.sign(white_noise(1, time)).astype(np.float32),
        "Nyquist": np.where(np.arange(time) % 2, 1.0, -1.0).astype(np.float32),
        "click": click,
        "silence, then sound": np.concatenate([np.zeros(time, np.float32), white_noise(2, time)]),
        "denormal": np.full(time, 1e-42, np.float32) * np.sign(white_noise(3, time)),
    }


@pytest.mark.parametrize("way", [compute, by_tensors])
@pytest.mark.parametrize("rate", CONFIGS)
@pytest.mark.parametrize("name", hostile(16000))
def test_nothing_becomes_nan(name, rate, way):
    cfg = CONFIGS[rate]
    mel, temporal = way(torch.from_numpy(hostile(rate)[name].astype(np.float32))[None], rate, cfg)
    assert mel.isfinite().all() and temporal.isfinite().all()
    assert mel.min() >= -100.001
    by_name = dict(zip(channel_names(cfg), temporal[0], strict=True))
    for share in ("voicing", "flatness", "flux", "zcr"):
        assert by_name[share].min() >= 0 and by_name[share].max() <= 1
    assert by_name["rms"].max() <= 1.0001
