"""What was written into the shards of a stage is read back by id, from where it lies on disk."""

import tracemalloc

import numpy as np
import pytest

from app.audio.io import from_int16, to_int16
from app.corpora.sounds import Sounds, SoundWriter
from app.runtime.files import write_lines
from app.runtime.shards import commit


def waveforms(seed, lengths):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, length).astype(np.float32) for length in lengths]


@pytest.fixture
def stage(tmp_path):
    """Three shards, the last without any noise; (folder, id -> samples)."""
    written = {}
    for shard, (lengths, segments) in enumerate([([5, 0, 7000], [300, 9]), ([1, 80000], [40]), ([33], [])]):
        with commit(tmp_path / "shards", f"{shard:05d}") as out:
            voices, bank = SoundWriter(out.path / "audio.npy"), SoundWriter(out.path / "noise.npy")
            for n, samples in enumerate(waveforms(shard, lengths)):
                id = f"clip{shard}{n}"
                out.done(voices.add({"id": id, "split": "train"}, samples))
                written[id] = samples
            for n, samples in enumerate(waveforms(100 + shard, segments)):
                id = f"clip{shard}0@{n}"
                bank.add({"id": id, "split": "train"}, samples)
                written[id] = samples
            voices.close(), bank.close()
            write_lines(out.path / "noise.jsonl", bank.rows)
    return tmp_path, written


def test_sounds_come_back_exactly_over_several_shards(stage):
    folder, written = stage
    voices, bank = Sounds(folder), Sounds(folder, "noise")
    assert [row["id"] for row in voices.rows] == ["clip00", "clip01", "clip02", "clip10", "clip11", "clip20"]
    assert [row["id"] for row in bank.rows] == ["clip00@0", "clip00@1", "clip10@0"]
    for sounds in (voices, bank):
        for row in reversed(sounds.rows):
            samples = sounds(row["id"])
            assert samples.dtype == np.float32 and len(samples) == row["num_samples"]
            assert np.array_equal(samples, from_int16(to_int16(written[row["id"]])))
    assert [row["offset"] for row in voices.rows] == [0, 5, 5, 0, 1, 0]


def test_what_is_read_is_the_readers_own(stage):
    folder, written = stage
    voices = Sounds(folder)
    voices("clip11")[:] = 0
    assert np.array_equal(voices("clip11"), from_int16(to_int16(written["clip11"])))


def test_an_unknown_sound_is_an_error(stage):
    with pytest.raises(KeyError, match="clip99"):
        Sounds(stage[0])("clip99")
    with pytest.raises(KeyError):
        Sounds(stage[0], "music")


def test_reading_one_clip_does_not_read_its_shard(tmp_path):
    with commit(tmp_path / "shards", "00000") as out, SoundWriter(out.path / "audio.npy") as writer:
        for n in range(20):
            out.done(writer.add({"id": str(n)}, np.full(500_000, n / 100, np.float32)))
    sounds = Sounds(tmp_path)
    tracemalloc.start()
    samples = sounds("19")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples[0] == np.float32(round(0.19 * 32768) / 32768)
    assert peak < 5e6  # the shard has 20 MB, the clip 2
