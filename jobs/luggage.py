"""What a run takes along when it moves: its own folder and the stages that it stands on, as far as they are done."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.machine import libraries
from app.runtime.run import Run
from app.runtime.series import SERIES
from app.runtime.shards import receipt_of
from app.runtime.status import ALIVE, read_status
from jobs.chain import PARTS, known_stage
from jobs.models import scored_stage, test_of, trained_models

HERE_ALONE = ("lock", "STOP")  # files that mean something here and now only
MOVE_IN = "put what it leads to in its place"


@dataclass
class Load:
    """What goes into the archive: member -> where it lies, and what is known of it; links of our own making."""

    sources: dict[str, Path] = field(default_factory=dict)
    known: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # size and SHA-256, of a shard's receipt
    links: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path, known: dict[str, Any] | None = None) -> None:
        self.sources[name], self.known[name] = path, known

    def marks(self) -> dict[str, tuple[int, int] | None]:
        """Size and time of the last change of each file: the same again, if nobody was at work meanwhile."""
        return {name: _mark(path) for name, path in self.sources.items()}


def stages_of(run: Run) -> list[Path]:
    """The stages that this run used last and those that its config names, finished or half done."""
    names = set(run.stages().values())
    if run.corpus() is not None:
        mine = [part for part, what in PARTS.items() if {*what.inputs} <= {*PARTS, "corpus-train", "corpus-test"}]
        names |= {stage.name for part in mine if (stage := known_stage(run, part))}
        names |= {scored_stage(run, model, test_of(run, model)).name for model in trained_models(run)}
    return [folder for name in sorted(names) if (folder := run.runs / "stages" / name).is_dir()]


def load_of(run: Run, stages: list[Path]) -> Load:
    """All files that go along: of shards the committed ones, of statuses those of tasks that ended."""
    load = Load()
    for missing in sorted({*run.stages().values()} - {stage.name for stage in stages}):
        load.left_out.append(f"stages/{missing}, which this run used and which is not there any more")
    for stage in stages:
        _add_tree(load, stage, f"stages/{stage.name}")
        for shard in sorted(stage.glob("shards/*")):
            receipt = None if shard.name.startswith(".") else receipt_of(stage / "shards", shard.name)
            for name, known in (receipt or {"files": {}})["files"].items():
                if shard.is_symlink() or (shard / name).is_symlink():
                    raise UserError(f"{shard / name}: a link; only what lies in RUNS itself is packed", MOVE_IN)
                load.add(f"stages/{stage.name}/shards/{shard.name}/{name}", shard / name, known)
            if receipt:
                load.add(f"stages/{stage.name}/shards/{shard.name}/receipt.json", shard / "receipt.json")
    _add_tree(load, run.folder, run.name)
    folders = {parent.as_posix() for name in load.sources for parent in Path(name).parents}
    for name, target in list(load.links.items()):
        if os.path.normpath(Path(name).parent / target) not in folders:
            del load.links[name]  # leads to a stage or model that is not there
    return load


def _add_tree(load: Load, folder: Path, place: str) -> None:
    """Every plain file below a stage (but its shards) or a run."""
    if folder.is_symlink():
        raise UserError(f"{folder}: a link; only what lies in RUNS itself is packed", MOVE_IN)
    ended: set[str] = set()
    for at, folders, files in os.walk(folder):
        here = Path(at)
        within = here.relative_to(folder)
        if place.startswith("stages/") and within == Path():
            folders[:] = [name for name in folders if name != "shards"]
        for name in (name for name in folders if (here / name).is_symlink()):
            target = str((here / name).readlink())
            if within.as_posix() == "stages" and target == f"../../stages/{Path(target).name}":
                load.links[f"{place}/stages/{name}"] = target
            elif within.as_posix() == "models" and target == Path(target).name:
                load.links[f"{place}/models/{name}"] = target
            else:
                load.left_out.append(f"{here / name}, a link")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if here.name == "status":
            ended = {f"{s['task']}.json" for s in read_status(here.parent) if s["state"] not in (*ALIVE, "stale")}
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or name in HERE_ALONE or (here.name == "status" and name not in ended):
                continue
            if path.is_symlink() or not path.is_file():
                load.left_out.append(f"{path}, a link" if path.is_symlink() else f"{path}, no plain file")
                continue
            load.add((place / within / name).as_posix(), path)


def made_on() -> dict[str, str]:
    return {"machine": platform.machine(), "python": platform.python_version(), **libraries()}


def nobody_at_work(run: Run, stages: list[Path]) -> None:
    models = [path for path in sorted(run.folder.glob("models/*")) if not path.is_symlink()]
    for folder in (*stages, *models, *(run.folder / name for name in SERIES)):
        for status in read_status(folder):
            if status["state"] in ALIVE:
                raise UserError(
                    f"{status['label']} of run {status['run']} is at work in {folder} ({status['state']} on "
                    f"{status['host']}, process {status['pid']}): half of what it writes now would be packed",
                    f"make stop JOB={status['job']}, then pack; it goes on from there, here or elsewhere",
                )


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns
