"""How much a whole run has to do: recordings, seconds of sound, planned clips, windows, steps. From headers only."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.config import Config, PrepareConfig
from app.corpora.corpus import Corpus
from app.corpora.manifest import Row
from app.corpora.recordings import label_files
from app.runtime.run import Run

HEADERS = 1000  # are read; of more recordings that many by lot


@dataclass(frozen=True)
class Sizes:
    listed: int  # recordings of all splits: each is named by its bytes
    recordings: int  # for training and validation
    sound_s: float  # of them, as far as it is read
    planned: int  # clips of training and validation
    train: int
    select: int
    calibrate: int
    tests: int  # recordings
    windows: int  # of them
    judged: int  # clips that evaluate scores
    steps: int  # of an epoch
    epochs: dict[str, int]  # of each model, at most


def sizes_of(run: Run, corpus: Corpus, went: dict[str, int]) -> Sizes:
    """Of `run`. went: epochs that a model is known to have gone, instead of the most that it may."""
    config, how = run.config, run.config.mix
    train = [row for row in corpus.rows if row["split"] == "train"]
    test = [row for row in corpus.rows if row["split"] == "test"]
    half = how.valid_clips // 2
    windows = _total(test, lambda row: windows_in(run.data / row["path"], config), config.seed)
    looked_at = config.evaluate.final and (corpus.answers or bool(label_files(run.data, config)))
    return Sizes(
        listed=len(corpus.rows),
        recordings=len(train),
        sound_s=_total(train, lambda row: sound_seconds(run.data / row["path"], config.prepare), config.seed),
        planned=how.train_clips + how.valid_clips,
        train=how.train_clips,
        select=half,
        calibrate=how.valid_clips - half,
        tests=len(test),
        windows=round(windows),
        judged=how.valid_clips + (len(test) if looked_at else 0),
        steps=math.ceil(how.train_clips / config.train.batch_clips),
        epochs={name: went.get(name, config.train.epochs) for name in config.train.models},
    )


def sound_seconds(path: Path, how: PrepareConfig) -> float:
    """What is read of a training recording, by its header; 0 where it cannot be, or is too short."""
    seconds = _header(path)[0]
    return 0.0 if seconds < how.min_seconds else min(seconds, how.max_seconds)


def windows_in(path: Path, config: Config) -> int:
    """Windows of a test recording; 0 where it cannot be read."""
    from app.audio.windows import window_starts

    seconds, rate = _header(path)[0], config.sample_rate
    if not seconds:
        return 0
    size, overlap = round(config.mix.window_s * rate), round(config.infer.overlap_s * rate)
    return len(window_starts(round(seconds * rate), size, overlap))


def _header(path: Path) -> tuple[float, int]:
    """(seconds, rate); zeros where it cannot be read."""
    import soundfile

    try:
        info = soundfile.info(path)
        return info.frames / info.samplerate, info.samplerate
    except (OSError, RuntimeError, ZeroDivisionError):
        return 0.0, 0


def _total(rows: list[Row], each: Callable[[Row], float], seed: int) -> float:
    some = rows if len(rows) <= HEADERS else random.Random(seed).sample(rows, HEADERS)
    return sum(map(each, some)) / len(some) * len(rows) if some else 0.0
