"""From stored waveforms to what a network hears: clips of full length, at one level, at the rate it wants."""

from torch import Tensor

from app.features.batches import Waves

SILENCE = 1e-5  # RMS; nothing is blown up from below


def heard(batch: Waves) -> Tensor:
    """(clips, samples) of RMS 1: how loud a clip is says nothing. A short clip is repeated until the window is full."""
    wave = batch.filled()
    wave = wave - wave.mean(-1, keepdim=True)
    return wave / wave.square().mean(-1, keepdim=True).sqrt().clamp_min(SILENCE)


def at_rate(wave: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """(clips, samples) -> (clips, samples * wanted / sample_rate, rounded up)."""
    if sample_rate == wanted:
        return wave
    from torchaudio.functional import resample  # half a second, for which there is no need where the rate fits

    resampled: Tensor = resample(wave, sample_rate, wanted)
    return resampled
