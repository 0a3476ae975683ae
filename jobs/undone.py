"""Which parts of a run are done already: nothing is computed twice, so they take no time."""

from pathlib import Path

from app.errors import UserError
from app.runtime.files import read_json
from app.runtime.job import is_complete
from app.runtime.run import Run
from jobs.chain import extracted_by, known_stage
from jobs.models import chosen_model, scored_stage, test_of, trained_models


def done_parts(run: Run) -> set[str]:
    """Names of parts whose stage, model or report is there for exactly this config and corpus."""
    if run.corpus() is None:
        return set()
    try:
        run.check_data()
    except UserError:  # another corpus than the run had last: prepare it, and all is new
        return set()
    stages = ("prepare", "denoise", "mix", "mix-audio", *extracted_by(run))
    done = {part for part in stages if (stage := known_stage(run, part)) and is_complete(stage)}
    models = trained_models(run)
    done |= {f"train {model['name']}" for model in models}
    if models and {*run.config.train.models} <= {model["name"] for model in models}:
        model = chosen_model(run)
        if is_complete(scored_stage(run, model, test_of(run, model))):
            done.add("infer")
        metrics = read_json(Path(run.folder) / "metrics.json") or {}
        if (metrics.get("basis") or {}).get("weights") == model["weights_sha256"]:
            done.add("evaluate")
    return done
