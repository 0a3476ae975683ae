"""A run: one config, one corpus, one folder. And the command line that all jobs share."""

import argparse
import contextlib
import errno
import os
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.config import Asked, Config, read_config
from app.errors import ACT, DONE, STOPPED, Stopped, UserError
from app.runtime.asked import asked_for, whole
from app.runtime.autogroup import lower_autogroup
from app.runtime.files import clear_torn, point_link, read_json, sha256_of, write_atomic, write_json
from app.runtime.gpus import TakenGpus
from app.runtime.late_disk import patiently
from app.runtime.machine import lower_priority, one_thread_each, out_of_memory, workers_for
from app.runtime.nodes import Node, Nodes, meeting_file, node_of
from app.runtime.notify import notify
from app.runtime.part import Part, part_of
from app.runtime.room import amount, free_bytes
from app.runtime.stop import STOP, StopFlag
from app.runtime.tell import tell


@dataclass
class Run:
    """What a job works on. Only `said`, `leaving` and `gpus` change while it does."""

    name: str
    config: Config
    config_path: Path
    data: Path  # the corpus
    runs: Path  # where everything that jobs make goes
    stop: StopFlag
    asked: dict[str, Asked] = field(default_factory=dict)  # what the command line and the environment override
    said: list[str] = field(default_factory=list)  # the last line told
    leaving: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # closed when the job is over
    gpus: TakenGpus | None = None  # once the job has taken one
    config_before: str | None = None  # the text of config.yaml before this job came
    part: Part | None = None  # of the shards, that this job is to do
    joins: bool = False  # other tasks are said to have done all shards
    node: Node | None = None  # of several that do this job together, this one
    nodes: Nodes | None = None  # the others, where this one is the first

    @property
    def folder(self) -> Path:
        return self.runs / self.name

    @property
    def helps(self) -> bool:
        """Not the first of its nodes: what is written is the first one's."""
        return self.node is not None and self.node.number > 0

    @property
    def workers(self) -> int:
        return workers_for(self.config.runtime.workers)

    def note_config(self) -> None:
        """Leaves the merged config in the run folder, for people and for the report."""
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        path = self.folder / "config.yaml"
        self.config_before = path.read_text(encoding="utf-8") if path.exists() else None
        if self.config_before != text:
            write_atomic(path, text)

    def take_back_config(self) -> None:
        """For a job that was refused before it did anything: the run is as it was, and no folder is left behind."""
        path = self.folder / "config.yaml"
        if self.config_before is not None:
            write_atomic(path, self.config_before)
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others have something there
            self.folder.rmdir()

    def corpus(self) -> dict[str, Any] | None:
        """What corpus.json says, or None.

        "train", "test": fingerprints of recordings; "tables": SHA-256 of each; "answers": whether they tell the labels
        of the test; "data": where it lay.
        """
        found: dict[str, Any] | None = read_json(self.folder / "corpus.json")
        return found

    def note_corpus(self, train: str, test: str, tables: dict[str, str], answers: bool = False) -> None:
        """Notes what was prepared. The place is kept relative to the run, as a default for DATA.

        DATA_PLACE: where it lies for those outside, when we are in a container.
        """
        place = os.environ.get("DATA_PLACE") or os.path.relpath(self.data, self.folder)
        new = {"train": train, "test": test, "tables": tables, "answers": answers, "data": place}
        if self.corpus() != new:
            write_json(self.folder / "corpus.json", new)

    def check_data(self) -> None:
        """Raises UserError unless DATA is the corpus that this run was prepared from (by its tables)."""
        known = (self.corpus() or {"tables": {}})["tables"]
        for name, digest in known.items():
            path = self.data / name
            if not path.is_file() or sha256_of(path) != digest:
                raise UserError(
                    f"{path}: not the table that run {self.name} was prepared from",
                    "point DATA=... at that corpus, or run `make prepare` for this one",
                )

    def stages(self) -> dict[str, str]:
        """Which stage folders this run stands on: part of the flow -> folder name."""
        return read_json(self.folder / "stages.json") or {}

    def note_stage(self, part: str, folder_name: str) -> None:
        stages = self.stages()
        if stages.get(part) != folder_name:
            write_json(self.folder / "stages.json", {**stages, part: folder_name})
        link = self.folder / "stages" / part
        target = Path("../../stages") / folder_name
        point_link(link, target)


def job_main(job: Callable[[Run], None], extra: Callable[[argparse.ArgumentParser], None] | None = None) -> int:
    """Parses, wires, runs `job`; a user's error is told without a traceback. Returns the exit code."""
    name, state, summary = job.__name__, "failed", ""
    run = None
    try:
        run = open_run(name, job.__doc__ or "", extra)
        if run.helps and run.node:
            from app.runtime.helping import help_out

            help_out(run, name, run.node)
            return DONE
        run.stop.at_the_end.append(lambda: _notify(name, run, "stopped", f"stopped ({run.stop.reason})"))
        with run.leaving:
            if run.node:
                run.nodes = Nodes(run.node.total)
                run.leaving.enter_context(run.nodes.met(meeting_file(run.folder, name), run.stop.raise_it))
            patiently(lambda: job(run), run.stop.leave)
        state, summary, code = "done", run.said[-1] if run.said else "", DONE
    except UserError as error:
        summary, code = str(error), ACT
        tell(f"{name}: {error}")
        if run and not run.said and not run.helps:
            run.take_back_config()
    except Stopped as stopped:
        state, summary, code = (
            "stopped",
            f"stopped ({stopped}); what is done is kept, the same command goes on",
            STOPPED,
        )
        tell(f"{name}: {summary}")
    except Exception as error:
        mend = mend_of(error, run.runs if run else None)
        summary, code = str(error) or type(error).__name__, ACT if mend else 1
        if mend:
            tell(f"{name}: {summary}\n  fix: {mend}, then the same command goes on")
        else:
            traceback.print_exc()
            tell(f"{name}: this is a bug of ours; what is done is kept")
    if run:
        if run.nodes:
            run.nodes.over(code)
        _notify(name, run, state, summary)
    return code


