"""Which config keys and which inputs shape each stage's bytes: the fingerprints, and what stands on what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import Config
from app.config.ladder import LADDER
from app.errors import Missing, UserError
from app.runtime.files import fingerprint, read_json
from app.runtime.job import is_complete, stage_name
from app.runtime.run import Run


@dataclass(frozen=True)
class Part:
    job: str
    version: int  # raised by a person when the stage's output changes; golden tests guard it
    keys: tuple[str, ...]
    inputs: tuple[str, ...]


BACKGROUNDS = "backgrounds.json"  # in a run's folder: the fingerprint of its recorded noise and rooms, file by file
WAVES = ("extract.front_end", "gate")
WINDOWS = ("sample_rate", "mix.window_s", "infer.overlap_s")
RECORDINGS = ("sample_rate", "extract", "gate", "mix.window_s", "infer.overlap_s")

# test recordings stand apart: what is done to training clips leaves them computed, and the other way round
PARTS = {
    "prepare": Part("prepare", 1, ("seed", "prepare"), ("corpus-train",)),
    "prepare-test": Part("prepare", 1, (), ("corpus-test",)),
    "denoise": Part("denoise", 3, ("sample_rate", "denoise"), ("prepare",)),
    "backgrounds": Part("mix", 1, ("sample_rate", "mix.noise_max_s"), ("recordings",)),
    "mix": Part("mix", 4, ("seed", "mix"), ("denoise", "backgrounds")),
    "mix-audio": Part("mix", 4, (), ("mix",)),
    "extract": Part("extract", 4, ("extract",), ("mix",)),
    "extract-test": Part("extract", 4, RECORDINGS, ("prepare-test",)),
    "extract-input": Part("extract", 4, RECORDINGS, ("recordings",)),
    "waves": Part("extract", 1, WAVES, ("mix",)),  # what models hear that do not read features
    "waves-test": Part("extract", 1, (*WAVES, *WINDOWS), ("prepare-test",)),
    "waves-input": Part("extract", 1, (*WAVES, *WINDOWS), ("recordings",)),
    "train": Part("train", 5, ("seed",), ("extract",)),  # and of each model the keys that its rung has
    "infer": Part("infer", 1, ("infer.batch_clips",), ("features", "model")),
}
NO_BYTES = {  # keys that leave the bytes as they are; what a corpus' layout yields is in the name of the corpus
    "prepare": {"adapter", "table", "corpora"},
    "mix": {"materialise"},
}


def spec_of(run: Run, part: str, **inputs: Any) -> dict[str, Any]:
    """{"job", "version", "config", "inputs"}: all that shapes the bytes of `part` in this run.

    inputs: fingerprints of inputs that the run itself does not know, such as a model or a folder of recordings.
    """
    what = PARTS[part]
    return {
        "job": what.job,
        "version": what.version,
        "config": {key: _pick(run.config, key) for key in what.keys},
        "inputs": {name: known for name in what.inputs if (known := inputs.get(name) or _input(run, name)) is not None},
    }


def stage_of(run: Run, part: str, **inputs: Any) -> Path:
    """Where `part` of this run lies, done or not."""
    return run.runs / "stages" / stage_name(spec_of(run, part, **inputs))


def need(run: Run, part: str, **inputs: Any) -> Path:
    """The folder of a finished stage of this run; UserError naming the job to run first."""
    folder = stage_of(run, part, **inputs)
    if not is_complete(folder):
        job = PARTS[part].job
        raise Missing(f"run {run.name}: {job} is not done for this config ({folder})", f"run `make {job}` first")
    return folder


def model_spec(run: Run, name: str) -> dict[str, Any]:
    """What shapes this model; its fingerprint names its folder."""
    rung = LADDER[name]
    spec = spec_of(run, "train", extract=stage_of(run, rung.reads).name)
    how = run.config.train.model_dump(mode="json")
    spec["config"]["train"] = {key: how[key] for key in rung.keys}
    spec = {**spec, "model": name}
    return {**spec, "fingerprint": fingerprint(spec)}


def model_folder(run: Run, name: str) -> Path:
    """models/NAME-FINGERPRINT: another config is another folder, so nothing trained is overwritten or trained twice."""
    return run.folder / "models" / f"{name}-{model_spec(run, name)['fingerprint']}"


def read_by(run: Run) -> tuple[str, ...]:
    """The stages that its models read, those of train.models and what else is trained: "extract", "waves"."""
    asked = run.config.train.models
    models = [name for name in LADDER if name in asked or (model_folder(run, name) / "model.json").exists()]
    return tuple(part for part in ("extract", "waves") if any(LADDER[name].reads == part for name in models))


def extracted_by(run: Run) -> tuple[str, ...]:
    """The parts that `extract` makes: what was planned and the test, as its models read them."""
    return tuple(f"{part}{of}" for part in read_by(run) for of in ("", "-test"))


def known_stage(run: Run, part: str) -> Path | None:
    """As stage_of; None where what it stands on has not been read yet."""
    try:
        return stage_of(run, part)
    except UserError:
        return None


def backgrounds_stage(run: Run) -> Path | None:
    """Where the noise and the room responses of mix.noise_dirs and mix.rir_dirs lie, done or not; None without them."""
    if not (run.config.mix.noise_dirs or run.config.mix.rir_dirs):
        return None
    known = read_json(run.folder / BACKGROUNDS)
    if known is None:
        raise Missing(f"run {run.name}: its noise and rooms were not read ({run.folder})", "run `make mix` first")
    return stage_of(run, "backgrounds", recordings=known["name"])


def _input(run: Run, name: str) -> str | None:
    if name == "backgrounds":
        stage = backgrounds_stage(run)
        return stage.name if stage else None
    if not name.startswith("corpus-"):
        return stage_of(run, name).name
    corpus = run.corpus()
    if corpus is None:
        others = sorted(path.parent.name for path in run.runs.glob("*/corpus.json"))
        hint = f"; runs that have one: {', '.join(others)} (say CONFIG=... or RUN=...)" if others else ""
        raise Missing(f"run {run.name}: no corpus has been prepared ({run.folder})", f"run `make prepare` first{hint}")
    return str(corpus[name.removeprefix("corpus-")])


def _pick(config: Config, key: str) -> Any:
    value: Any = config.model_dump(mode="json")
    if key == "gate":  # how a front end gates, if it does
        return None if config.extract.front_end == "none" else value["denoise"]
    for part in key.split("."):
        value = value[part]
    if key in NO_BYTES:
        value = {name: each for name, each in value.items() if name not in NO_BYTES[key]}
    return value
