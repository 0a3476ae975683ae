"""From stored waveforms to what a network hears: clips of full length, at one level, at the rate it wants."""

from typing import Any

from torch import Tensor, nn

from app.features.batches import Waves

SILENCE = 1e-5  # RMS; nothing is blown up from below


def heard(batch: Waves) -> Tensor:
    """(clips, samples) of RMS 1: how loud a clip is says nothing. A short clip is repeated until the window is full."""
    wave = batch.filled()
    wave = wave - wave.mean(-1, keepdim=True)
    power = wave.square().mean(-1, keepdim=True)
    return wave / power.clamp_min(SILENCE**2).sqrt()  # in this order: silence has a gradient


def at_rate(sample_rate: int, wanted: int) -> nn.Module:
    """(clips, samples) -> (clips, samples * wanted / sample_rate, rounded up)."""
    if sample_rate == wanted:
        return nn.Identity()
    from torchaudio.transforms import Resample  # half a second, for which there is no need where the rate fits

    resample: Any = Resample(sample_rate, wanted)
    resample.register_buffer("kernel", resample.kernel, persistent=False)  # it goes where the model goes, unsaved
    found: nn.Module = resample
    return found
