"""The estimate as a table for people, as JSON for scripts, and beside a run that is done."""

from typing import Any

from app.errors import UserError
from app.runtime.estimate import Threads
from app.runtime.machine import usable_cores, usable_memory
from app.runtime.room import amount, free_bytes
from app.runtime.run import Run
from app.runtime.tell import span
from jobs.sizes import Sizes
from jobs.takes import Take
from jobs.terminal import table

AT = (1, 4, 16)  # workers that are told beside those asked for

Line = dict[str, Any]  # of one part, as JSON has it


def line_of(run: Run, take: Take, sizes: Sizes, threads: Threads, done: bool) -> Line:
    """The estimate of one part; no time and no disk for what is done already."""
    cores, asked = usable_cores(), run.workers
    step, share = take.slowest(sizes, asked, cores)
    return {
        "job": take.part,
        "clips": take.clips(sizes),
        "done": done,
        "seconds": {
            str(n): 0.0 if done else round(take.seconds(sizes, n, asked, cores, threads), 1)
            for n in sorted({asked, *AT})
        },
        "epochs": take.epochs(sizes) if take.epoch_seconds(sizes) else None,
        "epoch_seconds": take.epoch_seconds(sizes),
        "peak_mb": round(take.memory_mb(sizes)),
        "disk_mb": 0.0 if done else round(take.disk(sizes) / 1e6, 6),
        "gpu_mb": take.gpu_mb,
        "slowest": step,
        "slowest_share": round(share, 3),
    }


def show(lines: list[Line], starts: float, asked: int) -> None:
    """One row a part, and their sum."""
    rows = [_row(line, asked) for line in lines]
    columns, empty = [key for key in rows[0] if key.startswith("at ")], dict.fromkeys(rows[0], "")
    rows.append({**empty, "job": "starts of the jobs", **{key: span(starts) for key in columns}})
    total = {key: span(starts + sum(line["seconds"][key.split()[1]] for line in lines)) for key in columns}
    memory = max([line["peak_mb"] for line in lines if not line["done"]], default=0.0) * 1e6
    disk = sum(line["disk_mb"] for line in lines) * 1e6
    rows.append({**empty, "job": "all", **total, "peak memory": amount(memory), "disk": amount(disk)})
    table("What the jobs will take, by number of workers", rows)


def _row(line: Line, asked: int) -> dict[str, str]:
    times = {f"at {n}" + (" (asked)" if int(n) == asked else ""): span(s) for n, s in line["seconds"].items()}
    if line["done"]:
        times = {key: "done already" if "asked" in key else "" for key in times}
    return {
        "job": line["job"],
        "clips": "" if line["clips"] is None else str(line["clips"]),
        **times,
        "peak memory": "" if line["done"] else amount(line["peak_mb"] * 1e6),
        "disk": "" if line["done"] else amount(line["disk_mb"] * 1e6),
        "GPU memory": f"{line['gpu_mb'] / 1e3:.1f} GB" if line["gpu_mb"] else "–",
        "slowest step": "" if line["done"] else f"{line['slowest']} {line['slowest_share']:.0%}",
    }


def show_truth(lines: list[Line], truth: dict[str, Any], asked: int) -> None:
    """Estimate, what the run that is done took, and their ratio. UserError where nothing can be compared."""
    rows, ours, theirs = [], 0.0, 0.0
    for line in lines:
        took = truth["parts"].get(line["job"])
        if not took:
            continue
        seconds, memory, disk = line["seconds"][str(asked)], line["peak_mb"] * 1e6, line["disk_mb"] * 1e6
        ours, theirs = ours + seconds, theirs + took["seconds"]
        rows.append(
            {
                "job": line["job"],
                "clips": "" if line["clips"] is None else str(line["clips"]),
                "estimate": f"{seconds:.1f} s",
                "took": f"{took['seconds']:.1f} s",
                "ratio": _ratio(seconds, took["seconds"]),
                "memory, estimate": amount(memory),
                "memory": amount(took["peak_mb"] * 1e6),
                "memory ratio": _ratio(memory, took["peak_mb"] * 1e6),
                "disk, estimate": amount(disk),
                "disk": amount(took["bytes"]),
                "disk ratio": _ratio(disk, took["bytes"]),
            }
        )
    if not rows:
        raise UserError("that run has no finished part to compare with", "--against RUNS/RUN of a run that is done")
    total = {"estimate": f"{ours:.1f} s", "took": f"{theirs:.1f} s", "ratio": _ratio(ours, theirs)}
    rows.append({**dict.fromkeys(rows[0], ""), "job": "all", **total})
    table(f"Estimate and what it took, {asked} workers (training: for the epochs that it went)", rows)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs else ""


def remarks(run: Run, lines: list[Line], crowded: bool) -> list[str]:
    """What is to be known of these numbers, and what does not fit."""
    said, cores, todo = [], usable_cores(), [line for line in lines if not line["done"]]
    needed, free = sum(line["disk_mb"] for line in todo) * 1e6, free_bytes(run.runs)
    if needed > free:
        said.append(f"! the disk of {run.runs} has not enough room: {amount(free)} free, {amount(needed)} needed")
    limit = run.config.runtime.memory_gb * 1e9 or usable_memory() / 2
    for line in todo:
        wanted = line["peak_mb"] * 1e6
        if wanted > limit:
            mend = "fewer WORKERS, or more runtime.memory_gb"
            said.append(f"! {line['job']} wants {amount(wanted)} of memory, more than its {amount(limit)}: {mend}")
        if line["epoch_seconds"]:
            each = f"{span(line['epoch_seconds'])} an epoch, {line['epochs']}"
            said.append(f"{line['job']}: {each} at most; it ends earlier where *select* gets no better")
    if max(*AT, run.workers) > cores:
        said.append(f"this machine lets us use {cores} cores: more workers than that bring nothing here")
    if crowded:
        said.append(
            "others used the cores during the probe: the rests that it made for them do not count, but what they "
            "slowed down does"
        )
    return said
