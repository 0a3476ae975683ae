"""The features of a batch of windows on a GPU, with fewer at a time once its memory has proved too small."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import ExtractConfig
from app.features.at_once import AtOnce, nobody
from app.features.extract import compute

Floats = NDArray[np.float32]


class OnGpu:
    """What `writer.FeatureWriter` does with its windows: (windows, time) -> mel and temporal, as `extract.compute`."""

    def __init__(
        self,
        sample_rate: int,
        cfg: ExtractConfig,
        device: torch.device,
        at_once: int,
        say: Callable[[str], None] = nobody,
    ) -> None:
        self._rate, self._cfg, self._device = sample_rate, cfg, device
        self._room = AtOnce(at_once, say=say)

    def __call__(self, waveforms: Floats) -> tuple[Floats, Floats]:
        mel: list[Floats] = []
        temporal: list[Floats] = []
        done = 0
        while done < len(waveforms):
            part = torch.from_numpy(waveforms[done : done + self._room.clips])
            try:
                found = compute(part.to(self._device), self._rate, self._cfg)
            except RuntimeError as error:
                if not self._room.halve(error):
                    raise
                continue
            mel.append(found.mel.cpu().numpy())
            temporal.append(found.temporal.cpu().numpy())
            done += len(part)
        return np.concatenate(mel), np.concatenate(temporal)
