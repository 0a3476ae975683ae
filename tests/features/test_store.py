"""What is computed is what is read back, window by window."""

import tracemalloc

import numpy as np
import pytest
import torch
from feature_sounds import white_noise

from app.config import ExtractConfig
from app.errors import UserError
from app.features import on_gpu
from app.features.extract import channel_names, compute, num_frames
from app.features.on_gpu import OnGpu
from app.features.store import Features
from app.features.writer import FeatureWriter
from app.runtime.shards import commit

RATE, SAMPLES = 16000, 8000
CFG = ExtractConfig(mels=20, mel_hz=(40.0, 7600.0), contrast_bands=2, batch_clips=3)
LENGTHS = [8000, 8000, 161, 1, 8000, 4000, 159, 160, 7999, 8000, 320]  # samples
SHARDS = {"00000": range(0, 4), "00001": range(4, 5), "00002": range(5, 11)}
SPLITS = ["train", "select", "train", "calibrate"]
torch.set_num_threads(1)


def test_bands_that_short_frames_cannot_tell_apart_are_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="fewer extract.texture_bands"):
        FeatureWriter(tmp_path, SAMPLES, RATE, CFG.model_copy(update={"texture_hz": (80.0, 300.0)}))


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
        with commit(stage / "shards", name) as out, FeatureWriter(out.path, SAMPLES, RATE, CFG) as writer:
            for number in numbers:
                writer.add(wave(number))
                out.done(row(number))
    with commit(stage / "shards", "00003") as out:
        FeatureWriter(out.path, SAMPLES, RATE, CFG).close()
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
    assert len(features) == 11 and [r.id for r in features.rows] == [f"c{n}" for n in range(11)]
    assert [r.shard for r in features.rows] == [name for name, numbers in SHARDS.items() for _ in numbers]


@pytest.mark.parametrize("splits", [("train",), ("select", "calibrate"), ("test",), None])
def test_a_selection_by_split_reads_its_own_windows(stage, splits):
    everything, chosen = Features(stage), Features(stage, splits)
    numbers = [n for n in range(11) if splits is None or SPLITS[n % 4] in splits]
    assert [r.id for r in chosen.rows] == [f"c{n}" for n in numbers]
    for position, number in enumerate(numbers):
        mine, theirs = chosen.batch(np.array([position])), everything.batch(np.array([number]))
        assert mine.padded == theirs.padded
        for found, expected in zip(mine[:4], theirs[:4], strict=True):
            assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))


def test_one_shard_can_be_read_alone(stage):
    assert [r.id for r in Features(stage, shard="00001").rows] == ["c4"]
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
        assert batch.frames.tolist() == [1 + LENGTHS[int(features.rows[n].id[1:])] // 160 for n in numbers]


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


def test_a_window_longer_than_asked_is_an_error(tmp_path):
    with pytest.raises(ValueError):
        FeatureWriter(tmp_path, SAMPLES, RATE, CFG).add(np.zeros(SAMPLES + 1, np.float32))


def test_an_empty_stage_has_no_windows(tmp_path):
    assert len(Features(tmp_path)) == 0 and list(Features(tmp_path).batches(4)) == []


def test_more_mels_than_the_spectrum_can_feed_are_told_as_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"extract: .*"):
        FeatureWriter(tmp_path, RATE, RATE, ExtractConfig(mels=900, mel_hz=(40.0, 7600.0)))


