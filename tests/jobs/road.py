"""A small corpus with real recordings and broken ones, and the jobs as a user calls them."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "data" / "demo"
JOBS = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate")

CONFIG = """
sample_rate: 16000
prepare: {valid_fraction: 0.4, shard_clips: 60}
denoise: {shard_clips: 40}
mix: {train_clips: 96, valid_clips: 48, shard_clips: 60}
extract: {mel_hz: [40, 7600], shard_clips: 32}
train: {epochs: 2, batch_clips: 16, cnn_channels: [4, 8], rnn_hidden: 8}
evaluate: {bootstrap: 20}
runtime: {nice: 0, yield_to_others: false}
"""

BROKEN = {  # id -> cause in failed.jsonl
    "NOTTHERE": "missing",
    "NOBYTES": "empty",
    "NOTAUDIO": "unreadable",
    "NOTFINITE": "non-finite",
    "ALLSILENT": "silent",
    "TOOSHORT": "too short",
}


def make_corpus(folder: Path) -> Path:
    """The demo corpus, with six broken training clips and a good one in 44.1-kHz stereo."""
    shutil.copytree(DEMO, folder)
    train = folder / "train"
    (train / "NOBYTES.ogg").touch()
    (train / "NOTAUDIO.ogg").write_bytes(b"this is no recording" * 50)
    soundfile.write(train / "NOTFINITE.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    soundfile.write(train / "ALLSILENT.wav", np.zeros(16000), 16000)
    soundfile.write(train / "TOOSHORT.wav", np.random.default_rng(0).normal(0, 0.1, 800), 16000)
    time = np.arange(2 * 44100) / 44100
    voice = 0.2 * np.sin(2 * np.pi * 200 * time) * (1 + np.sin(2 * np.pi * 3 * time))
    soundfile.write(train / "STEREO.wav", np.stack([voice, 0.5 * voice], 1), 44100)
    with (folder / "train.csv").open("a", newline="") as file:
        for path in [*(f"{id}.ogg" for id in ("NOTTHERE", "NOBYTES", "NOTAUDIO")), "NOTFINITE.wav", "ALLSILENT.wav"]:
            csv.writer(file).writerow([path.split(".")[0], f"./train/{path}", "real"])
        csv.writer(file).writerow(["TOOSHORT", "./train/TOOSHORT.wav", "fake"])
        csv.writer(file).writerow(["STEREO", "./train/STEREO.wav", "fake"])
    with (folder / "meta.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["STEREO", "tone", "tone", "en", "", "", "", ""])
    return folder


def command(job: str, config: Path, data: Path, runs: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", f"jobs.{job}", "--config", str(config), "--run", "road",
        "--data", str(data), "--runs", str(runs), "--workers", "2", *more,
    ]  # fmt: skip


def call(job: str, config: Path, data: Path, runs: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The job in a process of its own, as make does it."""
    clean = {k: v for k, v in os.environ.items() if k not in ("CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL")}
    return subprocess.run(
        command(job, config, data, runs, *more),
        cwd=ROOT,
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def files_under(folder: Path) -> dict[str, int]:
    """Every file but status, logs and locks, with the time of its last change."""
    skipped = {"status", "logs"}
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not skipped & set(path.parts) and path.name != "lock"
    }
