"""Makes one checksummed archive of a run and the stages it needs, to go on elsewhere."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from app.config import load_config
from app.errors import ACT, DONE, STOPPED, Stopped, UserError
from app.runtime.archive import Differs, archive_bytes, read_archive, read_table, write_archive
from app.runtime.archive_table import FORMAT, checked
from app.runtime.faults import passing
from app.runtime.files import sha256_of, sync
from app.runtime.locks import take_lock
from app.runtime.machine import lower_priority
from app.runtime.pace import PACE
from app.runtime.room import amount, free_bytes
from app.runtime.run import Run, mend_of
from app.runtime.stop import STOP, StopFlag
from app.runtime.tell import span
from jobs.luggage import Load, load_of, made_on, nobody_at_work, stages_of

SAY_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.pack", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--config", default=env("CONFIG"), help="names the run, where RUN does not (CONFIG)")
    parser.add_argument("--run", default=env("RUN"), help="the run to pack (RUN)")
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--out", default=env("OUT"), help="the archive (OUT); default: RUNS/RUN.moksori.tar")
    args = parser.parse_args()
    runs, name = Path(args.runs), args.run or (Path(args.config).stem if args.config else "")
    there = sorted(path.parent.name for path in runs.glob("*/config.yaml"))
    if name not in there:
        what = f"RUN={name}: there is no such run in {runs}" if name else "which run?"
        raise UserError(what, f"make pack RUN=NAME; there are: {', '.join(there) or 'none'}")
    # as it was used last, whatever CONFIG says by now
    path = runs / name / "config.yaml"
    config = load_config(path)
    be_polite(config.runtime.nice, config.runtime.write_mb_s, config.runtime.grace_s)
    run = Run(name, config, path, Path("data"), runs, STOP)
    pack(run, Path(args.out) if args.out else runs / f"{name}.moksori.tar")


def pack(run: Run, out: Path) -> None:
    """Writes the archive `out` of this run. UserError while a job is at work on what goes into it."""
    stages = stages_of(run)
    nobody_at_work(run, stages)
    load = load_of(run, stages)
    before = load.marks()
    table = _table(run, load)
    needed = archive_bytes(table)
    say(f"{run.name}: {len(table['files'])} files, {amount(needed)}, of {len(stages)} stages and the run")
    for line in load.left_out:
        say(f"left out: {line}")
    if out.exists():
        _already(out, table, run.stop)
    else:
        with _drafted(out, needed) as file:
            try:
                write_archive(file, table, load.sources, Teller("pack", table["bytes"], run.stop))
            except Differs as differs:
                raise _wrong(run, str(differs)) from None
            nobody_at_work(run, stages)
            if load_of(run, stages_of(run)).marks() != before:
                raise UserError(f"{run.name}: a job worked on it while it was packed", "pack it again")
    say(f"done: {out}  ({amount(needed)}; as large as what is in it: sound and features do not compress)")
    say(f"there: make unpack ARCHIVE={out.name}")


def _table(run: Run, load: Load) -> dict[str, Any]:
    """The table at the archive's head. No time and no host is in it: the same run makes the same bytes."""
    files = {}
    for name in sorted(load.sources):
        STOP.leave()
        path = load.sources[name]
        try:
            known = load.known[name] or {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        except FileNotFoundError:
            raise UserError(f"{path}: has gone while it was packed", "pack again") from None
        files[name] = {"bytes": known["bytes"], "sha256": known["sha256"]}
    table = {
        "format": FORMAT,
        "run": run.name,
        "made_on": made_on(),
        "bytes": sum(known["bytes"] for known in files.values()),
        "links": dict(sorted(load.links.items())),
        "files": files,
    }
    try:
        return checked(table)
    except ValueError as error:
        raise UserError(f"{run.folder}: {error}", "give that file another name, then pack again") from None


def _already(out: Path, table: dict[str, Any], stop: StopFlag) -> None:
    """Fine if it is this very archive, whole; else it is not ours to replace."""
    try:
        if read_table(out) == table:
            read_archive(out, lambda name: None, Teller("check", table["bytes"], stop))
            say("packed already, every byte checked")
            return
    except UserError as error:
        raise UserError(error.what, "remove it, or choose another place with OUT=...") from None
    raise UserError(f"{out}: is there already and holds something else", "remove it, or OUT=other.moksori.tar")


@contextmanager
def _drafted(out: Path, needed: int) -> Iterator[IO[bytes]]:
    """A draft beside `out`, synced and renamed to it when the block ends well. What a killed one left is used up."""
    if not out.parent.is_dir():
        raise UserError(f"{out}: there is no folder {out.parent}", "make it, or choose another with OUT=...")
    draft = out.with_name(f".{out.name}.draft")
    try:
        lock = take_lock(draft)
    except FileNotFoundError:
        raise UserError(f"{out}: no file can be made there", "choose another place with OUT=...") from None
    if lock is None:
        raise UserError(f"{out}: is being packed already", "wait for that, or OUT=other.moksori.tar")
    try:
        with draft.open("wb", buffering=0) as file:
            free = free_bytes(out.parent)
            if needed > free:
                raise UserError(
                    f"{out}: no room: {amount(free)} free, {amount(needed)} needed",
                    f"free {amount(needed - free)} there, or choose another disk with OUT=...",
                )
            yield file
        sync(draft)
        passing("pack written")
        draft.rename(out)
        sync(out.parent)
    finally:
        draft.unlink(missing_ok=True)
        os.close(lock.handle)


def _wrong(run: Run, name: str) -> UserError:
    """A file that is not what its shard's receipt, or our own look before, says of it."""
    first, *rest = name.split("/")
    if first != "stages" or rest[1] != "shards":
        return UserError(f"{run.runs / name}: has changed while it was packed", "pack again")
    shard, job = run.runs / "/".join([first, *rest[:3]]), rest[0].rpartition("-")[0]
    return UserError(
        f"{shard}: {rest[3]} is not what the shard's receipt says: it has changed on the disk",
        f"remove that folder and run `make {job}`: it computes this shard again; then pack again",
    )


class Teller:
    """Counts bytes done; a line now and then while it lasts, and the place where a stop is heard."""

    def __init__(self, label: str, total: int, stop: StopFlag) -> None:
        self.label, self.total, self.stop = label, total, stop
        self.done, self.began = 0, time.monotonic()
        self.said = self.began

    def __call__(self, count: int) -> None:
        self.stop.leave()
        self.done += count
        now = time.monotonic()
        if now - self.said > SAY_S:
            rate = self.done / (now - self.began)
            eta = span((self.total - self.done) / rate)
            say(f"{self.done / 1e6:.0f}/{self.total / 1e6:.0f} MB  {rate / 1e6:.3g} MB/s  eta {eta}", self.label)
            self.said = now


def say(line: str, label: str = "pack") -> None:
    print(f"{label}  {line}", file=sys.stderr, flush=True)


def be_polite(nice: int, write_mb_s: float, grace_s: float) -> None:
    lower_priority(nice)
    PACE.limit(write_mb_s * 1e6)
    STOP.listen()
    STOP.watch(grace_s)


def guarded(name: str, work: Callable[[], None]) -> int:
    """The exit code of `work`; what a user can mend is told without a traceback."""
    try:
        work()
        return DONE
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return ACT
    except Stopped as stopped:
        print(
            f"{name}: stopped ({stopped}); nothing half-written is left, the same command begins again", file=sys.stderr
        )
        return STOPPED
    except Exception as error:
        mend = mend_of(error, None)
        if mend:
            mend = mend.replace("RUNS", "OUT") if name == "pack" else mend
            print(f"{name}: {error}\n  fix: {mend}, then the same command goes on", file=sys.stderr)
            return ACT
        traceback.print_exc()
        print(f"{name}: this is a bug of ours; nothing half-written is left", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(guarded("pack", main))
