"""A trained model from its folder alone: recordings in, probabilities out, without a run or a stage."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError

from app.audio.io import to_int16
from app.audio.level import Waveform
from app.audio.windows import windows_of
from app.config import Config
from app.config.ladder import LADDER
from app.errors import UserError
from app.features.batches import AnyBatch, Batch, Waves
from app.features.frames import channel_names, frame_and_hop, num_frames
from app.features.front_end import front_end
from app.features.on_cpu import features_of
from app.features.spectral_plan import mel_middles_hz
from app.features.writer import MEL_TYPE
from app.learning.checkpoint import load_checkpoint
from app.learning.explain import (
    Explained,
    asked_of_features,
    asked_of_sound,
    explained,
)
from app.models.registry import build
from app.runtime.files import read_json, sha256_of
from app.scoring.calibration import Calibration, apply_calibration


class Heard(NamedTuple):
    """What was heard in a window of a recording."""

    start_s: float
    seconds: float
    p_fake: float
    p_real: float


class ModelFolder:
    """models/NAME of a run, or the same folder anywhere else. On the CPU, in one thread."""

    def __init__(self, folder: Path) -> None:
        self.told = _told(folder)
        self.name: str = self.told["name"]
        self.config = _as_here(_config(folder, self.told["config"]))
        self.calibration = Calibration.from_json(self.told["calibration"])
        weights = folder / "best.safetensors"
        if not weights.exists() or sha256_of(weights) != self.told["weights_sha256"]:
            raise UserError(f"{weights}: not the weights that model.json beside it speaks of", "take the whole folder")
        torch.set_num_threads(1)
        self.network = build(self.name, self.config)
        load_checkpoint(weights, self.network)
        self.network.eval()

    def heard(self, path: Path) -> Iterator[Heard]:
        """Window by window, however long the recording is. Raises BadClip before the first."""
        config, rate = self.config, self.config.sample_rate
        size, overlap = round(config.mix.window_s * rate), round(config.infer.overlap_s * rate)
        windows = windows_of(path, rate, size, overlap)
        while part := list(islice(windows, config.extract.batch_clips)):
            scores = self.scores([samples for _, samples in part])
            for (start, samples), (fake, real) in zip(part, scores.tolist(), strict=True):
                yield Heard(start / rate, len(samples) / rate, fake, real)

    @torch.no_grad()
    def scores(self, windows: Iterable[Waveform]) -> Any:
        """(windows, 2): p_fake and p_real of each, calibrated; the same as infer gives of stored features."""
        return apply_calibration(self.network(self._batch(windows)).double().numpy(), self.calibration)

    def picture(self, window: Waveform) -> tuple[Any, Any]:
        """Mel map (mels, frames) in dB and temporal features (channels, frames) of its sound, as models get them."""
        config = self.config
        frames = num_frames(len(window), config.sample_rate, config.extract)
        mel, temporal = features_of(front_end(window, config), config.sample_rate, config.extract)
        return mel[:, :frames], temporal[:, :frames]

    def explained(self, window: Waveform, between: Callable[[], None] = lambda: None) -> Explained:
        """What carried the answer to this window; as `explain.explained`."""
        config, batch = self.config, self._batch([window])
        rate, how, yes = config.sample_rate, config.extract, (self.scores([window])[0] >= 0.5).tolist()
        if isinstance(batch, Batch):
            asked = asked_of_features(self.network, batch, channel_names(how))
            return explained(asked, how.hop_s, yes, 8, between)
        mel = torch.from_numpy(self.picture(window)[0])
        frame, hop = frame_and_hop(rate, how)
        middles = mel_middles_hz(how.mels, how.mel_hz)
        asked = asked_of_sound(self.network, batch, mel, middles, rate, max(frame, 4 * hop), hop)
        return explained(asked, how.hop_s, yes, 2, between)

    def _batch(self, windows: Iterable[Waveform]) -> AnyBatch:
        config, size = self.config, round(self.config.mix.window_s * self.config.sample_rate)
        make = _waves if LADDER[self.name].reads == "waves" else _features
        return make([front_end(samples, config) for samples in windows], size, config)


def _as_here(config: Config) -> Config:
    """A front end's weights that lay elsewhere when the model was trained are looked for in torch's cache."""
    named = config.train.ssl_weights
    if named is None or Path(named).is_file():
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"ssl_weights": None})})


def _features(windows: list[Waveform], size: int, config: Config) -> Batch:
    """As it would come from disk; so in _waves."""
    mels, temporals, frames = [], [], []
    for samples in windows:
        mel, temporal = features_of(np.pad(samples, (0, size - len(samples))), config.sample_rate, config.extract)
        mels.append(mel.astype(MEL_TYPE).astype(np.float32))
        temporals.append(temporal)
        frames.append(num_frames(len(samples), config.sample_rate, config.extract))
    return Batch(
        torch.from_numpy(np.stack(mels)),
        torch.from_numpy(np.stack(temporals)),
        torch.tensor(frames),
        torch.full((len(mels), 2), torch.nan),
        padded=min(frames) < mels[0].shape[-1],
    )


def _waves(windows: list[Waveform], size: int, config: Config) -> Waves:
    wave = np.stack([to_int16(np.pad(samples, (0, size - len(samples)))) for samples in windows])
    lengths = torch.tensor([len(samples) for samples in windows])
    unknown = torch.full((len(wave), 2), torch.nan)
    return Waves(torch.from_numpy(wave), lengths, unknown, padded=int(lengths.min()) < size).to(torch.device("cpu"))


def _config(folder: Path, values: dict[str, Any]) -> Config:
    try:
        return Config.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{folder}/model.json: of another version of Moksori, which has a key {key} ({first['msg']})",
            "use that version, or train it anew",
        ) from None


def _told(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] | None = read_json(folder / "model.json")
    if told is None:
        near = sorted(path.parent for path in (*folder.glob("*/model.json"), *folder.glob("models/*/model.json")))
        there = f"; there: {', '.join(map(str, near[:5]))}" if near else ""
        raise UserError(f"{folder}: no model (model.json is missing{there})", "--model RUNS/RUN/models/NAME")
    if not {"config", "calibration"} <= told.keys():
        raise UserError(
            f"{folder}/model.json: from an older Moksori, it does not hold its config or calibration", "train it anew"
        )
    return told
