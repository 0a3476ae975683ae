"""The test's answers, for evaluate alone: id, fake, real, and what else is told of each clip."""

import json
from pathlib import Path
from typing import Any

from app.corpora.manifest import BONAFIDE
from app.corpora.tables import choice, read_table


def read_labels(path: Path) -> list[dict[str, Any]]:
    """One row a clip: id; fake and real as 0 or 1; every other column as text.

    A column `voices` (JSON: a list of {attack, language, speaker, ...}) gives attack, language and speaker:
    the fake voices' attacks, all languages and all who speak, joined by "+". Raises UserError naming file and line.
    """
    found = []
    for line, cells in read_table(path, ["id", "fake", "real"]):
        row: dict[str, Any] = dict(cells)
        for column in ("fake", "real"):
            row[column] = int(choice(path, line, column, cells[column], ("0", "1")))
        try:
            voices = json.loads(cells.get("voices") or "[]")
        except (ValueError, RecursionError):  # of a number too long, of lists too deep
            voices = []  # a column of that name with something else in it
        if isinstance(voices, list) and all(isinstance(voice, dict) for voice in voices):
            row.setdefault("attack", _joined(v.get("attack") for v in voices if v.get("attack") != BONAFIDE))
            row.setdefault("language", _joined(v.get("language") for v in voices))
            row.setdefault("speaker", _joined(v.get("speaker") for v in voices))
        if "room" in row:  # its parameters differ from clip to clip
            row["room"] = "none" if row["room"] in ("", "none") else "room"
        found.append(row)
    return found


def _joined(names: Any) -> str | None:
    return "+".join(dict.fromkeys(str(name) for name in names if name)) or None
