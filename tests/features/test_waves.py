"""Waveforms on disk and back."""

import json

import numpy as np
import pytest
import torch

from app.features.batches import Waves
from app.features.store import STORES, Waveforms
from app.features.waves import WaveWriter, wave_bytes

RATE, SAMPLES = 16000, 4000


@pytest.fixture
def stage(tmp_path):
    """Five windows in two shards, the second and the last of them short."""
    rng, waves = np.random.default_rng(0), []
    for shard, lengths in (("00000", [4000, 1234, 4000]), ("00001", [4000, 1])):
        folder = tmp_path / "shards" / shard
        folder.mkdir(parents=True)
        with WaveWriter(folder, SAMPLES) as writer:
            for length in lengths:
                waves.append(rng.uniform(-1, 1, length).astype(np.float32))
                writer.add(waves[-1])
        rows = [
            {"id": f"{shard}-{n}", "recording": f"{shard}-{n}", "split": "train" if n else "select", "fake": n % 2,
             "real": 1, "shard": shard}
            for n in range(len(lengths))
        ]  # fmt: skip
        (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "failed.jsonl").write_text("")
        files = {p.name: {"bytes": p.stat().st_size, "sha256": ""} for p in folder.iterdir()}
        (folder / "receipt.json").write_text(json.dumps({"files": files, "rows": len(rows), "failed": 0}))
    return tmp_path, waves


def test_what_was_written_is_read_to_half_a_step(stage):
    folder, waves = stage
    store = Waveforms(folder)
    assert len(store) == 5 and STORES["waves"] is Waveforms
    batch = store.batch(np.arange(5))
    assert batch.wave.shape == (5, SAMPLES) and batch.wave.dtype == torch.float32 and batch.padded
    assert batch.frames.tolist() == [4000, 1234, 4000, 4000, 1] == [len(wave) for wave in waves]
    for row, wave in zip(batch.wave.numpy(), waves, strict=True):
        assert row[: len(wave)] == pytest.approx(wave, abs=1 / 32768) and not row[len(wave) :].any()
    assert batch.targets[1].tolist() == [1, 1] and [row.split for row in store.rows] == ["select", "train", "train"] + [
        "select", "train",
    ]  # fmt: skip
    assert store.stored_batch(np.arange(2)).wave.dtype == torch.int16
    assert store.clip_bytes() == SAMPLES * 2 + 8 + 8 and not store.batch(np.array([0, 2])).padded


def test_splits_and_shards_are_chosen(stage):
    folder, waves = stage
    train = Waveforms(folder, ("train",))
    assert [row.id for row in train.rows] == ["00000-1", "00000-2", "00001-1"]
    assert train.batch(np.array([1])).wave[0].numpy() == pytest.approx(waves[2], abs=1e-4)
    assert len(Waveforms(folder, shard="00001")) == 2


def test_bytes_on_disk_are_as_foretold(stage):
    files = list((stage[0] / "shards").glob("*/*.npy"))
    assert sum(p.stat().st_size for p in files) == 5 * wave_bytes(SAMPLES) + len(files) * 128


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_moves_and_is_parted(dtype):
    batch = Waves(torch.full((3, 8), -32768, dtype=torch.int16), torch.full((3,), 8), torch.zeros(3, 2))
    there = batch.to(torch.device("cpu"), dtype)
    assert there.wave.dtype == there.targets.dtype == dtype and there.frames.dtype == torch.int64
    assert (there.wave == -1).all()
    assert there.part(1, 1).wave.shape == (1, 8) and torch.equal(there.to(torch.device("cpu"), dtype).wave, there.wave)
