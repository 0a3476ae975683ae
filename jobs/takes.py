"""What each part of the probe took, read from its status and receipts, ready to be asked of a whole run."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config.ladder import LADDER
from app.errors import UserError
from app.runtime.estimate import Cost, Threads, Training, cost_of, training_of, warm_up
from app.runtime.files import read_json
from app.runtime.job import counts
from app.runtime.machine import usable_cores
from app.runtime.shards import receipt_of, rows_of
from app.runtime.status import read_status
from jobs.passes import clip_seconds
from jobs.probe import Bench
from jobs.sizes import Sizes

STAGES = ("prepare", "denoise", "mix", "mix-audio", "extract", "extract-test", "waves", "waves-test", "infer")
PARTS_OF = {"prepare": ("prepare-test",), "mix": ("mix-audio",), "extract": ("extract-test", "waves", "waves-test")}
OWN = {"read the voices", "draw"}  # steps of the job's own process that grow with the work
STEPS_ONCE = {"load libraries", "split and audit", "load the model", "score", "report"}  # that do not, or hardly
DOUBLES = 3000  # clips that make score and report take twice as long as few do (measured: 5.1 s for 100, 7.8 for 2,000)
ONCE = {"audit.json", "summary.json"}  # files that do not


@dataclass
class Take:
    """One part: a stage, a model, the report."""

    part: str
    units: str  # the field of Sizes that its work grows with
    cost: Cost = field(default_factory=lambda: Cost(0.0, 0.0, 0.0))
    training: Training | None = None
    one_process: bool = False  # with math threads instead of workers
    step_twice: tuple[int, float] | None = None  # (threads, seconds of a step), measured once more
    steps: dict[str, float] = field(default_factory=dict)  # seconds, in the probe
    done: float = 0.0  # units, in the probe
    peak_mb: float = 0.0
    rows: int = 0
    row_mb: float = 0.0  # that the job itself holds for each more of them
    unit_bytes: float = 0.0
    fixed_bytes: float = 0.0
    gpu_mb: float = 0.0

    def clips(self, sizes: Sizes) -> int | None:
        names = {"sound_s": sizes.recordings, "planned": sizes.planned, "windows": sizes.windows}
        return {**names, "train": sizes.train, "judged": sizes.judged}[self.units]

    def seconds(self, sizes: Sizes, workers: int, asked: int, cores: int, threads: Threads) -> float:
        if not self.training and not self.one_process:
            return self.cost.seconds(getattr(sizes, self.units), workers, cores)
        if self.training:
            epochs = self.epochs(sizes)
            went = self.training.seconds(epochs, sizes.steps, sizes.train, sizes.select, sizes.calibrate)
            start = self.training.start_s
        else:
            went, start = self.cost.seconds(getattr(sizes, self.units), 1, 1), self.cost.start_s
        factor = 1.0 if self.gpu_mb else threads.against(min(workers, cores), min(asked, cores))
        return start + (went - start) * factor

    def epochs(self, sizes: Sizes) -> int:
        """At most; one of a model that is fitted at once."""
        return sizes.epochs.get(self.part.removeprefix("train "), 1) if self.training and self.training.step_s else 1

    def epoch_seconds(self, sizes: Sizes) -> float | None:
        """None of what has none."""
        if not self.training or not self.training.step_s:
            return None
        return round(self.training.epoch_seconds(sizes.steps, sizes.select), 2)

    def memory_mb(self, sizes: Sizes) -> float:
        return self.peak_mb + self.row_mb * max(0, (self.clips(sizes) or 0) - self.rows)

    def disk(self, sizes: Sizes) -> float:
        """Bytes."""
        return self.fixed_bytes + self.unit_bytes * getattr(sizes, self.units)

    def slowest(self, sizes: Sizes, workers: int, cores: int) -> tuple[str, float]:
        """(step, share of the time), of a whole run."""
        if self.training:
            how, epochs = self.training, self.epochs(sizes)
            spent = {
                "start": how.start_s,
                "learn inputs": how.learn_s * sizes.train,
                "training steps": epochs * sizes.steps * how.step_s,
                "validation": (epochs * sizes.select + sizes.select + sizes.calibrate) * how.validate_s,
                "save": epochs * how.save_s,
            }
        else:
            units, cost = getattr(sizes, self.units), self.cost
            busy = units * cost.busy_s / (1 if self.one_process else min(workers, cores))
            shared = {name: s for name, s in self.steps.items() if name not in OWN | STEPS_ONCE}
            whole = sum(shared.values()) or 1.0
            spent = {name: self.steps[name] for name in STEPS_ONCE & set(self.steps)}
            spent |= {"start": max(0.0, cost.start_s - sum(spent.values()))}
            spent |= {name: busy * s / whole for name, s in shared.items()}
            grown = units / self.done if self.done else 0.0
            spent |= {name: s * grown for name, s in self.steps.items() if name in OWN}
        name = max(spent, key=lambda each: spent[each])
        return name, spent[name] / (sum(spent.values()) or 1.0)


def takes_of(bench: Bench, small: dict[str, Any]) -> list[Take]:
    """Every part that the probe did, in flow order."""
    workers, run_folder = bench.run.workers, bench.runs / "probe"
    found: list[Take] = []
    stages = {part: (run_folder / "stages" / part).resolve() for part in STAGES}
    plan = (bench.runs / "plan" / "stages" / "mix").resolve()
    extract_warm = 0.0
    for part in STAGES[:-1]:
        folder = plan if part == "mix" else stages[part]
        if not (folder / "stage.json").exists():
            continue
        take = Take(part, _units(part))
        shards = list(_shards(folder, part, small))
        status = _status(folder)
        own = sum(status["steps"].get(name, 0.0) for name in OWN)
        alone = part == "mix"  # no workers
        cores = usable_cores()
        warm = extract_warm if part.endswith("-test") else None
        crew = 1 if alone else min(workers, len(shards))
        if sum(units for units, _ in shards):
            take.cost = cost_of(status["seconds"], shards, crew, cores, own, warm)
            if alone:  # its shards are done one after another, whatever the workers
                take.cost = _of_two(stages[part], status, sum(units for units, _ in shards))
            if part in ("extract", "waves"):
                extract_warm = warm_up(shards, crew)
        _note(take, folder, status, sum(units for units, _ in shards))
        found.append(take)
    found += _models(bench, small)
    infer = stages["infer"]
    if (infer / "stage.json").exists():
        take, shards, status = Take("infer", "windows", one_process=True), list(_shards(infer, "infer", small)), {}
        status = _status(infer)
        take.cost = cost_of(status["seconds"], shards, 1, 1)
        _note(take, infer, status, sum(units for units, _ in shards))
        found.append(take)
    found.append(_report(run_folder, small))
    _outside(bench)
    return found


def _of_two(few: Path, status: dict[str, Any], units: float) -> Cost:
    """A plan, from a short one and this longer one of `units` clips: what both took alike is its start."""
    less, fewer = _status(few), counts(few)[0]
    each = max(0.0, status["seconds"] - less["seconds"]) / max(1.0, units - fewer)
    return Cost(max(0.0, status["seconds"] - each * units), each, 0.0)


def truth_of(folder: Path) -> dict[str, Any]:
    """What a run that is done took: {"parts": {part: {seconds, peak_mb, bytes}}, "epochs": {model: epochs}}."""
    if not (folder / "stages.json").exists():
        raise UserError(f"{folder}: no run", "--against RUNS/RUN of a run that is done")
    parts: dict[str, Any] = {}
    epochs = {}
    for part in STAGES[:-1]:
        place = (folder / "stages" / part).resolve()
        if (place / "stage.json").exists():
            parts[part] = {**_told(place), "bytes": sum(_bytes(place))}
    for link in sorted((folder / "models").glob("*")):
        ready = read_json(link / "model.json")
        if link.is_symlink() and ready:
            parts[f"train {link.name}"] = {**_told(link), "bytes": _weight(link.resolve())}
            epochs[link.name] = ready["epochs"]
    place = (folder / "stages" / "infer").resolve()
    if (place / "stage.json").exists():
        parts["infer"] = {**_told(place), "bytes": sum(_bytes(place))}
    if (folder / "report" / "status").exists():
        parts["evaluate"] = {**_told(folder / "report"), "bytes": _weight(folder / "report")}
    return {"parts": parts, "epochs": epochs}


def _told(folder: Path) -> dict[str, Any]:
    status = _status(folder)
    return {key: status.get(key) for key in ("seconds", "peak_mb", "steps", "busy_s", "state")}


def _status(folder: Path) -> dict[str, Any]:
    """The status of whoever did it; UserError where nobody tells."""
    found = read_status(folder)
    if not found:
        raise UserError(f"{folder}: no status tells what it took", "name a run whose stages were made here")
    # by the rests that it made for others it ended later, and nothing else
    return {**found[0], "seconds": max(0.0, found[0]["seconds"] - found[0].get("rested_s", 0.0))}


def _units(part: str) -> str:
    if part in ("prepare", "denoise"):
        return "sound_s"
    return "windows" if part in ("extract-test", "waves-test") else "planned"


def _shards(folder: Path, part: str, small: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """(units, seconds) of each, in order."""
    status = _status(folder)
    most = small["prepare"]["max_seconds"]
    for name in sorted(status["shard_s"]):
        if _units(part) == "sound_s":
            rows = list(rows_of(folder, shard=name))
            units = sum(min(most, row["num_samples"] / row["sample_rate"]) for row in rows)
        else:
            units = (receipt_of(folder / "shards", name) or {"rows": 0})["rows"]
        yield units, status["shard_s"][name]


def _note(take: Take, folder: Path, status: dict[str, Any], units: float) -> None:
    """Steps, memory and disk."""
    fixed, grows = _bytes(folder)
    take.steps, take.done, take.gpu_mb = status["steps"], units, status.get("gpu_mb", 0.0)
    take.peak_mb, take.rows = status["peak_mb"], status["clips"]
    take.fixed_bytes, take.unit_bytes = fixed, grows / units if units else 0.0
    rows = [row for _, row in zip(range(200), rows_of(folder), strict=False)]
    # packed they take about a third of their JSON, and their ids once more
    take.row_mb = 0.5 * sum(len(json.dumps(row)) for row in rows) / max(1, len(rows)) / 1e6


def _bytes(folder: Path) -> tuple[float, float]:
    """(of files that are there once, of those that grow with the clips), by the receipts."""
    fixed = grows = 0.0
    for path in folder.glob("shards/*/receipt.json"):
        for name, known in (read_json(path) or {"files": {}})["files"].items():
            if name in ONCE:
                fixed += known["bytes"]
            else:
                grows += known["bytes"]
    return fixed, grows


def _models(bench: Bench, small: dict[str, Any]) -> Iterator[Take]:
    how, planned = small["train"], small["mix"]
    select = planned["valid_clips"] // 2
    steps = math.ceil(planned["train_clips"] / how["batch_clips"])
    for name in how["models"]:
        folder = (bench.runs / "probe" / "models" / name).resolve()
        take, status = Take(f"train {name}", "train"), _status(folder)
        if status["unit"] == "fits":
            take.training = _fit(bench, name, status, planned["train_clips"], select, planned["valid_clips"])
        else:
            take.training = _training(folder, status, steps, planned["train_clips"], select, planned["valid_clips"])
        again = (bench.runs / "threads" / "models" / name).resolve()
        if again.exists() and take.training.step_s:
            told = _training(again, _status(again), steps, planned["train_clips"], select, planned["valid_clips"])
            take.step_twice = (_threads_of(bench), told.step_s)
        take.steps, take.peak_mb, take.gpu_mb = status["steps"], status["peak_mb"], status.get("gpu_mb", 0.0)
        take.rows = planned["train_clips"]
        take.row_mb = 0.0006  # ids and labels; pooled numbers of a model that is fitted at once
        take.fixed_bytes = _weight(folder)
        yield take


def _threads_of(bench: Bench) -> int:
    import yaml

    text = (bench.folder / "threads.yaml").read_text(encoding="utf-8")
    return int(yaml.safe_load(text)["runtime"]["workers"])


def _training(folder: Path, status: dict[str, Any], steps: int, train: int, select: int, both: int) -> Training:
    lines = [json.loads(line) for line in (folder / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    return training_of(
        status["seconds"], status["steps"], [line["seconds"] for line in lines], steps, train, select, both
    )


def _fit(bench: Bench, name: str, status: dict[str, Any], train: int, select: int, both: int) -> Training:
    """Of a model that is fitted at once: what its few clips took beyond the usual is its start."""
    extracted = (bench.runs / "probe" / "stages" / LADDER[name].reads).resolve()
    passes = clip_seconds(extracted, name, bench.run.config, bench.run.workers) * train
    spent = {**status["steps"], "learn inputs": min(passes, status["seconds"])}
    return training_of(status["seconds"], spent, [0.0], 0, train, select, both)


def _weight(folder: Path) -> int:
    """Bytes of what stays there, but for its status."""
    files = (path for path in folder.rglob("*") if path.is_file() and "status" not in path.parts)
    return sum(path.stat().st_size for path in files)


def _report(run_folder: Path, small: dict[str, Any]) -> Take:
    take, folder = Take("evaluate", "judged"), run_folder / "report"
    status = _status(folder)
    grows = sum(status["steps"].get(name, 0.0) for name in ("score", "report")) / DOUBLES
    take.cost = Cost(status["seconds"], grows, 0.0)
    take.steps, take.peak_mb, take.fixed_bytes = status["steps"], status["peak_mb"], _weight(folder)
    return take


def _outside(bench: Bench) -> None:
    """What passes before and after what the status of a job tells."""
    for name, wall in bench.walls.items():
        of, job = name.split("/")
        if of == "probe":
            inside = [status["seconds"] for status in _statuses(bench, job)]
            bench.outside[job] = max(0.0, wall - sum(inside))


def _statuses(bench: Bench, job: str) -> Iterator[dict[str, Any]]:
    folder = bench.runs / "probe"
    places = {p.resolve() for p in folder.glob("stages/*") if p.name in (job, *PARTS_OF.get(job, ()))}
    places |= {p.resolve() for p in folder.glob("models/*")} if job == "train" else set()
    places |= {folder / "report"} if job == "evaluate" else set()
    for place in places:
        yield from read_status(place)
