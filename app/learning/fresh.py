"""Training clips that no epoch has heard before: planned, rendered and turned into features while the model learns.

The plan of an epoch is drawn from (seed, epoch), each clip from its recipe, by the functions of mix and extract. So
epoch 7 is the same clips whoever renders them, however many do, and whatever was cut before.
"""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from app.audio.io import to_int16
from app.audio.mix import render
from app.audio.recipe import Recipe
from app.config import Config
from app.corpora.plan import planner_of
from app.corpora.sounds import noise_of, sounds_of
from app.errors import UserError
from app.features.batches import AnyBatch, Batch, Waves
from app.features.frames import num_frames
from app.features.front_end import front_end
from app.features.on_cpu import features_of
from app.features.writer import MEL_TYPE
from app.runtime.forked import end_with_the_forkserver, hush
from app.runtime.seeds import seed_of

AHEAD = 3  # batches that each renderer has ready


class Rendering:
    """A clip for each recipe, as extract would leave it on disk. What a renderer has in hand."""

    def __init__(self, config: Config, reads: str, denoised: Path, backgrounds: Path | None) -> None:
        self.config, self.reads, self.denoised, self.backgrounds = config, reads, denoised, backgrounds

    def __getitem__(self, recipe: Recipe) -> tuple[Any, ...]:
        """(mel, temporal, frames, targets) or (wave, samples, targets)."""
        config, rate = self.config, self.config.sample_rate
        voices, (noise, rooms) = sounds_of(self.denoised), noise_of(self.denoised, self.backgrounds)
        samples = front_end(render(recipe, voices, noise, rate, rooms), config)
        targets = np.array(recipe.labels, np.float32)
        if self.reads == "waves":
            return to_int16(samples), np.int64(len(samples)), targets
        mel, temporal = features_of(samples, rate, config.extract)
        return mel.astype(MEL_TYPE), temporal, np.int64(num_frames(len(samples), rate, config.extract)), targets

    def together(self, clips: list[tuple[Any, ...]]) -> AnyBatch:
        """None of them, too: a process may have no share in a short batch."""
        kind: Any = Waves if self.reads == "waves" else Batch
        columns = [torch.from_numpy(np.stack(values)) for values in zip(*clips or [self._any()], strict=True)]
        batch: AnyBatch = kind(*columns, padded=False)
        return batch.part(0, len(clips))

    def _any(self) -> tuple[Any, ...]:
        """Of the right shapes."""
        size = round(self.config.mix.window_s * self.config.sample_rate)
        quiet = Recipe("", size, (), 0.0, None, 0.0, 0.0, None, None, None, None, -30.0, 0)
        return self[quiet]


class Fresh:
    """The training clips of any epoch, as many as mix.train_clips."""

    def __init__(
        self, config: Config, reads: str, denoised: Path, backgrounds: Path | None, renderers: int, pinned: bool
    ) -> None:
        """renderers: processes beside this one; 0: this one does it itself."""
        self.config = config
        self._planner = planner_of("train", denoised, backgrounds, config)
        rendering = Rendering(config, reads, denoised, backgrounds)
        self._parts = _Parts()
        more: dict[str, Any] = {}
        if renderers:
            atexit.register(_end_renderers)
            more = {
                "prefetch_factor": AHEAD,
                "persistent_workers": True,
                "multiprocessing_context": "forkserver",
                "worker_init_fn": _begin,
            }
        self._loader: Any = DataLoader(
            rendering,  # type: ignore[arg-type]
            batch_sampler=self._parts,
            collate_fn=rendering.together,
            num_workers=renderers,
            pin_memory=pinned,
            generator=torch.Generator(),  # it draws a seed that nobody uses, and not from ours
            **more,
        )

    def recipes(self, epoch: int) -> list[Recipe]:
        """Of all clips of this epoch, in the order of their ids."""
        planner = self._planner.with_seed(seed_of(self.config.training_seed, "fresh", epoch))
        return [recipe for _, recipe in planner.draw(self.config.mix.train_clips, self.config.mix.train)]

    def batches(self, epoch: int, parts: list[NDArray[np.int64]]) -> Iterator[AnyBatch]:
        """The clips of these numbers, part by part. UserError where a renderer was killed."""
        recipes = self.recipes(epoch)
        self._parts.of_epoch = [[recipes[n] for n in part] for part in parts]
        try:
            yield from self._loader
        except (RuntimeError, ConnectionError, EOFError) as error:  # the last two: what it left cannot be fetched
            if isinstance(error, RuntimeError) and ("DataLoader worker" not in str(error) or error.__cause__ is None):
                raise
            raise UserError(
                f"a process that renders training clips was ended from outside ({error})",
                "where memory was short, fewer WORKERS; the same command goes on from the last checkpoint",
            ) from None

    def close(self) -> None:
        """No more epochs: the renderers end."""
        self._loader = None


class _Parts:
    """What a DataLoader takes for an order: lists of recipes."""

    of_epoch: list[list[Recipe]]

    def __iter__(self) -> Iterator[list[Recipe]]:
        return iter(self.of_epoch)

    def __len__(self) -> int:
        return len(self.of_epoch)


def _end_renderers() -> None:
    """Where a stop came while they rendered: they hear no TERM, with which multiprocessing would end them."""
    for renderer in multiprocessing.active_children():
        renderer.kill()


def _begin(number: int) -> None:
    """A renderer hears no stop of its own: it ends with the process that it works for."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)
    end_with_the_forkserver()
    hush()
    torch.set_num_threads(1)
