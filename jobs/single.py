"""python -m jobs.infer --model FOLDER FILE...: scores recordings at once, by a model's folder alone."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from app.errors import ACT, DONE, UserError
from jobs.answers import Answer, Window, answer_of, as_csv, as_json, draw, in_words


def at_once(words: list[str]) -> None:
    """Does not return: what it was asked is answered, and to take torch down properly would take a second more."""
    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(words: list[str]) -> int:
    """The exit code: 0, or 2 where a recording could not be read or there is no model."""
    try:
        return _score(_parsed(words))
    except UserError as error:
        print(f"infer: {error}", file=sys.stderr)
        return ACT


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.infer", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="RUNS/RUN/models/NAME, or a copy of it")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a recording, a folder, a list (.txt), or - for a pipe"
    )
    parser.add_argument("--json", action="store_true", help="all windows, as JSON")
    parser.add_argument("--csv", action="store_true", help="id,fake,real")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="a picture of each recording over time")
    return parser.parse_args(words)


def _score(args: argparse.Namespace) -> int:
    from app.audio.open import BadClip
    from app.corpora.inputs import inputs_of, take_piped
    from app.corpora.tables import brief
    from app.learning.scorer import ModelFolder

    if args.plot and args.plot.exists() and not args.plot.is_dir():
        raise UserError(f"--plot {args.plot}: not a folder", "name a folder for the pictures")
    model = ModelFolder(args.model)
    answers, failed = list[Answer](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
        for given in args.files:
            try:
                if given == "-":
                    take_piped(Path(scratch) / "stdin")
                found = inputs_of(Path(scratch) / "stdin" if given == "-" else Path(given))
            except UserError as error:  # the others are answered all the same
                failed[brief(given)] = error.what
                print(f"infer  {error}", file=sys.stderr)
                continue
            for note in found.notes:
                print(f"infer  {note}", file=sys.stderr)
            failed |= found.unread
            for name, why in found.unread.items():
                print(f"infer  {name}: {why}", file=sys.stderr)
            for name in found.names:
                shown = name if given == "-" else str(found.folder / name)
                try:
                    heard = model.heard(found.folder / name)
                    answers.append(answer_of(shown, [Window(h.start_s, h.p_fake, h.p_real) for h in heard]))
                except BadClip as bad:
                    failed[shown] = str(bad)
                    print(f"infer  {shown}: {bad}", file=sys.stderr)
    if args.plot:
        for number, answer in enumerate(answers):
            draw(answer, model.config.mix.window_s, args.plot / f"{number:03d}-{Path(answer.file).stem}.png")
    if args.json:
        print(as_json(answers, failed, model.told))
    elif args.csv:
        print(as_csv(answers), end="")
    elif answers:
        print(in_words(answers, model.told))
    return ACT if failed else DONE
