"""One file for whoever helps: doctor, status, ends of logs, config, stages and failures of a run, without secrets."""

import argparse
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from app.driver import in_a_container
from app.errors import ACT, DONE, UserError
from app.runtime.files import read_json, read_lines
from jobs.masking import MASK, Masker
from jobs.status import asked_run, no_job, tasks_under

ROOT = Path(__file__).resolve().parents[1]
LINES = 200  # of the end of each log
LINE_BYTES = 500  # about; a log's end is looked for in LINES times this
OURS = (
    "CONFIG", "RUN", "DATA", "RUNS", "WORKERS", "DEVICE", "INPUT", "FINAL", "JOB", "GPU", "MAX_GPUS", "RUNNER",
    "BUDGET", "DETACH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LANG",
)  # fmt: skip


def main() -> int:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.help_bundle", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--run", default=asked_run(), help="the run (RUN); default: the one that worked last")
    parser.add_argument("--out", default=env("OUT") or None, help="the file to write (OUT); default: in RUNS")
    args = parser.parse_args()
    runs = Path(args.runs)
    try:
        run = args.run or _newest(runs)
        name = f"help-{run or 'none'}-{time.strftime('%Y%m%d-%H%M%S')}"
        path = Path(args.out) if args.out else runs / f"{name}.tar.gz"
        texts = texts_of(runs, run)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, name, texts)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", "OUT=FILE.tar.gz: a place that you may write to") from None
    except UserError as error:
        print(f"help-bundle: {error}", file=sys.stderr)
        return ACT
    for file, text in texts.items():
        print(f"  {file:32} {len(text.encode()):>8} bytes", file=sys.stderr)
    print(f"help-bundle: {path} ({path.stat().st_size} bytes)", file=sys.stderr)
    print(
        "  names, addresses and what looks like a secret are masked, and no recording is in it, but ids of clips are: "
        f"look at it before you send it\n  tar -xzf {path} -C /tmp && ls /tmp/{name}",
        file=sys.stderr,
    )
    return DONE


def texts_of(runs: Path, run: str | None) -> dict[str, str]:
    """File name -> text, masked. Raises UserError where `run` has no folder."""
    folder = runs / run if run else None
    if folder and not folder.is_dir():
        there = sorted(path.parent.name for path in runs.glob("*/config.yaml"))
        raise UserError(f"run {run} has no folder in {runs}", f"RUN=NAME; there are: {', '.join(there) or 'none'}")
    config, secrets = _config(folder)
    texts = {
        "doctor.txt": _said([sys.executable, str(ROOT / "app/host/doctor.py"), "--look"]),
        **_doctor_outside(runs),
        "versions.txt": _versions(),
        "environment.txt": "".join(f"{name}={os.environ[name]}\n" for name in OURS if os.environ.get(name)),
    }
    data: dict[str, Any] = {"status.json": tasks_under(runs)}
    if folder:
        stages = read_json(folder / "stages.json") or {}
        data["stages.json"] = stages
        data["failed.json"] = {part: _causes(runs / "stages" / stage) for part, stage in stages.items()}
        for stage in sorted(set(stages.values())):
            data[f"stages/{stage}.json"] = read_json(runs / "stages" / stage / "stage.json")
        texts["config.yaml"] = config
        for log in sorted(folder.glob("logs/*.log")):
            texts[f"logs/{log.name}"] = _end_of(log)
    masker = Masker(secrets)
    texts = {name: masker(text) for name, text in texts.items()}
    texts |= {name: json.dumps(masker.data(value), indent=1, ensure_ascii=False) for name, value in data.items()}
    return {masker(name): texts[name] for name in sorted(texts)}


def _config(folder: Path | None) -> tuple[str, list[str]]:
    """The run's config without runtime.notify, and that command: it may hold the address of somebody's channel."""
    if not folder:
        return "", []
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        command = values["runtime"].get("notify")
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return "cannot be read\n", []  # not as it stands: what cannot be read cannot be masked either
    if not command:
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True), []
    values["runtime"]["notify"] = MASK
    # its words too: a shell's complaint repeats them one by one
    words = [word.strip("'\"") for word in str(command).split() if len(word) > 11]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True), [str(command), *words]


def _causes(stage: Path) -> dict[str, int]:
    files = stage.glob("shards/*/failed.jsonl")
    return dict(Counter(str(row.get("cause")) for file in files for row in read_lines(file)).most_common())


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LINES * LINE_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-LINES:]) + "\n"


def _versions() -> str:
    commit = _said(["git", "rev-parse", "HEAD"]).strip()
    changed = _said(["git", "status", "--short", "--untracked-files=no"]).splitlines()
    where = f"commit {commit}, {len(changed)} files changed" if len(commit) in (40, 64) else "no git commit"
    packages = sorted({f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name})
    return "\n".join([where, f"python=={platform.python_version()}", *packages, ""])


def _doctor_outside(runs: Path) -> dict[str, str]:
    """When we are in a container: what the launcher has seen outside of it."""
    try:
        return {"doctor-host.txt": (runs / ".doctor.txt").read_text()} if in_a_container() else {}
    except OSError:
        return {}


def _said(words: list[str]) -> str:
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{words[0]}: {error}\n"
    return done.stdout if done.returncode == 0 or done.stdout else done.stderr


def _newest(runs: Path) -> str | None:
    logs = sorted(runs.glob("*/logs/*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].parent.parent.name if logs else None


def _write(path: Path, name: str, texts: dict[str, str]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        with tarfile.open(draft, "w:gz") as archive:
            for file, text in texts.items():
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"{name}/{file}")  # without owner and group
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
                archive.addfile(entry, io.BytesIO(data))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
