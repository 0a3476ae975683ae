"""Our jobs beside what others take for the same work, on one core: what `make bench` runs, in under four minutes.

    python -m bench.speed [--rounds 3] [--rates 16000 32000] [--json FILE]

Rivals take turns within each round; a figure is the median of the rounds, its spread (highest - lowest) / median.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from app.audio.denoise import WINDOW_S, _quietest, gate
from app.audio.io import from_int16, to_int16
from app.config import ExtractConfig
from app.features.writer import FeatureWriter
from app.runtime.machine import keep_freed_memory
from bench import rivals
from bench.accuracy import against_pyin, against_the_truth
from bench.answering import AT_ONCE, answering
from bench.facts import about_this_machine
from bench.road import Road
from bench.sounds import Wave, real_voices
from jobs.terminal import table

CLIPS = 6  # a round; pyin takes half a second for each
REDUCTION = 0.7


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", type=int, nargs="+", default=[16000, 32000], metavar="HZ")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/speed.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    keep_freed_memory()  # as a worker does
    cores = os.sched_getaffinity(0)
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="bench-speed-"))
    told: dict[str, Any] = {"machine": about_this_machine(folder), "versions": _versions(), "rates": {}}
    try:
        for rate in args.rates:
            told["rates"][rate] = measure(rate, args.rounds, folder, cores)
            show(rate, told["rates"][rate])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told["seconds"] = round(time.monotonic() - began)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print("  ".join(f"{key} {value}" for key, value in {**told["machine"], **told["versions"]}.items()))
    print(f"{args.rounds} rounds, one core, {told['seconds']} s; all figures: {args.json}")
    return 0


def measure(rate: int, rounds: int, folder: Path, cores: set[int]) -> dict[str, Any]:
    """{"rows": [...], "pitch": [...], "truth": [...]} at one sample rate."""
    _say(f"{rate} Hz: preparing")
    road_folder = folder / str(rate)
    road_folder.mkdir()
    os.sched_setaffinity(0, cores)
    road = Road(road_folder, rate)
    os.sched_setaffinity(0, {min(cores)})
    clips = real_voices(CLIPS, rate)
    whole = _mapped(clips, rate, road_folder)
    one_by_one, together = answering(clips, rate)
    works: dict[str, Callable[[], object]] = {
        "users' way": lambda: rivals.users_way(clips, rate),
        "extract": whole,
        "pyin": lambda: [rivals.pyin(clip, rate) for clip in clips],
        "yin": lambda: [rivals.yin(clip, rate) for clip in clips],
        "praat": lambda: [rivals.praat(clip, rate) for clip in clips],
        "pitch": lambda: [rivals.ours(clip, rate) for clip in clips * 8],
        "noisereduce": lambda: [_noisereduce(clip, rate) for clip in clips],
        "gate": lambda: [gate(clip, rate, stationary=True, reduction=REDUCTION) for clip in clips * 4],
        "decoding": road.decode,
        "road": road.walk,
        "one by one": one_by_one,
        "together": together,
    }
    units: dict[str, float] = {
        **dict.fromkeys(works, float(CLIPS)),
        "extract": 8 * CLIPS,
        "pitch": 8 * CLIPS,
        "gate": 4 * CLIPS,
    }
    units |= {"decoding": len(road.sources), "road": len(road.planned)}
    units |= {"one by one": AT_ONCE, "together": AT_ONCE}
    took: dict[str, list[float]] = {name: [] for name in works}
    for name in ("extract", "pitch", "gate", "pyin", "noisereduce", "road", "together"):
        works[name]()  # compiled, and warm
    for number in range(rounds):
        _say(f"{rate} Hz: round {number + 1} of {rounds}")
        for name, work in works.items():
            start = time.perf_counter()
            work()
            took[name].append(1000 * (time.perf_counter() - start) / units[name])
    _say(f"{rate} Hz: how right the pitch is")
    return {
        "rows": [
            _row("extract, all features", "users' way", took["users' way"], took["extract"], 40),
            _row("pitch and voicing", "librosa.pyin", took["pyin"], took["pitch"], 80),
            _row("pitch", "librosa.yin", took["yin"], took["pitch"]),
            _row("pitch and voicing", "Praat", took["praat"], took["pitch"]),
            _row("denoise", "noisereduce", took["noisereduce"], took["gate"], 5),
            _row("Ogg to features", "decoding alone", took["decoding"], took["road"], 1 / 8),
            _row(f"network, {AT_ONCE} windows at once", "one by one", took["one by one"], took["together"]),
        ],
        "difference_db": _difference_db(clips, rate),
        "pitch": against_pyin(rate),
        "truth": against_the_truth(rate),
    }


def show(rate: int, found: dict[str, Any]) -> None:
    shown = [
        {
            f"{rate} Hz, 5-s clips": row["what"],
            "against": row["against"],
            "theirs": f"{row['theirs_ms']:.1f} ms",
            "ours": f"{row['ours_ms']:.2f} ms",
            "spread": f"{row['spread']:.0%}",
            "times": f"{row['times']:.1f}" if row["times"] >= 1 else f"1/{1 / row['times']:.1f}",
            "target": ""
            if not row["target"]
            else f"{row['target']:g}"
            if row["target"] >= 1
            else f"1/{1 / row['target']:g}",
            "": "" if not row["target"] else "met" if row["times"] >= row["target"] else "MISSED",
        }
        for row in found["rows"]
    ]
    table("Time a clip, one core", shown)
    print(f"denoise differs from noisereduce by {found['difference_db']:.0f} dB at most", file=sys.stderr)
    table("Pitch on clean real voices, against librosa.pyin", found["pitch"])
    table("Pitch on synthetic voices, against their true F0", found["truth"])


def _row(
    what: str, against: str, theirs: list[float], ours: list[float], target: float | None = None
) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return {
        "what": what,
        "against": against,
        "theirs_ms": median(theirs),
        "ours_ms": median(ours),
        "times": median(ratios),
        "spread": (max(ratios) - min(ratios)) / median(ratios),
        "target": target,
    }


def _mapped(clips: list[Wave], rate: int, folder: Path) -> Callable[[], None]:
    """Reads int16 from a mapped file and stores features, as a worker does."""
    many = clips * 8
    path = folder / "clips.npy"
    np.save(path, np.stack([to_int16(clip) for clip in many]))
    cfg = ExtractConfig(mel_hz=(40.0, 7600.0 if rate == 16000 else 14000.0))

    def extract() -> None:
        stored = np.load(path, mmap_mode="r")
        out = folder / "features"
        out.mkdir()
        with FeatureWriter(out, stored.shape[1], rate, cfg) as writer:
            for clip in stored:
                writer.add(from_int16(clip))
        shutil.rmtree(out)

    return extract


def _noisereduce(clip: Wave, rate: int) -> Wave:
    window = 2 ** round(np.log2(WINDOW_S * rate))
    gated: Wave = rivals.noisereduce.reduce_noise(
        clip, rate, y_noise=_quietest(clip, window), stationary=True, prop_decrease=REDUCTION, n_fft=window,
        padding=4 * window,
    )  # fmt: skip
    return gated


def _difference_db(clips: list[Wave], rate: int) -> float:
    found = []
    for clip in clips:
        theirs = _noisereduce(clip, rate)
        error = np.mean(np.square(gate(clip, rate, stationary=True, reduction=REDUCTION) - theirs, dtype=np.float64))
        found.append(10 * np.log10(error / np.mean(np.square(theirs, dtype=np.float64))))
    return float(max(found))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("librosa", "noisereduce", "praat-parselmouth", "torch", "numba", "numpy")}


def _say(line: str) -> None:
    print(f"bench  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
