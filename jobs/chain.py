"""Which config keys and which inputs shape each stage's bytes: the fingerprints, and what stands on what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import Config
from app.errors import UserError
from app.runtime.job import is_complete, stage_name
from app.runtime.run import Run


@dataclass(frozen=True)
class Part:
    job: str
    version: int  # raised by a person when the stage's output changes; golden tests guard it
    keys: tuple[str, ...]
    inputs: tuple[str, ...]


PARTS = {
    "prepare": Part("prepare", 1, ("seed", "prepare"), ("corpus",)),
    "denoise": Part("denoise", 1, ("sample_rate", "denoise"), ("prepare",)),
    "mix": Part("mix", 1, ("seed", "mix"), ("denoise",)),
    "extract": Part("extract", 1, ("extract",), ("mix",)),
    # test recordings do not depend on how training clips are mixed: changing the mix leaves them computed
    "extract-test": Part(
        "extract",
        1,
        ("sample_rate", "extract", "denoise", "mix.window_s", "infer.overlap_s", "prepare.adapter"),
        ("corpus",),
    ),
    "infer": Part("infer", 1, ("infer.batch_clips",), ("features", "model")),
}


def spec_of(run: Run, part: str, **inputs: str) -> dict[str, Any]:
    """{"job", "version", "config", "inputs"}: all that shapes the bytes of `part` in this run.

    inputs: fingerprints of inputs that the run itself does not know, such as a model or a folder of recordings.
    """
    what = PARTS[part]
    return {
        "job": what.job,
        "version": what.version,
        "config": {key: _pick(run.config, key) for key in what.keys},
        "inputs": {name: inputs[name] if name in inputs else _input(run, name) for name in what.inputs},
    }


def need(run: Run, part: str) -> Path:
    """The folder of a finished stage of this run; UserError naming the job to run first."""
    folder = run.runs / "stages" / stage_name(spec_of(run, part))
    if not is_complete(folder):
        job = PARTS[part].job
        raise UserError(f"run {run.name}: {job} is not done for this config ({folder})", f"run `make {job}` first")
    return folder


def _input(run: Run, name: str) -> str:
    if name != "corpus":
        return stage_name(spec_of(run, name))
    corpus = run.stages().get("corpus")
    if corpus is None:
        raise UserError(f"run {run.name}: no corpus has been prepared ({run.folder})", "run `make prepare` first")
    return corpus


def _pick(config: Config, key: str) -> Any:
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return value
