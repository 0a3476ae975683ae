"""Scores the test recordings, or INPUT: a recording of any length and rate, a folder, a list, or - for a pipe."""

import csv
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from app.config.ladder import LADDER
from app.errors import UserError
from app.features.windows import by_recording
from app.runtime.desk import Desk
from app.runtime.files import sha256_of, write_atomic
from app.runtime.job import open_job
from app.runtime.rows import Rows
from app.runtime.run import Run, job_main, reachable
from app.runtime.shards import Draft, Shard, cut, rows_of
from app.runtime.steps import step
from jobs.answers import as_cell
from jobs.chain import need, spec_of
from jobs.extract import clip_bytes, dear, extract_recordings, gpu_share, windows_about
from jobs.models import chosen_model, model_mark, part_for, trained_models
from jobs.terminal import table

ROW_BYTES = 300  # of the scores of a window
IN_WORDS, SHOWN, DRAWN = 3, 20, 100  # recordings: told in words; in a table; with a picture each


def infer(run: Run) -> None:
    """Scores the test recordings, or INPUT: a recording of any length and rate, a folder, a list, or - for a pipe."""
    model = chosen_model(run)
    missing = [name for name in run.config.train.models if name not in {m["name"] for m in trained_models(run)}]
    left = f" ({', '.join(missing)}: not trained yet)" if missing else ""
    print(f"infer  by {model['name']}, select score {model['select']['select_score']:.4f}{left}", file=sys.stderr)
    given = os.environ.get("INPUT")
    if given and run.part:
        raise UserError(f"INPUT={given}: is not done in parts", "leave PART out")
    if given:
        for name in ("JSON", "CSV", "PLOT"):
            _yes(name)
        _infer_input(run, model, given)
        return
    run.check_data()
    features = need(run, part_for(model, "test"))
    if not any(rows_of(features)):
        print("infer  this corpus has no test recordings; INPUT=file-or-folder scores others", file=sys.stderr)
        return
    scored = _score(run, model, features, "infer")
    if run.part:  # the answers of all of them are written by who comes when all are done
        return
    scores = by_recording(rows_of(scored))
    path = run.folder / "scores" / f"{model['name']}.csv"
    _write_scores(path, scores)
    print(f"infer  scores of {len(scores)} recordings: {path}", file=sys.stderr)
    if run.config.infer.submission:
        _submit(run, model, scores, list(rows_of(features, "failed")))


def _submit(
    run: Run, model: dict[str, Any], scores: dict[str, tuple[float, float]], failed: list[dict[str, Any]]
) -> None:
    from app.corpora.recordings import tested_folder
    from app.scoring.submission import write_submission

    sample = tested_folder(run.data, run.config) / "sample_submission.csv"
    path = run.folder / "submission.csv"
    if not sample.exists():
        print(f"infer  no {sample}: no submission is written", file=sys.stderr)
        return
    if failed:
        # the contest wants a number for each: the one that says least
        for row in failed:
            scores[row["id"]] = tuple(model["prevalence"])
        print(
            f"infer  {len(failed)} recordings could not be read ({failed[0]['id']}: {failed[0]['cause']}, ...); "
            f"the submission gives them the share of validation, {model['prevalence']}",
            file=sys.stderr,
        )
    write_submission(path, sample, scores)
    print(f"infer  submission, checked against {sample.name}: {path}", file=sys.stderr)


def _infer_input(run: Run, model: dict[str, Any], given: str) -> None:
    """Any recordings: the same extraction, then one row a file and a table of windows."""
    from app.corpora.inputs import inputs_of, take_piped
    from app.corpora.manifest import name_of, recording, with_digests

    out = run.folder / "scores" / "input"
    if given == "-":  # in a folder of its own: another may be piped in at the same time
        reachable(out)
        place = run.leaving.enter_context(tempfile.TemporaryDirectory(prefix=".piped-", dir=out))
        take_piped(Path(place) / "stdin")
        given = str(Path(place) / "stdin")
    folder, names, unread, notes = inputs_of(Path(given))
    for note in notes:
        print(f"infer  {note}", file=sys.stderr)
    if not names:
        causes = "".join(f"\n  {name}: {why}" for name, why in unread.items())
        raise UserError(f"INPUT={given}: no recording could be read{causes}", "see the causes above")
    found = (recording(id=name, path=name, label=None, split="input") for name in names)
    rows = Rows(with_digests(folder, found, run.workers))
    part = LADDER[model["name"]].reads
    spec = spec_of(run, f"{part}-input", recordings=name_of(rows))
    with open_job(run, f"{part}-input", spec, gpu=part == "extract", may_fail=True) as job:
        if not job.complete:
            job.run(
                extract_recordings,
                cut(rows, 8, run.part),  # a shard a few files: some are hours long
                preload=dear(run.config, part),
                row_bytes=lambda row: windows_about(folder / row["path"], run.config) * clip_bytes(run.config, part),
                data=folder,
                config=run.config,
                part=part,
                gpu_share=gpu_share(run),
            )
        features = job.folder
    failed = {row["id"]: f"{row['cause']}: {row['detail']}" for row in rows_of(features, "failed")} | unread
    for name, why in failed.items():
        print(f"infer  {name}: {why}", file=sys.stderr)
    if not any(rows_of(features)):
        raise UserError(f"INPUT={given}: no recording could be read", "see the causes above")
    windows = Rows(rows_of(_score(run, model, features, "infer-input")))
    name = Path(given).resolve().name
    path, windows_path = out / f"{name}.csv", out / f"{name}.windows.csv"
    _write_scores(path, by_recording(windows))
    _write_rows(
        windows_path,
        ["file", "start_s", "fake", "real"],
        [[as_cell(w["recording"]), f"{w['start_s']:.2f}", repr(w["p_fake"]), repr(w["p_real"])] for w in windows],
    )
    _tell(run, model, given, windows, failed)
    print(f"infer  one row a file: {path}; windows: {windows_path}", file=sys.stderr)


