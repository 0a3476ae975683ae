"""The whole road on one core: Ogg files, denoised, mixed and their features stored, by the code of the jobs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile
import yaml

from app.config import load_config
from app.corpora.manifest import TRAIN_SPLITS, by_split
from app.runtime.shards import Shard, commit, rows_of
from bench.sounds import CLIP_S, DEMO, tiled
from jobs.denoise import denoise_shard
from jobs.extract import extract_mixes
from jobs.mix import recipes_of

ROOT = Path(__file__).resolve().parents[1]


class Road:
    """Prepared and planned once by the jobs themselves; as many planned clips as there are sources, all of 5 s.

    The sources are the demo's, each going on from its start, as Ogg Vorbis at the rate that is measured.
    """

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.folder, self.data = folder, _corpus(folder / "data", sample_rate)
        top = 7600.0 if sample_rate == 16000 else 14000.0
        config = {
            "sample_rate": sample_rate,
            "mix": {"train_clips": 106, "valid_clips": 44},
            "extract": {"mel_hz": [40.0, top]},
            "runtime": {"yield_to_others": False, "device": "cpu"},
        }
        path = folder / "road.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        self.config = load_config(path)
        for job in ("prepare", "denoise", "mix"):
            words = ["--config", str(path), "--run", "road", "--data", str(self.data), "--runs", str(folder / "runs")]
            env = {**os.environ, "WORKERS": "2"}
            done = subprocess.run(
                [sys.executable, "-m", f"jobs.{job}", *words],
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(done.stderr)
        stages = folder / "runs" / "road" / "stages"
        self.sources = list(by_split(rows_of(stages / "prepare", shard="manifest"), *TRAIN_SPLITS))
        plan = zip(rows_of(stages / "mix"), recipes_of(stages / "mix"), strict=True)
        self.planned = [{"id": row["id"], "manifest": row, "recipe": recipe} for row, recipe in plan]

    def decode(self) -> None:
        """The floor: every source once, and nothing else."""
        for row in self.sources:
            soundfile.read(self.data / row["path"], dtype="float32")

    def walk(self) -> None:
        """Denoise, render and extract, each shard committed as by a worker."""
        made = self.folder / "made"
        try:
            with commit(made / "denoise" / "shards", "00000") as out:
                denoise_shard(Shard("00000", self.sources), out, self.data, self.config)
            with commit(made / "extract" / "shards", "00000") as out:
                extract_mixes(Shard("00000", self.planned), out, made / "denoise", None, self.config, "extract", 1.0)
        finally:
            from app.corpora.sounds import sounds_of

            sounds_of.cache_clear()
            shutil.rmtree(made, ignore_errors=True)


def _corpus(folder: Path, sample_rate: int) -> Path:
    """The demo with longer recordings to train on."""
    shutil.copytree(DEMO, folder)
    for path in sorted((folder / "train").iterdir()):
        soundfile.write(path, tiled(path, sample_rate, CLIP_S), sample_rate, format="OGG", subtype="VORBIS")
    return folder
