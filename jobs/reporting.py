"""Gathers what the report shows: scores, clips, models, data, and what every job took."""

import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.learning.timing import training_seconds
from app.runtime.desk import Desk
from app.runtime.files import read_json, read_lines
from app.runtime.rows import Rows
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.runtime.steps import step
from jobs.mix import summary_rows
from jobs.models import trained_models
from jobs.prepare import split_rows
from jobs.report_tables import job_rows, looks, others, recordings_by, stages_of

if TYPE_CHECKING:
    from app.scoring.report import Report


def write_report_of(
    run: Run, model: dict[str, Any], scored: list[Any], evaluations: list[Any], notes: list[str], desk: Desk
) -> None:
    """report/index.html of this run: numbers, clips to look at and listen to, data, jobs."""
    with step("load libraries"):
        from app.scoring.report import write_report
        from jobs.clips import picks_of, shown_clips

    picks = picks_of(scored, run.config.evaluate.shown)
    desk.status.update(total=len(picks), done=0)
    clips, clip_notes = shown_clips(run, model, picks, desk)
    with step("report"):
        report = replace(report_of(run, model, scored, evaluations, notes), clips=clips, clip_notes=clip_notes)
        write_report(desk.folder / "index.html", report)


def report_of(run: Run, model: dict[str, Any], scored: list[Any], evaluations: list[Any], notes: list[str]) -> "Report":
    """What report/index.html shows of this run, from the files of its stages and models, without its clips."""
    from app.compat import versions
    from app.scoring.calibration import Calibration
    from app.scoring.report import JobRow, ModelRow, Report
    from app.scoring.scored import joined
    from app.scoring.table import as_table

    stages = stages_of(run)
    audit = read_json(stages["prepare"] / "shards" / "manifest" / "audit.json")
    models = trained_models(run)
    listed = Rows(rows_of(stages["prepare-test"]))
    rivals, seen = others(run, model), looks(run)
    return Report(
        run=run.name,
        when=time.strftime("%F %H:%M"),
        evaluations=evaluations,
        notes=notes,
        others=as_table(
            f"Trainings on the same {rivals[0]['clips']} validation clips" if rivals else "",
            [{key: value for key, value in row.items() if key != "clips"} for row in rivals],
            "By score on select, lower is better; other than this one: the first settings that shape it and differ.",
        ),
        other_scores=[row["score on select"] for row in rivals if row["other than this one"] != "this one"],
        looks=as_table(
            "Looks at this test", seen, "Each one makes the next a little less worth: choose by validation."
        ),
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
        shortcuts=[(fact["fact"], fact["auc"]) for fact in audit["shortcuts"]],
        audit_table=as_table(
            "How well each plain fact alone tells fake from real",
            [{k: v for k, v in s.items() if k != "found"} for s in audit["shortcuts"]],
        ),
        splits=as_table("Recordings, by split", split_rows(audit, listed)),
        groups=[table for key in ("speaker", "attack", "language") if (table := recordings_by(stages["prepare"], key))],
        mix=as_table("Planned clips, by split", summary_rows(stages["mix"])),
        mixed=joined("validation", [one for one in scored if one.name != "test"]).details,
        jobs=[JobRow(**row) for row in job_rows(stages, models)],
        commands=_commands(run, model),
        config_yaml=(run.folder / "config.yaml").read_text(encoding="utf-8"),
        versions={"Python": platform.python_version(), **versions(), **_made(model)},
    )


def _commands(run: Run, model: dict[str, Any]) -> list[str]:
    """What makes this report again."""
    made = f"CONFIG={run.config_path} RUN={run.name} DATA=..."
    threads = (read_json(Path(model["folder"]) / "speed.json") or {}).get("threads")
    workers = f" WORKERS={threads}" if threads else ""  # weights are the same to the bit with as many threads only
    return [f"make all {made}{workers}", f"make report {made}"]


def _made(model: dict[str, Any]) -> dict[str, str]:
    """Commit and machine of the training."""
    made = read_json(Path(model["folder"]) / "made.json")
    if not made:
        return {}
    last = made[-1]
    gpus = ", ".join(gpu if isinstance(gpu, str) else str(gpu.get("name")) for gpu in last["machine"]["gpus"])
    return {
        "trained at commit": str(last.get("commit") or "unknown")[:12],
        "on": f"{last['machine']['cpu']}, {last['machine']['cores']} cores" + (f", {gpus}" if gpus else ""),
    }
