"""Golden values: what a stage computes may change only together with its version in jobs/chain.py.

`python -m tests.jobs.test_golden` writes them anew, after a version was raised.
"""

import json
from pathlib import Path

import numpy as np
import torch

from app.audio.chain import through_chain
from app.audio.denoise import gate
from app.audio.mix import render
from app.config import Augmentations, Config, ExtractConfig, MixConfig
from app.corpora.plan import Planner
from app.features.extract import compute
from jobs.chain import PARTS

GOLDEN = Path(__file__).with_name("golden.json")
RATE = 16000
CHAINS = (1, 2, 3, 4)  # seeds of some that pass no codec


def voice(seed: int, hz: float) -> np.ndarray:
    rng, time = np.random.default_rng(seed), np.arange(3 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 9)) * (1 + np.sin(2 * np.pi * 2 * time))
    return (0.05 * tone + rng.normal(0, 0.003, len(time))).astype(np.float32)


def row(real: int, n: int) -> dict[str, object]:
    known = {"speaker": f"s{real}{n}", "attack": "bonafide" if real else "e/v", "active": "9" * 30}
    return {"id": f"{'FR'[real]}{n}", "fake": 1 - real, "real": real, "num_samples": 3 * RATE, **known}


def computed() -> dict[str, object]:
    rows = [row(real, n) for real in (0, 1) for n in range(3)]
    bank = [{"id": f"{row['id']}@0", "fake": row["fake"]} for row in rows]
    plan = list(Planner("train", rows, bank, MixConfig(), RATE, seed=1).draw(8, Augmentations()))
    sounds = {row["id"]: voice(n, 100.0 + 20 * n) for n, row in enumerate(rows)}
    clips = [render(recipe, sounds.__getitem__, lambda id: sounds[id[:2]][:4000], RATE) for _, recipe in plan]
    cfg = ExtractConfig(mel_hz=(40.0, 7600.0))
    # Opus answers a last bit, which other libraries round otherwise, with another choice of its encoder
    steady = [clip for clip, (_, recipe) in zip(clips, plan) if recipe.codec != "opus"]
    chained = [through_chain(sounds["R1"], RATE, np.random.default_rng(seed)) for seed in CHAINS]
    features = compute(torch.from_numpy(np.stack(steady[:2])), RATE, cfg)
    gated = gate(sounds["F0"], RATE, stationary=True, reduction=Config().denoise.reduction)
    return {
        "versions": {name: part.version for name, part in PARTS.items()},
        "plan": [[state, recipe.seed, len(recipe.voices), recipe.codec, recipe.noise] for state, recipe in plan],
        "snr_db": [recipe.snr_db for _, recipe in plan],
        "clips_rms": [float(np.sqrt(np.square(clip).mean())) for clip in steady],
        "clips_at": [float(clip[20000]) for clip in steady],
        "chained_rms": [float(np.sqrt(np.square(clip).mean())) for clip in chained],
        "chained_at": [float(clip[20000]) for clip in chained],
        "gated_rms": float(np.sqrt(np.square(gated).mean())),
        "mel": features.mel.mean((0, 2)).tolist(),
        "temporal": features.temporal.mean((0, 2)).tolist(),
    }


def test_what_a_stage_computes_is_what_its_version_stands_for():
    golden, now = json.loads(GOLDEN.read_text()), computed()
    advice = "raise the version in jobs/chain.py, then: python -m tests.jobs.test_golden"
    assert now["versions"] == golden["versions"], advice
    assert json.loads(json.dumps(now["plan"])) == golden["plan"], advice
    for key in ("snr_db", "clips_rms", "chained_rms", "gated_rms", "mel", "temporal"):
        np.testing.assert_allclose(now[key], golden[key], rtol=1e-3, atol=1e-6, err_msg=f"{key}: {advice}")
    for key in ("clips_at", "chained_at"):
        np.testing.assert_allclose(now[key], golden[key], atol=2e-3, err_msg=f"{key}: {advice}")


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(computed(), indent=1) + "\n")
