"""Hands jobs to Slurm: one sbatch file each in RUNS/RUN/slurm, arrays over shards, each after the one before it."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from app.config.cluster import ClusterConfig, read_cluster
from app.errors import UserError
from app.runtime.asked import whole
from app.runtime.files import write_atomic
from app.runtime.late_disk import AFTER
from app.runtime.part import IN_PARTS
from app.runtime.queue import SUBMITTED, queued
from app.runtime.run import Run, open_run
from app.runtime.tell import tell
from jobs.pack import guarded

ROOT = Path(__file__).resolve().parents[1]
PASSED_ON = ("CONFIG", "RUN", "DATA", "RUNS", "DEVICE", "INPUT", "FINAL", "CSV", "PLOT", "GPUS", "MAX_GPUS", "UMASK",
             "CUDA", "VENV_DIR", "TORCH_HOME", "BUDGET", "N")  # fmt: skip
AS = {"ladder": "train", "sweep": "train", "seeds": "train", "report": "evaluate"}  # whose allocation they get
LINGER_S = 180  # longer than a network's disk may need to show that the job is over
JOIN = {"cpus": 1, "gpus": 0, "tasks": 1, "nodes": 1}


class Piece(NamedTuple):
    """One sbatch file."""

    name: str  # extract, extract-join
    job: str
    how: dict[str, Any]  # its allocation


def main() -> None:
    words = [word for word in sys.argv[1:] if word]
    sys.argv[1:] = []
    run = open_run("submit", __doc__ or "", None)
    cluster = read_cluster(Path(os.environ.get("CLUSTER") or ROOT / "configs/cluster.yaml"))
    pieces = [piece for job in words for piece in pieces_of(job, cluster, run.config.runtime.workers)]
    folder = run.folder / "slurm"
    folder.mkdir(exist_ok=True)
    # `make denoise mix` comes here twice: what this run has in the queue comes first
    before = list(dict.fromkeys(one.id.split("_")[0] for one in queued(run.runs, run.name)))
    told = []
    for piece in pieces:
        path = folder / f"{piece.name}.sbatch"
        path.with_suffix(".STOP").unlink(missing_ok=True)
        write_atomic(path, script(run, piece, cluster))
        before.append(_submit(path, before))
        row = {"id": before[-1], "name": piece.name, "job": piece.job, "tasks": piece.how["tasks"], "when": time.time()}
        with (folder / SUBMITTED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        many = next((f", {piece.how[key]} {key}" for key in ("tasks", "nodes") if piece.how[key] > 1), "")
        told.append(f"{piece.name} {before[-1]}{many}")
    tell(f"submit  {'; '.join(told)}")
    which = f"RUN={run.name}" + ("" if str(run.runs) == "runs" else f" RUNS={run.runs}")
    tell(f"  state:  make status {which}\n  follow: make logs JOB={words[0]} {which}\n  stop:   make stop {which}")
    tell(f"  files:  {folder}/*.sbatch, logs beside: {run.folder / 'logs'}/slurm-*.log")


def pieces_of(job: str, cluster: ClusterConfig, workers: int = 0) -> list[Piece]:
    """An array and who looks that all of it is there, or the job alone. workers: as asked for; 0: as many as cpus."""
    how = cluster.of(AS.get(job, job))
    how["cpus"] = workers or how["cpus"]
    if AS.get(job, job) == "train":
        how["nodes"] = whole("NODES") or how["nodes"]
        gpus = (os.environ.get("GPUS") or "all").replace("none", "0")  # a number: of each node
        how["gpus"] = int(gpus) if gpus.isdigit() else how["gpus"]
    if os.environ.get("INPUT") == "-":
        raise UserError("INPUT=-: a pipe does not reach a node of the cluster", "INPUT=FILE, or RUNNER=local")
    if job not in IN_PARTS or how["tasks"] == 1 or os.environ.get("INPUT"):
        return [Piece(job, job, {**how, "tasks": 1})]
    return [Piece(job, job, how), Piece(f"{job}-join", job, {**how, **JOIN})]


def script(run: Run, piece: Piece, cluster: ClusterConfig) -> str:
    """The sbatch file."""
    templates = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = templates.from_string((Path(__file__).with_name("sbatch.j2")).read_text(encoding="utf-8"))
    known = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    known |= {"RUN": run.name, "WORKERS": str(piece.how["cpus"]), AFTER: "1"}
    return template.render(
        job=piece.name,
        run=run.name,
        options=options(run, piece, cluster),
        root=shlex.quote(str(ROOT)),
        environment={name: shlex.quote(value) for name, value in known.items()},
        before=cluster.before,
        step=step(piece.how["nodes"], piece.how["cpus"]),
        command=" ".join(command(run, piece, cluster)),
        folder=shlex.quote(str((run.folder / "slurm").resolve())),
        requeues=cluster.requeues,
        ended=shlex.quote(str(run.folder.resolve() / f".nodes-{piece.job}-")) if piece.how["nodes"] > 1 else "",
    )


def step(nodes: int, cpus: int) -> str:
    """srun, with all that it would else inherit, or not (cpus). Who helps is ended when the job has long been over."""
    wait = f" --wait={LINGER_S}" if nodes > 1 else ""
    return f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --cpus-per-task={cpus}{wait}"


def options(run: Run, piece: Piece, cluster: ClusterConfig) -> list[str]:
    """Of sbatch."""
    how = piece.how
    log = (run.folder / "logs").resolve() / f"slurm-{piece.name}-{'%A_%a' if how['tasks'] > 1 else '%j'}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    found = [f"--job-name=moksori-{run.name}-{piece.name}", f"--output={log}", "--open-mode=append", "--requeue"]
    found += ["--kill-on-invalid-dep=yes", f"--signal=B:USR1@{cluster.warn_s}", f"--nodes={how['nodes']}"]
    found += ["--ntasks-per-node=1", f"--cpus-per-task={how['cpus']}", f"--mem={round(1024 * how['memory_gb'])}M"]
    found += [f"--array=0-{how['tasks'] - 1}"] if how["tasks"] > 1 else []
    found += [f"--{key}={how[key]}" for key in ("time", "partition", "account", "qos") if how[key]]
    found += [cluster.gpus_by.format(gpus=how["gpus"])] if how["gpus"] else []
    return found + list(how["sbatch"] or ())


def command(run: Run, piece: Piece, cluster: ClusterConfig) -> list[str]:
    """What srun starts: the job, in what `cluster.runtime` says."""
    memory_gb = min(run.config.runtime.memory_gb or 1e9, 0.9 * piece.how["memory_gb"])  # what it is killed for is more
    settings = {"memory_gb": f"{memory_gb:.3g}", "yield_to_others": str(cluster.yield_to_others).lower()}
    if piece.how["gpus"]:
        settings["max_gpus"] = str(piece.how["gpus"])
    words = ["-m", f"jobs.{piece.job}", *(f"--set runtime.{key}={value}" for key, value in settings.items())]
    if piece.how["tasks"] > 1:
        words += ["--part", f'"$SLURM_ARRAY_TASK_ID/{piece.how["tasks"]}"']
    if piece.name.endswith("-join"):
        words += ["--join"]
    if piece.how["nodes"] > 1:
        words += ["--node", str(piece.how["nodes"])]
    if cluster.runtime == "venv":
        return [shlex.quote(str(ROOT / (os.environ.get("VENV_DIR") or ".venv") / "bin/python")), *words]
    if not cluster.image:
        raise UserError(
            f"runtime: {cluster.runtime}, but image: null",
            "image: moksori.sif; docs/containers.md tells how one is made",
        )
    places = {str(ROOT), str(run.runs.resolve()), str(run.data.resolve()), *cluster.mounts}
    if cluster.runtime == "apptainer":
        nv = ["--nv"] if piece.how["gpus"] else []
        binds = [word for place in sorted(places) for word in ("--bind", shlex.quote(place))]
        return ["apptainer", "exec", *nv, *binds, "--pwd", shlex.quote(str(ROOT)), shlex.quote(cluster.image), "python",
                *words]  # fmt: skip
    gpus = ["--device", "nvidia.com/gpu=all"] if piece.how["gpus"] else []
    binds = [word for place in sorted(places) for word in ("-v", shlex.quote(f"{place}:{place}"))]
    network = "none" if piece.how["nodes"] == 1 else "host"
    return ["podman", "run", "--rm", "--init", f"--network={network}", "--env-host", *gpus, *binds, "-w",
            shlex.quote(str(ROOT)), shlex.quote(cluster.image), "python", *words]  # fmt: skip


def _submit(path: Path, before: list[str]) -> str:
    """The job's id. before: all that must be done."""
    after = [f"--dependency=afterok:{':'.join(before)}"] if before else []
    words = ["sbatch", "--parsable", *after, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"{path}: sbatch refused it: {done.stderr.strip()}",
            "mend configs/cluster.yaml (or CLUSTER=FILE); what was handed over before it: make stop",
        )
    return done.stdout.strip().split(";")[0]


if __name__ == "__main__":
    sys.exit(guarded("submit", main))
