"""Which of a run's trained models speaks for it."""

from typing import Any

from app.errors import UserError
from app.runtime.files import read_json
from app.runtime.run import Run


def trained_models(run: Run) -> list[dict[str, Any]]:
    """model.json of each model of the config that is done, in the order of the ladder, with its folder."""
    found = []
    for name in run.config.train.models:
        folder = run.folder / "models" / name
        ready = read_json(folder / "model.json")
        if ready:
            found.append({**ready, "folder": str(folder)})
    return found


def chosen_model(run: Run) -> dict[str, Any]:
    """infer.model, or the one with the best official score on *select*. UserError where there is none."""
    models, wanted = trained_models(run), run.config.infer.model
    if not models:
        raise UserError(f"run {run.name}: no model is trained", "run `make train` first")
    if wanted is None:
        return min(models, key=lambda model: model["select"]["select_score"])
    for model in models:
        if model["name"] == wanted:
            return model
    raise UserError(f"infer.model: '{wanted}' is not trained", f"trained: {', '.join(m['name'] for m in models)}")
