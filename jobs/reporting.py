"""Gathers what the report shows: scores, models, data, and what every job took."""

import platform
import time
from pathlib import Path
from typing import Any

from app.learning.timing import training_seconds
from app.runtime.files import read_json, read_lines
from app.runtime.job import counts, is_complete
from app.runtime.rows import Rows
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.runtime.status import read_status
from jobs.chain import extracted_by, stage_of
from jobs.mix import summary_rows
from jobs.models import chosen_model, scored_stage, test_of, trained_models
from jobs.prepare import split_rows


def report_of(run: Run, model: dict[str, Any], evaluations: list[Any], notes: list[str]) -> Any:
    """What report/index.html shows of this run, from the files of its stages and models."""
    from app.compat import versions
    from app.scoring.calibration import Calibration
    from app.scoring.report import JobRow, ModelRow, Report
    from app.scoring.table import Table

    def as_table(title: str, rows: list[dict[str, Any]]) -> Table | None:
        return Table(title, list(rows[0]), [list(row.values()) for row in rows]) if rows else None

    stages = _stages(run)
    audit = read_json(stages["prepare"] / "shards" / "manifest" / "audit.json")
    models = trained_models(run)
    facts = [{k: v for k, v in s.items() if k != "found"} for s in audit["shortcuts"]]
    listed = Rows(rows_of(stages["prepare-test"]))
    return Report(
        run=run.name,
        when=time.strftime("%F %H:%M"),
        evaluations=evaluations,
        notes=notes,
        models=[
            ModelRow(
                m["name"],
                m["select"]["select_score"],
                Calibration.from_json(m["calibration"]).words,
                training_seconds(Path(m["folder"])),
                m["name"] == model["name"],
            )
            for m in models
        ],
        training={m["name"]: list(read_lines(Path(m["folder"]) / "metrics.jsonl")) for m in models if m["epochs"] > 1},
        audit=audit["sentences"],
        audit_table=as_table("How well each plain fact alone tells fake from real", facts),
        splits=as_table("Recordings, by split", split_rows(audit, listed)),
        mix=as_table("Planned clips, by split", summary_rows(stages["mix"])),
        jobs=[JobRow(**row) for row in _job_rows(stages, models)],
        commands=[f"make all CONFIG={run.config_path} RUN={run.name} DATA=..."],
        config_yaml=(run.folder / "config.yaml").read_text(encoding="utf-8"),
        versions={"Python": platform.python_version(), **versions()},
    )


def _job_rows(stages: dict[str, Path], models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Time, memory and clips of every part of the run, from its status files."""
    found = []
    for part, folder in stages.items():
        clips, failed = counts(folder)
        for status in read_status(folder):
            found.append(
                {
                    "job": part,
                    "clips": clips,
                    "failed": failed,
                    "seconds": status["seconds"],
                    "peak_mb": status["peak_mb"],
                }
            )
    for model in models:
        for status in read_status(Path(model["folder"])):
            row = {"job": f"train {model['name']}", "clips": None, "failed": None}
            found.append({**row, "seconds": status["seconds"], "peak_mb": status["peak_mb"]})
    infer = [row for row in found if row["job"] == "infer"]
    return [row for row in found if row["job"] != "infer"] + infer


def _stages(run: Run) -> dict[str, Path]:
    """The stages of this very config, as far as they are done, in flow order."""
    parts = ("prepare", "prepare-test", "denoise", "mix", *extracted_by(run))
    found = {part: stage_of(run, part) for part in parts}
    model = chosen_model(run)
    found["infer"] = scored_stage(run, model, test_of(run, model))
    return {part: folder for part, folder in found.items() if is_complete(folder)}
