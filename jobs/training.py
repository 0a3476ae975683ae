"""One training, as the job itself and each process of its crew set it up."""

from pathlib import Path
from typing import Any, NamedTuple

from app.config import Config
from app.config.ladder import LADDER
from app.runtime.machine import usable_cores
from app.runtime.run import Run
from jobs.chain import backgrounds_stage, need, stage_of


class Sources(NamedTuple):
    """The stages that a training reads."""

    extracted: str  # as the model reads it: features or waves
    denoised: str  # to mix on the fly; so the next one
    backgrounds: str | None


def sources_of(run: Run, name: str) -> Sources:
    """UserError naming the job to run first where one is not there."""
    backgrounds = backgrounds_stage(run)
    return Sources(
        str(need(run, LADDER[name].reads)), str(stage_of(run, "denoise")), str(backgrounds) if backgrounds else None
    )


def trainer_of(
    config: Config, name: str, sources: Sources, folder: Path, device: Any, renderers: int, **keys: Any
) -> Any:
    """A Trainer of the model `name`, which goes on with what lies in `folder`.

    renderers: processes that mix on the fly, where train.on_the_fly asks for that. keys: those of the Trainer.
    """
    import torch

    from app.features.store import STORES
    from app.learning.loop import Trainer
    from app.models.registry import build

    torch.manual_seed(config.training_seed)
    model = build(name, config)
    reads = LADDER[name].reads
    train, select = (STORES[reads](Path(sources.extracted), (split,)) for split in ("train", "select"))
    if config.train.on_the_fly:
        from app.learning.fresh import Fresh

        where = Path(sources.denoised), Path(sources.backgrounds) if sources.backgrounds else None
        keys["fresh"] = Fresh(config, reads, *where, renderers, pinned=device.type == "cuda")
    return Trainer(folder, model, train, select, config.train, config.training_seed, device, **keys)


def shared_out(config: Config, workers: int, gpu: bool) -> tuple[int, int]:
    """(threads that compute, processes that render), of so many workers.

    A CPU is shared by both; a GPU wants one process to feed it, and all others render.
    """
    if not config.train.on_the_fly:
        return workers, 0
    renderers = workers - 1 if gpu else workers // 2
    return max(1, workers - renderers), renderers


def processes_for(config: Config, gpus: int) -> int:
    """One for each GPU that was taken; without any, as many as the config wants on the CPU, and there are cores for."""
    return gpus or min(config.runtime.processes, usable_cores())
