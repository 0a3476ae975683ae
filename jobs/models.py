"""The trained models of a run, for exactly its config, and which of them speaks for it."""

from pathlib import Path
from typing import Any

from app.config.ladder import LADDER
from app.errors import Missing, UserError
from app.runtime.files import read_json
from app.runtime.run import Run
from jobs.chain import model_folder, stage_of


def trained_models(run: Run) -> list[dict[str, Any]]:
    """model.json of each model that is done for this config, those of `make ladder` too, with its folder."""
    found = []
    for name in LADDER:
        folder = model_folder(run, name)
        ready = read_json(folder / "model.json")
        if ready:
            found.append({**ready, "folder": str(folder)})
    return found


def chosen_model(run: Run) -> dict[str, Any]:
    """infer.model, or the one with the best official score on *select*. UserError where there is none."""
    models, wanted = trained_models(run), run.config.infer.model
    if not models:
        others = sorted({path.parts[-4] for path in run.runs.glob("*/models/*/model.json")} - {run.name})
        hint = f"; runs with models: {', '.join(others)} (RUN=..., CONFIG=...)" if others else ""
        raise Missing(f"run {run.name}: no model is trained for this config", f"run `make train` first{hint}")
    if wanted is None:
        return min(models, key=lambda model: model["select"]["select_score"])
    for model in models:
        if model["name"] == wanted:
            return model
    raise UserError(f"infer.model: '{wanted}' is not trained", f"trained: {', '.join(m['name'] for m in models)}")


def scored_stage(run: Run, model: dict[str, Any], features: Path) -> Path:
    """Where the scores of this model on these features lie, done or not."""
    return stage_of(run, "infer", features=features.name, model=model_mark(model))


def part_for(model: dict[str, Any], what: str) -> str:
    """The part of the chain that this model reads: "test" or "input" recordings, "" what was planned."""
    reads = LADDER[model["name"]].reads
    return f"{reads}-{what}" if what else reads


def test_of(run: Run, model: dict[str, Any]) -> Path:
    """Where the test recordings lie as this model reads them, done or not."""
    return stage_of(run, part_for(model, "test"))


def model_mark(model: dict[str, Any]) -> list[Any]:
    return [model["weights_sha256"], model["calibration"]]
