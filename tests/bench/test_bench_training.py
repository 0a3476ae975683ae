"""make bench-train runs, on what every model reads, and says what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.config.ladder import LADDER
from bench.training import CLIPS, CONFIG, made_up_stage, trainer

ROOT = Path(__file__).resolve().parents[2]


def test_a_round_of_it_tells_steps_floor_and_pairs(tmp_path):
    words = [
        "--rounds",
        "1",
        "--models",
        "pooled_logistic,pooled_mlp",
        "--device",
        "cpu",
        "--json",
        tmp_path / "told.json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench.training", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    [row] = told["models"]  # what is fitted has no steps
    assert row["model"] == "pooled_mlp" and row["step_s"] > row["floor_s"] > 0 and 0 <= row["waits"] < 1
    assert told["rnn"]["packed"] > 0 and "steps/s" in done.stderr and "RNN without packing" in done.stderr


@pytest.mark.parametrize(
    "name", [name for name, rung in LADDER.items() if "epochs" in rung.keys and name != "ssl_head"]
)
def test_every_network_has_what_it_reads(tmp_path, name):
    """But for ssl_head, whose front end of 300 M random numbers is no matter for a test."""
    stage = made_up_stage(tmp_path / "stage")
    one = trainer(name, stage, tmp_path / name, torch.device("cpu"))
    batch = one.train.batch([0, CLIPS - 1])
    assert one.learner.model.eval()(batch).shape == (2, 2) and batch.targets.isfinite().all()
    assert one.cfg.batch_clips == min(CONFIG.train.batch_clips, getattr(one.learner.model, "clips_at_once", 99))
