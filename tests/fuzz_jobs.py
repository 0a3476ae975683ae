"""A job in a process of its own, watched: how it ended, what time and memory it took, what became of each clip."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[1]
RUN = "fuzz"
LOOK_S = 0.25
DEMO_LIMIT_S = 300.0
CONFIG = """
sample_rate: 16000
prepare: {shard_clips: 100}
denoise: {shard_clips: 50}
extract: {mel_hz: [40, 7600]}
runtime: {max_failed: 1.0, clip_seconds: 60, yield_to_others: false, nice: 0, workers: 2}
"""


class Ran(NamedTuple):
    code: int | None  # None: it did not end in time and was ended
    said: str  # stdout and stderr
    seconds: float
    peak_mb: float  # proportional memory of all its processes
    largest_mb: float  # resident memory of the largest process, at its highest

    def problem(self, codes: tuple[int, ...]) -> str | None:
        """What is wrong with how it ended, if anything."""
        if self.code is None:
            return f"hung: not done after {self.seconds:.0f} s"
        if self.code not in codes:
            return f"exit code {self.code}"
        if "Traceback (most recent call last)" in self.said:
            return "a traceback"
        if self.code == 2 and "fix:" not in self.said:
            return "exit code 2, and no word on what to do"
        return None


def job(name: str, data: Path, runs: Path, limit_s: float) -> Ran:
    runs.mkdir(parents=True, exist_ok=True)
    config = runs / "fuzz.yaml"
    config.write_text(CONFIG)
    words = ["--config", config, "--run", RUN, "--data", data, "--runs", runs]
    return watched([sys.executable, "-m", f"jobs.{name}", *map(str, words)], limit_s)


def watched(command: list[str], limit_s: float) -> Ran:
    """Runs it to its end, or for limit_s seconds at most."""
    clean = {k: v for k, v in os.environ.items() if k not in ("CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL")}
    began, peak, largest = time.monotonic(), 0.0, 0.0
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            while (code := process.poll()) is None and time.monotonic() - began < limit_s:
                shared, alone = _megabytes(process.pid)
                peak, largest = max(peak, shared), max(largest, alone)
                time.sleep(LOOK_S)
        finally:
            if process.returncode is None:  # it hangs, or somebody ends us
                _end(process)
        out.seek(0)
        said = out.read().decode(errors="replace")
    return Ran(code, said, time.monotonic() - began, peak, largest)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started."""
    for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            pass
    process.wait()


def _megabytes(pid: int) -> tuple[float, float]:
    """(proportional memory of the process and its descendants, highest resident memory of any of them so far)."""
    total = largest = 0.0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0, 0.0
    for process in family:
        try:
            total += process.memory_full_info().pss / 1e6
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    largest = max(largest, int(line.split()[1]) * 1024 / 1e6)
        except (psutil.Error, OSError):
            pass  # it has just ended
    return total, largest


def unaccounted(runs: Path, name: str, ids: set[str]) -> tuple[set[str], dict[str, dict[str, Any]], list[str]]:
    """(ids that came out, id -> failed row, what is wrong) of a stage that took in `ids`."""
    out: list[str] = []
    failed: list[dict[str, Any]] = []
    samples = 0
    problems = []
    stage = json.loads((runs / RUN / "stages.json").read_text())[name]
    for shard in sorted(runs.glob(f"stages/{stage}/shards/*")):
        if shard.name == "manifest" or not (shard / "receipt.json").exists():  # made from the others, or a draft
            continue
        rows = [json.loads(line) for line in (shard / "manifest.jsonl").read_text().split("\n") if line]
        out += [row["id"] for row in rows]
        failed += [json.loads(line) for line in (shard / "failed.jsonl").read_text().split("\n") if line]
        samples = sum(row["num_samples"] for row in rows)
        if any(row["num_samples"] < 1 for row in rows):
            problems.append(f"{shard.name} holds clips of no samples")
        if (shard / "audio.npy").exists() and (shard / "audio.npy").stat().st_size != 128 + 2 * samples:
            problems.append(f"{shard.name}/audio.npy does not hold the {samples} samples that its manifest names")
    both = [*out, *(row["id"] for row in failed)]
    if len(both) != len(set(both)):
        problems.append(f"{len(both) - len(set(both))} clips are counted twice")
    if set(both) != ids:
        wrong = sorted(set(both) ^ ids)
        problems.append(f"{len(wrong)} clips are lost or made up: {', '.join(wrong[:5])}")
    if unnamed := [row["id"] for row in failed if not row.get("cause") or "detail" not in row]:
        problems.append(f"failed without a cause: {unnamed[:5]}")
    return set(out), {row["id"]: row for row in failed}, problems