def _tell(run: Run, model: dict[str, Any], given: str, windows: Rows, failed: dict[str, str]) -> None:
    """JSON=1 or CSV=1: on stdout, for scripts; else words for few files, a table for many. PLOT=1: pictures."""
    from jobs.answers import Window, answer_of, as_csv, as_json, draw, in_words, trust

    parts = groupby(windows, key=itemgetter("recording"))
    answers = [answer_of(file, [Window(w["start_s"], w["p_fake"], w["p_real"]) for w in of]) for file, of in parts]
    if _yes("JSON"):
        print(as_json(answers, failed, model))
    elif _yes("CSV"):
        print(as_csv(answers), end="")
    elif len(answers) <= IN_WORDS and "trust" in model:
        print(in_words(answers, model))
    else:
        shown = [{"file": a.file, "p fake": a.p_fake, "p real": a.p_real} for a in answers[:SHOWN]]
        table(f"Voices in {given}" + (f" ({SHOWN} of {len(answers)})" if len(answers) > SHOWN else ""), shown)
        for line in trust(model, len(windows) > len(answers)) if "trust" in model else ():
            print(f"infer  {line}", file=sys.stderr)
    if _yes("PLOT"):
        place = run.folder / "scores" / "input" / f"{Path(given).resolve().name}.pictures"
        for number, answer in enumerate(answers[:DRAWN]):
            draw(answer, run.config.mix.window_s, place / f"{number:03d}-{Path(answer.file).stem}.png")
        more = f" (the first {DRAWN} of {len(answers)})" if len(answers) > DRAWN else ""
        print(f"infer  pictures over time: {place}{more}", file=sys.stderr)


def _yes(name: str) -> bool:
    asked = os.environ.get(name) or "0"
    if asked not in ("0", "1"):
        raise UserError(f"{name}={asked} is neither 0 nor 1", f"{name}=1")
    return asked == "1"


def _score(run: Run, model: dict[str, Any], features: Path, part: str) -> Path:
    """A stage with p_fake and p_real of every window, shard by shard as the features lie."""
    spec = spec_of(run, "infer", features=features.name, model=model_mark(model))
    with open_job(run, part, spec, gpu=True) as job:
        if not job.complete:
            job.run(
                score_shard,
                list(_recordings(features)),
                preload=None,
                row_bytes=lambda row: ROW_BYTES,
                features=features,
                scorer=_scorer(run, model, job),
            )
        return job.folder


def _recordings(features: Path) -> Iterator[Shard]:
    """A shard's rows are its recordings; their windows are found with the features."""
    for name, rows in groupby(rows_of(features), key=itemgetter("shard")):
        yield Shard(name, Rows({"id": id} for id in dict.fromkeys(row["recording"] for row in rows)))


def _scorer(run: Run, model: dict[str, Any], desk: Desk) -> "Scorer":
    with step("load the model"):
        return Scorer(run, model, desk)


class Scorer:
    """The model with its calibration."""

    def __init__(self, run: Run, model: dict[str, Any], desk: Desk) -> None:
        from app.compat import device_within, use_threads
        from app.features.at_once import AtOnce, clips_for
        from app.features.store import STORES
        from app.learning.checkpoint import load_checkpoint
        from app.models.registry import build
        from app.scoring.calibration import Calibration

        use_threads(run.workers)
        self.desk = desk
        self.device = device_within(run.config.runtime.device, run.config.runtime.gpu_memory_share)
        self.store = STORES[LADDER[model["name"]].reads]
        self.calibration = Calibration.from_json(model["calibration"])
        self.network = build(model["name"], run.config)
        self.room = AtOnce(clips_for(self.network, run.config.infer.batch_clips, self.device), say=desk.say)
        weights = Path(model["folder"]) / "best.safetensors"
        if not weights.exists() or sha256_of(weights) != model["weights_sha256"]:
            raise UserError(f"{weights}: not the weights that model.json beside it speaks of", "run `make train`")
        load_checkpoint(weights, self.network)
        self.network.to(self.device)

    def __call__(self, features: Any) -> Any:
        from app.learning.lost import leaving_a_lost_gpu
        from app.learning.predict import logits_of
        from app.scoring.calibration import apply_calibration

        with leaving_a_lost_gpu():
            logits = logits_of(self.network, features, self.room, self.device, self.desk.breathe)
        return apply_calibration(logits, self.calibration)


def score_shard(shard: Shard, out: Draft, features: Path, scorer: Scorer) -> None:
    windows = scorer.store(features, shard=shard.name)
    with step("network"):
        scores = scorer(windows).tolist()
    for row, (fake, real) in zip(windows.rows, scores, strict=True):
        known = {"id": row.id, "recording": row.recording, "start_s": row.start_s, "split": row.split}
        out.done({**known, "p_fake": fake, "p_real": real})


def _write_scores(path: Path, scores: dict[str, tuple[float, float]]) -> None:
    _write_rows(
        path, ["id", "fake", "real"], [[as_cell(id), repr(fake), repr(real)] for id, (fake, real) in scores.items()]
    )


def _write_rows(path: Path, head: list[str], rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_atomic(path, text.getvalue())


if __name__ == "__main__":
    if any(word.split("=")[0] == "--model" for word in sys.argv[1:]):
        from jobs.single import at_once

        at_once(sys.argv[1:])
    sys.exit(job_main(infer))
