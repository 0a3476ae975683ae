"""The answers of a model beside the labels: of both halves of validation, and of the test."""

from pathlib import Path
from typing import Any

import numpy as np

from app.errors import Missing, UserError
from app.features.windows import by_recording
from app.runtime.job import is_complete
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.scoring.calibration import NONE, Calibration, apply_calibration, uncalibrated
from app.scoring.scored import Scored
from jobs.chain import need, stage_of
from jobs.mix import recipes_of
from jobs.models import part_for, scored_stage
from jobs.valid import read_valid

ANSWERED = ("state", "attack", "language", "speaker", "room", "codec", "snr_db")  # what answers of a test may tell


def validation_of(run: Run, model: dict[str, Any]) -> list[Scored]:
    """*select*, which chose epoch and model, and *calibrate*, which fitted the calibration; neither saw training."""
    planned = need(run, part_for(model, ""))
    mixed = _mixed(run)
    found = []
    for split, (rows, logits) in halves(model, planned).items():
        details = {"voices": [_voices(row["state"]) for row in rows]}
        details |= {key: [row[key] for row in rows] for key in ("state", "attack", "language", "speaker")}
        details |= {key: [mixed.get(row["id"], {}).get(key) for row in rows] for key in ("snr_db", "codec", "room")}
        found.append(
            Scored(
                split,
                [row["id"] for row in rows],
                np.array([[row["fake"], row["real"]] for row in rows], float),
                apply_calibration(logits, Calibration.from_json(model["calibration"])),
                apply_calibration(logits, NONE),
                details,
            )
        )
    return found


def scored_test_of(run: Run, model: dict[str, Any]) -> Scored:
    """The test set, from scores/NAME.csv and the corpus' labels; every labelled clip must have a score."""
    from app.corpora.recordings import answers_of

    features = need(run, part_for(model, "test"))
    scores = scores_of(run, model, features)
    failed = [row["id"] for row in rows_of(features, "failed")]
    scores |= dict.fromkeys(failed, tuple(model["prevalence"]))
    rows = answers_of(run.data, run.config) or []
    missing = [row["id"] for row in rows if row["id"] not in scores]
    if missing:
        raise UserError(
            f"{run.data}: {len(missing)} labelled test clips have no score ({missing[0]}, ...)",
            "run `make infer` again",
        )
    calibrated = np.array([scores[row["id"]] for row in rows])
    before = uncalibrated(calibrated, Calibration.from_json(model["calibration"]))
    unheard = np.isin([row["id"] for row in rows], failed)
    before[unheard] = calibrated[unheard]
    details = {"voices": [_voices(row.get("state")) for row in rows]}
    details |= {key: [row.get(key) for row in rows] for key in ANSWERED}
    return Scored(
        "test",
        [row["id"] for row in rows],
        np.array([[row["fake"], row["real"]] for row in rows], float),
        calibrated,
        before,
        {key: values for key, values in details.items() if any(values)},
    )


def scores_of(run: Run, model: dict[str, Any], features: Path) -> dict[str, tuple[float, float]]:
    """Recording -> (p_fake, p_real), as infer wrote them. UserError where it has not."""
    scored = scored_stage(run, model, features)
    if not is_complete(scored):
        raise Missing(
            f"run {run.name}: {model['name']} has no scores of the test ({scored})",
            f"run `make infer` first (infer.model: {model['name']})",
        )
    return by_recording(rows_of(scored))


def halves(model: dict[str, Any], planned: Path) -> dict[str, tuple[list[dict[str, Any]], Any]]:
    """Split of validation -> what is known of its clips, and their logits (clips, 2)."""
    return read_valid(Path(model["folder"]) / "valid.csv", {row["id"]: row for row in rows_of(planned)})


def prior_of(scored: Scored) -> float:
    """Of a single voice to be real, on the clips that a model was calibrated on."""
    from app.scoring.detection import real_share

    return real_share(scored.labels, scored.details["state"])


def _mixed(run: Run) -> dict[str, dict[str, Any]]:
    """Planned clip -> its SNR, codec and room; those of training are left out, and all where the plan is not here."""
    plan = stage_of(run, "mix")
    if not is_complete(plan):
        return {}
    found = {}
    for row in recipes_of(plan):
        if row["split"] != "train":
            room = "recorded" if row["response"] else "computed" if row["room_t60_s"] else "none"
            snr_db = None if row["state"] == "none" else round(float(row["snr_db"]), 1)
            found[row["id"]] = {"snr_db": snr_db, "codec": row["codec"] or "none", "room": room}
    return found


def _voices(state: Any) -> int | None:
    """In a clip, by its state: none, real, fake+fake, ..."""
    return {"": None, "none": 0}.get(state or "", len(str(state).replace("_", "+").split("+")))