def _notify(name: str, run: Run, state: str, summary: str) -> None:
    if run.said:  # there was something to do, or to say
        command, folder = run.config.runtime.notify, run.folder
        told = notify(command, job=name, run=run.name, state=state, summary=summary, folder=folder)
        if told:
            tell(f"{name}: {told}")


def mend_of(error: Exception, runs: Path | None) -> str | None:
    """What the user can do about an error of the disk or the memory, or None."""
    if out_of_memory(error):
        return "free memory, or use fewer WORKERS or batch_clips"
    if not isinstance(error, OSError):
        return None
    # numpy tells a full disk as "n requested and m written", without a number
    number = errno.ENOSPC if error.errno is None and "written" in str(error) else error.errno
    free = f" ({amount(free_bytes(runs))} free in {runs})" if runs else ""
    return {
        errno.ENOSPC: f"free disk space where RUNS lies{free}",
        errno.EDQUOT: f"your disk quota is used up: free space where RUNS lies{free}",
        errno.EROFS: "RUNS lies on a read-only disk: choose another with RUNS=...",
        errno.EACCES: "give yourself the right to that path, or choose others with DATA=... RUNS=...",
        errno.EPERM: "give yourself the right to that path, or choose others with DATA=... RUNS=...",
    }.get(number or 0)


def open_run(
    job: str, doc: str, extra: Callable[[argparse.ArgumentParser], None] | None, leaves_config: bool = True
) -> Run:
    """The run that the command line and the environment ask for; its config is left in its folder."""
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{job}", description=doc.splitlines()[0])
    env = os.environ.get
    parser.add_argument(
        "--config",
        default=env("CONFIG"),
        help="the run's YAML (CONFIG); default: as RUN had it, or configs/default.yaml",
    )
    parser.add_argument("--run", default=env("RUN"), help="name of the run (RUN); default: the config's file name")
    parser.add_argument(
        "--data", default=env("DATA"), help="the corpus, read only (DATA); default: as prepared, or data"
    )
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make goes (RUNS)")
    parser.add_argument(
        "--workers", type=int, default=whole("WORKERS"), help="processes (WORKERS); default: half of the cores"
    )
    parser.add_argument("--part", default=env("PART") or None, help="only these shards: 0/8 to 7/8 (PART)")
    parser.add_argument("--join", action="store_true", help="all parts are done: those not seen yet are waited for")
    parser.add_argument(
        "--node", default=env("NODE") or None, help="of several that train together: 0/2 on the first of two (NODE)"
    )
    parser.add_argument("--device", default=env("DEVICE") or None, help="DEVICE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    if extra:
        extra(parser)
    args = parser.parse_args()
    asked = asked_for(args)
    if mask := env("UMASK"):  # 002: a team may write to each other's runs
        os.umask(_octal(mask))
    path = _config_path(args)
    config = read_config(path, asked)
    one_thread_each()
    lower_priority(config.runtime.nice)
    if os.getsid(0) == os.getpid():  # a session of our own, no shell in it
        lower_autogroup(config.runtime.nice)
    STOP.listen()
    STOP.watch(config.runtime.grace_s)
    name, runs = args.run or path.stem, Path(args.runs)
    if not re.fullmatch(r"\w[\w.-]*", name) or name == "stages":
        raise UserError(f"RUN={name} is no name for a run", "use letters, digits, '.', '-' and '_': RUN=...")
    known = (read_json(runs / name / "corpus.json") or {}).get("data")
    data = args.data or (os.path.normpath(runs / name / known) if known else "data")
    run = Run(name, config, path, Path(data), runs, STOP, asked)
    run.part, run.joins, run.node = part_of(args.part, job), args.join, node_of(args.node, job)
    run.stop.leave()
    for folder in (run.folder, run.folder / "scores"):
        clear_torn(folder)
    reachable(run.folder if leaves_config else runs)
    if leaves_config and not run.helps:
        run.note_config()
    return run


def reachable(folder: Path) -> None:
    """Makes the folder. Raises UserError where RUNS leads through a file or to what is no place for folders."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})", "choose another place with RUNS=...") from None


def _config_path(args: argparse.Namespace) -> Path:
    """CONFIG; else the one that the run named by RUN was given last, so that a run goes on as it is."""
    if args.config:
        return Path(args.config)
    last = Path(args.runs) / args.run / "config.yaml" if args.run else None
    return last if last and last.exists() else Path("configs/default.yaml")


def _octal(mask: str) -> int:
    if not re.fullmatch(r"0?[0-7]{1,3}", mask):
        raise UserError(f"UMASK={mask} is no umask", "for example UMASK=002: the group may write")
    return int(mask, 8)