@pytest.mark.parametrize("rate", [16000, 32000])
def test_features_are_the_same_bits_however_many_clips_are_computed_at_once(rate):
    """On a CPU, with one thread: a shard that is tried again with fewer clips at a time ends in the same bytes."""
    cfg = ExtractConfig(mel_hz=(40.0, 7600.0))
    clips = torch.from_numpy(np.stack([white_noise(n, rate * 3 // 2, amplitude=0.01 * 1.3**n) for n in range(16)]))
    clips[3, rate // 2 :], clips[5] = 0.0, 0.0
    together = compute(clips, rate, cfg)
    for size in (1, 2, 5):
        parts = [compute(clips[at : at + size], rate, cfg) for at in range(0, 16, size)]
        assert torch.equal(torch.cat([part.mel for part in parts]), together.mel)
        assert torch.equal(torch.cat([part.temporal for part in parts]), together.temporal)


def written(folder, **keys) -> list[bytes]:
    folder.mkdir()
    with FeatureWriter(folder, SAMPLES, RATE, CFG, **keys) as writer:
        for number in range(11):
            writer.add(wave(number))
    return [(folder / f"{name}.npy").read_bytes() for name in ("mel", "temporal", "frames")]


def test_a_shard_is_the_same_file_however_many_clips_are_computed_at_once(tmp_path):
    expected = written(tmp_path / "as configured")
    padded = np.stack([np.pad(wave(n), (0, SAMPLES - LENGTHS[n])) for n in range(11)])
    np.save(tmp_path / "mel.npy", compute(torch.from_numpy(padded), RATE, CFG).mel.numpy().astype(np.float16))
    assert expected[0] == (tmp_path / "mel.npy").read_bytes()  # what numpy itself would write
    for at_once in (2, 100):
        by_batches = OnGpu(RATE, CFG, torch.device("cpu"), at_once)
        assert written(tmp_path / str(at_once), compute=by_batches, at_once=at_once) == expected


class Gpu:
    """Stands in for a GPU, which is not here: `compute` has memory for `fits` clips, else raises torch's own error."""

    def __init__(self, fits: int) -> None:
        self.fits, self.sizes = fits, []

    def __call__(self, waveforms, rate, cfg):
        self.sizes.append(len(waveforms))
        if len(waveforms) > self.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return compute(waveforms, rate, cfg)


def on_gpu_of(monkeypatch, compute, **keys) -> dict:
    """For a writer that takes its windows to such a GPU, three at once."""
    monkeypatch.setattr(on_gpu, "compute", compute)
    return {"compute": OnGpu(RATE, CFG, torch.device("cpu"), 3, **keys), "at_once": 3}


def test_a_gpu_that_is_too_small_gets_fewer_clips_from_then_on(tmp_path, monkeypatch):
    expected, gpu, told = written(tmp_path / "large"), Gpu(fits=1), []
    assert written(tmp_path / "small", **on_gpu_of(monkeypatch, gpu, say=told.append)) == expected
    assert gpu.sizes == [3] + [1] * 11 and told == [
        "the GPU's memory is full: from now on 1 at once instead of 3 clips"
    ]


def test_a_gpu_without_room_for_one_clip_and_other_errors_are_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no memory left for a single clip"):
        written(tmp_path / "none", **on_gpu_of(monkeypatch, Gpu(fits=0)))

    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        written(tmp_path / "broken", **on_gpu_of(monkeypatch, broken))


def test_the_writer_holds_one_batch_and_not_the_shard(tmp_path):
    def peak(count: int) -> int:
        (folder := tmp_path / str(count)).mkdir()
        tracemalloc.start()
        with FeatureWriter(folder, SAMPLES, RATE, CFG) as writer:
            for _ in range(count):
                writer.add(wave(0))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(6)  # filters and windows are made once
    assert peak(200) - peak(20) < 200_000  # the features of 180 windows have 800 kB


@pytest.mark.parametrize(("planned", "limit"), [(True, 250), (False, 350)])
def test_a_row_costs_a_few_hundred_bytes_whatever_the_manifest_tells(tmp_path, planned, limit):
    with commit(tmp_path / "shards", "00000") as out:
        for n in range(2000):
            more = {"speaker": f"speaker {n}", "sources": [f"a{n}", f"b{n}"], "attack": f"engine {n}"}
            place = {"recording": f"train-{n:06d}"} if planned else {"recording": f"long/{n:06d}.ogg", "start_s": n / 2}
            out.done({**row(1), **more, "id": f"train-{n:06d}", **place})
    Features(tmp_path)
    tracemalloc.start()
    features = Features(tmp_path)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(features) == 2000 and size / 2000 < limit
