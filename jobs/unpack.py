"""Takes up a packed run here: another path, machine, number of workers, CPU or GPU."""

import argparse
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import Config
from app.errors import UserError
from app.runtime.archive import read_archive, read_table
from app.runtime.archive_table import Table
from app.runtime.faults import passing
from app.runtime.files import point_link, read_json, sha256_of, sync, write_json
from app.runtime.job import is_complete
from app.runtime.locks import take_lock
from app.runtime.room import amount, free_bytes
from app.runtime.shards import receipt_of
from app.runtime.stop import STOP, StopFlag
from jobs.luggage import made_on
from jobs.onward import tell_what_is_next
from jobs.pack import Teller, be_polite, guarded, say

BLOCK = 4096  # bytes that a file takes at least on a disk


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.unpack", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--archive", default=env("ARCHIVE"), help="what `make pack` made (ARCHIVE)")
    parser.add_argument("--run", default=env("RUN"), help="its name here (RUN); default: as it was packed")
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make goes (RUNS)")
    parser.add_argument("--data", default=env("DATA"), help="the corpus, to say whether it is the one (DATA)")
    args = parser.parse_args()
    archive, runs = Path(args.archive or ""), Path(args.runs)
    if not args.archive or not archive.is_file():
        there = ", ".join(sorted(str(path) for folder in (Path(), runs) for path in folder.glob("*.moksori.tar")))
        raise UserError(
            f"ARCHIVE={args.archive}: no such file" if args.archive else "which archive?",
            f"make unpack ARCHIVE=FILE; here are: {there or 'none'}",
        )
    limits = Config().runtime
    be_polite(limits.nice, limits.write_mb_s, limits.grace_s)
    table = read_table(archive)
    name = args.run or table["run"]
    if Path(name).name != name or name == "stages" or name.startswith("."):
        raise UserError(f"RUN={name} is no name for a run", "use letters, digits, '-' and '_'")
    unpack(archive, table, runs, name, STOP)
    tell_what_is_next(runs, name, args.data)


