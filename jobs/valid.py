"""valid.csv in a model's folder: its uncalibrated logits of every validation clip."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import UserError
from app.runtime.files import write_atomic

SPLITS = ("select", "calibrate")


def write_valid(path: Path, ids: dict[str, list[str]], logits: dict[str, NDArray[np.float64]]) -> None:
    """Of each split: ids of its clips, and (clips, 2) logits, fake and real."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "split", "logit_fake", "logit_real"])
    for split, values in logits.items():
        for id, (fake, real) in zip(ids[split], values.tolist(), strict=True):
            writer.writerow([id, split, repr(fake), repr(real)])
    write_atomic(path, text.getvalue())


def read_valid(path: Path, planned: dict[str, dict[str, Any]]) -> dict[str, tuple[list[dict[str, Any]], Any]]:
    """Of each split: what is known of its clips (planned: by id), in order, and their (clips, 2) logits."""
    if not path.is_file():
        raise UserError(f"{path}: the answers of this model on validation are not here", "take its whole folder")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if strange := [row["id"] for row in rows if row["id"] not in planned]:
        raise UserError(f"{path}: {strange[0]} is not in the plan of this run", "run `make train` for this config")
    found = {}
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split]
        logits = np.array([[float(row["logit_fake"]), float(row["logit_real"])] for row in mine]).reshape(-1, 2)
        found[split] = [planned[row["id"]] for row in mine], logits
    return found
