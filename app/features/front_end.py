"""What stands before the features, the same for training, validation, test and single files."""

from app.audio.level import Waveform
from app.config import Config
from app.runtime.steps import step


def front_end(samples: Waveform, config: Config) -> Waveform:
    """samples: (time,), as rendered or read. extract.front_end: none leaves them as they are, gate denoises them."""
    if config.extract.front_end == "none":
        return samples
    from app.audio.denoise import gate  # numba's loops, for whoever has no use of them

    how = config.denoise
    with step("gate"):
        return gate(samples, config.sample_rate, stationary=how.stationary, reduction=how.reduction)
