"""What infer says of recordings: in words, as a table, JSON or CSV, and as a picture over time."""

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

LIKELY = ((0.9, "very likely"), (0.7, "likely"), (0.3, "uncertain"), (0.1, "unlikely"), (0.0, "very unlikely"))


class Window(NamedTuple):
    start_s: float
    p_fake: float
    p_real: float


class Answer(NamedTuple):
    """Of one recording: the highest of its windows, for a voice is present if it is anywhere."""

    file: str
    p_fake: float
    p_real: float
    windows: list[Window]


def answer_of(file: str, windows: list[Window]) -> Answer:
    return Answer(file, max(w.p_fake for w in windows), max(w.p_real for w in windows), windows)


def in_words(answers: list[Answer], told: dict[str, Any]) -> str:
    """For people: what each number is, in a word, and how far to trust it."""
    lines = []
    for answer in answers:
        many = f", the highest of {len(answer.windows)} windows" if len(answer.windows) > 1 else ""
        lines.append(f"{answer.file}{many}")
        for voice, p in (("fake", answer.p_fake), ("real", answer.p_real)):
            lines.append(f"  {voice} voice: {p:6.1%}  {likely(p)}")
    return "\n".join([*lines, "", *trust(told, any(len(answer.windows) > 1 for answer in answers))])


def likely(p: float) -> str:
    return next(word for least, word in LIKELY if p >= least)


def trust(told: dict[str, Any], windows: bool) -> list[str]:
    """What the numbers mean, and how sure it is that they do; told: model.json."""
    known = told["trust"]
    sure = known["ece"] < 2 * known["ece_by_chance"]
    lines = [
        "Each number is the chance that such a voice is in the recording. They are independent: both may be high (two "
        "voices), or both low (none).",
        f"How sure: on {known['clips']} validation clips, of speakers and engines held out from training, the numbers "
        f"were off by {known['ece']:.0%} on average ({known['ece_by_chance']:.0%} by chance alone with so few clips)"
        f"{'' if sure else ', so they sound surer than they are'}. Made into yes or no, {told['name']} is wrong on "
        f"{known['eer'][0]:.0%} of the clips about fake voices, on {known['eer'][1]:.0%} about real ones (EER)"
        f"{_at_thresholds(told)}.",
        "Recordings unlike those (another language, engine, room or channel) may be judged worse.",
    ]
    if windows:
        lines.append("Over many windows the highest is high by chance already: look at the single ones.")
    return lines


def _at_thresholds(told: dict[str, Any]) -> str:
    """Where yes begins."""
    at = {one["column"]: one["p"] for one in told.get("thresholds", ()) if one["rule"] == "EER"}
    if not at:
        return ""
    return ": yes from " + " and ".join(f"{p:.0%} on for a {column} voice" for column, p in at.items())


def as_json(answers: list[Answer], failed: dict[str, str], told: dict[str, Any]) -> str:
    """{"model": {...}, "files": [{"file", "p_fake", "p_real", "windows": [...]}], "failed": [{"file", "why"}]}."""
    files = [{**answer._asdict(), "windows": [window._asdict() for window in answer.windows]} for answer in answers]
    model = {key: told.get(key) for key in ("name", "weights_sha256", "trust")}
    said = {"model": model, "files": files, "failed": [{"file": file, "why": why} for file, why in failed.items()]}
    return json.dumps(said, ensure_ascii=False, indent=1)


def as_csv(answers: list[Answer]) -> str:
    """id,fake,real as in scores/NAME.csv."""
    text = io.StringIO()
    rows = [[as_cell(answer.file), repr(answer.p_fake), repr(answer.p_real)] for answer in answers]
    csv.writer(text, lineterminator="\n").writerows([["id", "fake", "real"], *rows])
    return text.getvalue()


def as_cell(file: str) -> str:
    """A file's name in a table: what a spreadsheet would run as a formula begins with ./ instead."""
    return f"./{file}" if file[:1] in "=+-@\t\r" else file


def draw(answer: Answer, window_s: float, path: Path) -> None:
    """Both probabilities over the time of a recording, as a PNG."""
    from app.runtime.files import write_atomic
    from app.scoring.timeline import timeline_png

    starts, fake, real = zip(*answer.windows, strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, timeline_png(starts, fake, real, window_s, answer.file))