def unpack(archive: Path, table: Table, runs: Path, name: str, stop: StopFlag) -> None:
    """Checks every byte of the archive, then puts what is not there yet in place: stages, shards, the run last.

    Nothing that is there is changed. Raises UserError, and leaves nothing, where a byte is
    wrong, the room is short or another run has this name.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with _draft(runs) as draft:
        kept = _kept(table, runs, name)
        new = {each for each in table["files"] if not _within(each, kept)}
        if not new:
            say("unpacked already", "unpack")
            return
        _tell(archive, table, runs, kept)
        needed = sum(-(-table["files"][each]["bytes"] // BLOCK) * BLOCK + BLOCK for each in new)
        free = free_bytes(runs)
        if needed > free:
            raise UserError(
                f"{runs}: no room: {amount(free)} free, {amount(needed)} needed",
                f"free {amount(needed - free)} there, or choose another disk with RUNS=...",
            )
        teller = Teller("unpack", table["bytes"], stop)
        if read_archive(archive, lambda each: draft / each if each in new else None, teller) != table:
            raise UserError(f"{archive}: has changed while it was unpacked", "unpack it again")
        for link, target in table["links"].items():
            point_link(draft / link, Path(target))
        for folder, _, _ in os.walk(draft):
            sync(Path(folder))
        passing("unpack checked")
        for stage in sorted(draft.glob("stages/*")):
            _install(stage, runs / "stages" / stage.name)
            passing("unpack stage in place")
        if table["run"] not in kept:
            (draft / table["run"]).rename(runs / name)
            sync(runs)
        passing("unpack run in place")


def _kept(table: Table, runs: Path, name: str) -> set[str]:
    """Places in the archive of what is here and stays: the run, if it is this one, whole stages, parts of others."""
    kept = set()
    if (runs / name).exists():
        _same_run(table, runs, name)
        kept.add(table["run"])
    for stage in sorted({"/".join(member.split("/")[:2]) for member in table["files"] if member.startswith("stages/")}):
        here = runs / stage
        if is_complete(here):
            kept.add(stage)
        elif here.is_dir():
            kept |= {f"{stage}/shards/{path.parent.name}" for path in here.glob("shards/*/receipt.json")}
            kept |= {f"{stage}/status"} | ({f"{stage}/stage.json"} if _plan(here) else set())
    return kept


def _plan(stage: Path) -> list[str] | None:
    plan: list[str] | None = (read_json(stage / "stage.json") or {}).get("shards")
    return plan


def _within(name: str, kept: set[str]) -> bool:
    parts = name.split("/")
    return any("/".join(parts[:depth]) in kept for depth in range(1, len(parts) + 1))


def _tell(archive: Path, table: Table, runs: Path, kept: set[str]) -> None:
    """What comes, from where, and what stays as it is here, with the bytes that were packed or others."""
    say(f"{archive}: run {table['run']}, {len(table['files'])} files, {amount(table['bytes'])}", "unpack")
    here = made_on()
    odd = [f"{key} {value}" for key, value in table["made_on"].items() if here.get(key) != value]
    if odd:
        say(f"made with {', '.join(odd)}: what is computed here is close to there, not the same bytes", "unpack")
    for place in sorted(kept - {table["run"]}):
        receipts = [n for n in table["files"] if n.startswith(f"{place}/") and n.endswith("/receipt.json")]
        other = [n for n in receipts if not (runs / n).is_file() or sha256_of(runs / n) != table["files"][n]["sha256"]]
        differ = f"; {len(other)} of its shards have other bytes than those packed" if other else ""
        if place.count("/") == 1 or other:  # a line a stage; its shards only where there is something to tell
            say(f"{runs / place} is here already and stays{differ}", "unpack")


def _install(new: Path, stage: Path) -> None:
    """A stage onto an absent name, or the shards that are missing there into one that is half done."""
    stage.parent.mkdir(parents=True, exist_ok=True)
    try:
        new.rename(stage)
    except OSError:
        if not stage.is_dir():
            raise
    else:
        sync(stage.parent)
        return
    shards = stage / "shards"
    shards.mkdir(exist_ok=True)
    for shard in sorted(new.glob("shards/*")):
        if receipt_of(shards, shard.name) is None:
            if (shards / shard.name).exists():  # not a shard: the torso of a broken copy, set aside
                (shards / shard.name).rename(shards / f".torso@{shard.name}@{secrets.token_hex(6)}")
            shard.rename(shards / shard.name)
            passing("unpack shard in place")
    sync(shards)
    if _plan(stage) is None and (told := read_json(new / "stage.json")):  # a plan is the same wherever it is made
        write_json(stage / "stage.json", {**told, **(read_json(stage / "stage.json") or {})})


@contextmanager
def _draft(runs: Path) -> Iterator[Path]:
    """A folder within RUNS that is gone afterwards; what killed ones left goes first."""
    lock = take_lock(runs / ".unpack.lock")
    if lock is None:
        raise UserError(f"{runs}: another archive is being unpacked there", "wait for that, then unpack again")
    draft = runs / f".unpack@{secrets.token_hex(6)}"
    try:
        if lock.works:  # then whoever left these is dead
            for left in runs.glob(".unpack@*"):
                shutil.rmtree(left, ignore_errors=True)
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock.handle)


def _same_run(table: Table, runs: Path, name: str) -> None:
    """UserError unless the run that has this name is this one, as it was packed."""
    first = f"{table['run']}/"
    for member, known in table["files"].items():
        path = runs / name / member.removeprefix(first)
        mine = member.startswith(first)
        if mine and (not path.is_file() or path.stat().st_size != known["bytes"] or sha256_of(path) != known["sha256"]):
            raise UserError(
                f"{runs / name}: there is a run of this name already, another or gone on since", "RUN=other takes it up"
            )


if __name__ == "__main__":
    sys.exit(guarded("unpack", main))
