"""What is left to do of a run that has come from elsewhere, and what of the corpus that needs."""

import os
from pathlib import Path

from app.config import load_config
from app.errors import UserError
from app.runtime.files import read_json
from app.runtime.job import is_complete
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.runtime.stop import STOP
from jobs.chain import extracted_by, model_folder, stage_of
from jobs.models import chosen_model, scored_stage, test_of
from jobs.pack import say

NEED_DATA = {
    "prepare": "all of it",
    "denoise": "the training recordings",
    "extract": "the test recordings",
    "infer": "its tables",
}


def tell_what_is_next(runs: Path, name: str, data: str | None) -> None:
    """What to type, and which jobs still need the corpus, that is not in an archive."""
    path = runs / name / "config.yaml"
    known = (read_json(runs / name / "corpus.json") or {}).get("data")
    place = data or (os.path.normpath(runs / name / known) if known else "data")
    try:
        run = Run(name, load_config(path), path, Path(place), runs, STOP)
        open_jobs = jobs_to_do(run)
    except UserError as error:
        say(f"here, but its config cannot be used: {error}", "unpack")
        return
    say(f"done: {run.folder}", "unpack")
    where = f"CONFIG={path} RUN={name}" + ("" if str(runs) == "runs" else f" RUNS={runs}")
    try:
        run.check_data()
        corpus, say_data = f"the corpus is here: {place}", f" DATA={place}" if data else ""
    except UserError:
        corpus, say_data = "the corpus is not in an archive: say where it is, DATA=...", " DATA=..."
    reading = [job for job in open_jobs if job in NEED_DATA and open_jobs[job]]
    if not open_jobs:
        say(f"nothing is left to do; score recordings: make infer INPUT=... {where}", "unpack")
        return
    say(f"go on: make {' '.join(open_jobs)} {where}{say_data if reading else ''}", "unpack")
    say("WORKERS=... and DEVICE=cpu|cuda as this machine has them; without, as the run's config says", "unpack")
    reads = ", ".join(f"{job} ({NEED_DATA[job]})" for job in reading)
    say(f"{corpus}; it is still read by: {reads}" if reading else "no job that is left reads the corpus", "unpack")


def jobs_to_do(run: Run) -> dict[str, bool]:
    """Jobs that are not done for this run's config, in flow order -> whether what is left of them reads the corpus."""
    if run.corpus() is None:
        return dict.fromkeys(("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate"), True)

    def missing(*parts: str) -> bool:
        return not all(is_complete(stage_of(run, part)) for part in parts)

    found: dict[str, bool] = {}
    if missing("prepare", "prepare-test"):
        found["prepare"] = True
    if missing("denoise"):
        found["denoise"] = True
    if missing("mix"):
        found["mix"] = False
    parts = extracted_by(run)
    tests = [part for part in parts if part.endswith("-test")]
    if missing(*parts):
        found["extract"] = missing(*tests)
    untrained = any(read_json(model_folder(run, each) / "model.json") is None for each in run.config.train.models)
    if untrained:
        found["train"] = False
    no_test = any(is_complete(stage) and not any(rows_of(stage)) for stage in (stage_of(run, part) for part in tests))
    model = None if untrained else chosen_model(run)
    if not no_test and (model is None or not is_complete(scored_stage(run, model, test_of(run, model)))):
        found["infer"] = True
    if found or read_json(run.folder / "metrics.json") is None:
        found["evaluate"] = False
    return found
