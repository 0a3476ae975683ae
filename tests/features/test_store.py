"""What is computed is what is read back, window by window."""

import numpy as np
import pytest
import torch
from feature_sounds import white_noise

from app.config import ExtractConfig
from app.errors import UserError
from app.features.extract import channel_names, compute, num_frames
from app.features.store import Features, FeatureWriter
from app.runtime.shards import commit

RATE, SAMPLES = 16000, 8000
CFG = ExtractConfig(mels=20, mel_hz=(40.0, 7600.0), contrast_bands=2, batch_clips=3)
LENGTHS = [8000, 8000, 161, 1, 8000, 4000, 159, 160, 7999, 8000, 320]  # samples
SHARDS = {"00000": range(0, 4), "00001": range(4, 5), "00002": range(5, 11)}
SPLITS = ["train", "select", "train", "calibrate"]
torch.set_num_threads(1)


def wave(number: int) -> np.ndarray:
    return white_noise(number, LENGTHS[number], amplitude=0.02 * (number + 1))


def row(number: int) -> dict:
    known = {"fake": number % 2, "real": None if number in (2, 5) else 1}
    return {"id": f"c{number}", "recording": f"c{number}", "split": SPLITS[number % 4], **known}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """11 windows in three shards; a fourth has failed clips alone, a draft was left by a dead job."""
    stage = tmp_path_factory.mktemp("stage")
    for name, numbers in SHARDS.items():
        with commit(stage / "shards", name) as out:
            writer = FeatureWriter(SAMPLES, RATE, CFG)
            for number in numbers:
                writer.add(wave(number))
                out.done(row(number))
            writer.save(out.path)
    with commit(stage / "shards", "00003") as out:
        FeatureWriter(SAMPLES, RATE, CFG).save(out.path)
        out.fail({"id": "c99"}, "unreadable")
    (stage / "shards" / ".draft-00004-somewhere-1").mkdir()
    return stage


def test_a_shard_holds_three_arrays_that_can_be_memory_mapped(stage):
    for name, numbers in {**SHARDS, "00003": []}.items():
        mel, temporal, frames = (
            np.load(stage / "shards" / name / f"{part}.npy", mmap_mode="r") for part in ("mel", "temporal", "frames")
        )
        assert mel.dtype == np.float16 and mel.shape == (len(numbers), 20, 51)
        assert temporal.dtype == np.float32 and temporal.shape == (len(numbers), len(channel_names(CFG)), 51)
        assert frames.dtype == np.int32 and frames.tolist() == [1 + LENGTHS[number] // 160 for number in numbers]


@pytest.mark.parametrize("number", range(len(LENGTHS)))
def test_a_window_read_is_the_window_computed_alone(stage, number):
    padded = np.pad(wave(number), (0, SAMPLES - LENGTHS[number]))
    expected = compute(torch.from_numpy(padded)[None], RATE, CFG)
    found = Features(stage).batch(np.array([number]))
    assert found.mel.dtype == found.temporal.dtype == torch.float32
    assert (found.mel - expected.mel).abs().max() <= 0.04  # float16 between 64 and 128 dB: steps of 1/16
    torch.testing.assert_close(found.temporal, expected.temporal, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", range(len(LENGTHS)))
def test_the_sound_frames_of_a_short_window_are_those_of_the_clip_itself(stage, number):
    alone = compute(torch.from_numpy(wave(number))[None], RATE, CFG)
    frames = num_frames(LENGTHS[number], RATE, CFG)
    found = Features(stage).batch(np.array([number]))
    assert found.frames.tolist() == [frames] and found.frames.dtype == torch.int64
    assert (found.mel[..., :frames] - alone.mel).abs().max() <= 0.04


def test_rows_are_in_the_order_of_shards_and_know_theirs(stage):
    features = Features(stage)
    assert len(features) == 11 and [r["id"] for r in features.rows] == [f"c{n}" for n in range(11)]
    assert [r["shard"] for r in features.rows] == [name for name, numbers in SHARDS.items() for _ in numbers]


@pytest.mark.parametrize("splits", [("train",), ("select", "calibrate"), ("test",), None])
def test_a_selection_by_split_reads_its_own_windows(stage, splits):
    everything, chosen = Features(stage), Features(stage, splits)
    numbers = [n for n in range(11) if splits is None or SPLITS[n % 4] in splits]
    assert [r["id"] for r in chosen.rows] == [f"c{n}" for n in numbers]
    for position, number in enumerate(numbers):
        for found, expected in zip(
            chosen.batch(np.array([position])), everything.batch(np.array([number])), strict=True
        ):
            assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))


def test_one_shard_can_be_read_alone(stage):
    assert [r["id"] for r in Features(stage, shard="00001").rows] == ["c4"]
    assert len(Features(stage, shard="00003")) == 0


@pytest.mark.parametrize("size", [1, 3, 4, 11, 100])
def test_batches_are_the_windows_in_order(stage, size):
    features = Features(stage, ("train", "select"))
    parts = list(features.batches(size))
    assert [len(numbers) for numbers, _ in parts] == [size] * (len(features) // size) + [len(features) % size] * (
        len(features) % size > 0
    )
    assert np.concatenate([numbers for numbers, _ in parts]).tolist() == list(range(len(features)))
    for numbers, batch in parts:
        assert len(batch.frames) == len(numbers)
        assert batch.frames.tolist() == [1 + LENGTHS[int(features.rows[n]["id"][1:])] // 160 for n in numbers]


def test_a_batch_has_the_order_asked_for_and_may_repeat(stage):
    features = Features(stage)
    batch = features.batch(np.array([9, 0, 5, 0]))
    for position, number in enumerate((9, 0, 5, 0)):
        assert torch.equal(batch.mel[position], features.batch(np.array([number])).mel[0])
    assert not torch.equal(batch.mel[0], batch.mel[1])


def test_targets_are_fake_and_real_and_nan_where_unknown(stage):
    targets = Features(stage).batch(np.arange(11)).targets
    assert targets[:, 0].tolist() == [n % 2 for n in range(11)]
    assert torch.isnan(targets[:, 1]).nonzero().flatten().tolist() == [2, 5]
    assert (targets[[0, 1, 3, 4], 1] == 1).all() and targets.dtype == torch.float32


def test_a_batch_can_be_written_to_without_touching_the_disk(stage):
    features = Features(stage)
    batch = features.batch(np.array([0]))
    batch.mel.zero_(), batch.temporal.zero_()
    assert features.batch(np.array([0])).mel.abs().max() > 1


def test_a_window_longer_than_asked_is_an_error():
    with pytest.raises(ValueError):
        FeatureWriter(SAMPLES, RATE, CFG).add(np.zeros(SAMPLES + 1, np.float32))


def test_an_empty_stage_has_no_windows(tmp_path):
    assert len(Features(tmp_path)) == 0 and list(Features(tmp_path).batches(4)) == []


def test_more_mels_than_the_spectrum_can_feed_are_told_as_the_users_to_mend():
    with pytest.raises(UserError, match=r"extract: .*"):
        FeatureWriter(RATE, RATE, ExtractConfig(mels=900, mel_hz=(40.0, 7600.0)))
