"""The shape of features: frames, channels and bytes of a window. Plain arithmetic, without torch."""

from app.config import ExtractConfig

RESIDUAL = ("residual_skew", "residual_kurtosis", "residual_peak", "residual_gain")
CHANNELS = ("f0_hz", "voicing", "rolloff_hz", "centroid_hz", "bandwidth_hz", "flatness", "flux", "zcr", "rms")


def channel_names(cfg: ExtractConfig) -> tuple[str, ...]:
    """Names of the temporal channels, in order; a unit ends the name where there is one."""
    contrast = tuple(f"contrast_{k}" for k in range(cfg.contrast_bands + 1))
    pulses = tuple(f"pulse_{what}_{k}" for what in ("spread", "sync") for k in range(cfg.texture_bands))
    return CHANNELS + contrast + pulses + RESIDUAL


def num_frames(num_samples: int, sample_rate: int, cfg: ExtractConfig) -> int:
    """Frames of a clip of num_samples: one centred on its start and one each full hop after."""
    return 1 + num_samples // frame_and_hop(sample_rate, cfg)[1]


def frame_and_hop(sample_rate: int, cfg: ExtractConfig) -> tuple[int, int]:
    """Frame and hop in samples. Raises ValueError if the hop is shorter than a sample or the frame than two."""
    frame, hop = round(cfg.frame_s * sample_rate), round(cfg.hop_s * sample_rate)
    if hop < 1 or frame < 2:
        raise ValueError(f"a hop of {cfg.hop_s:g} s or a frame of {cfg.frame_s:g} s is nothing at {sample_rate} Hz")
    return frame, hop


def window_bytes(num_samples: int, sample_rate: int, cfg: ExtractConfig) -> int:
    """What the features of one window take on disk: float16 mel, float32 channels, a count of frames."""
    return num_frames(num_samples, sample_rate, cfg) * (2 * cfg.mels + 4 * len(channel_names(cfg))) + 4
