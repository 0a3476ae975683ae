"""A recording of any length in windows: the same ones whether it is read at once or piece by piece."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from audio_signals import hiss, voice
from hypothesis import given
from hypothesis import strategies as st

from app.audio import windows
from app.audio.open import BadClip
from app.audio.windows import _cut, window_starts, windows_of
from app.errors import Stopped

RATE = 16000


@pytest.mark.parametrize(("size", "overlap"), [(5, 0), (5, 2), (5, 4), (8, 4), (1, 0)])
@pytest.mark.parametrize("num_samples", [*range(1, 40), 997])
def test_every_sample_is_covered_and_neighbours_share_the_overlap(num_samples, size, overlap):
    starts = window_starts(num_samples, size, overlap)
    covered = {sample for start in starts for sample in range(start, start + size)}
    assert covered >= set(range(num_samples)) and starts[0] == 0
    for before, after in pairwise(starts):
        assert before < after and before + size - after >= overlap
    if num_samples >= size:
        assert starts[-1] + size == num_samples  # no window is padded
    assert len(starts) == max(1, -(-(num_samples - overlap) // (size - overlap)))  # and none is needless


@pytest.mark.parametrize("overlap", [0, 1, 79, 80, 159])
def test_a_recording_as_long_as_the_window_has_one_and_a_sample_more_makes_two(overlap):
    assert window_starts(160, 160, overlap) == [0]
    assert window_starts(161, 160, overlap) == [0, 1]
    assert window_starts(159, 160, overlap) == window_starts(0, 160, overlap) == [0]


@pytest.mark.parametrize("overlap", [-1, 160, 161])
def test_an_overlap_that_does_not_fit_is_an_error(overlap):
    with pytest.raises(ValueError, match=f"an overlap of {overlap} does not fit windows of 160"):
        window_starts(1000, 160, overlap)


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 40), st.data())
def test_chunks_of_any_size_give_the_windows_of_the_whole(lengths, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    whole = np.arange(sum(lengths), dtype=np.float32)
    chunks = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    found = list(_cut(chunks, size, overlap))
    assert [start for start, _ in found] == window_starts(len(whole), size, overlap)
    assert all(np.array_equal(samples, whole[start : start + size]) for start, samples in found)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Seven seconds in stereo at 44.1 kHz, as loud as can be."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    samples = np.stack([voice(7.0, hz=150)[: 7 * RATE], hiss(7.0, 0.2, 3)[: 7 * RATE]], 1)
    soundfile.write(path, samples / np.abs(samples).max(), 44100, subtype="FLOAT")
    return path


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100, 48000])
def test_a_long_recording_gives_the_windows_of_one_read_at_once(long, monkeypatch, rate):
    size, overlap = round(0.5 * rate), round(0.2 * rate)
    at_once = list(windows_of(long, rate, size, overlap))
    monkeypatch.setattr(windows, "WHOLE", RATE // 2)
    piecewise = list(windows_of(long, rate, size, overlap))
    assert [start for start, _ in piecewise] == [start for start, _ in at_once] and len(at_once) > 5
    for (_, a), (_, b) in zip(at_once, piecewise, strict=True):
        assert len(a) == len(b) and np.abs(a - b).max() < 2e-4


def test_it_is_brought_within_full_scale_as_a_whole(tmp_path, monkeypatch):
    samples = voice(4.0, hz=150)
    samples /= np.abs(samples).max()
    for name, gain in (("quiet", 1.0), ("loud", 8.0)):
        soundfile.write(tmp_path / f"{name}.wav", gain * samples, RATE, subtype="FLOAT")
    monkeypatch.setattr(windows, "WHOLE", RATE // 2)
    quiet, loud = (list(windows_of(tmp_path / f"{name}.wav", RATE, RATE, 0)) for name in ("quiet", "loud"))
    for (_, a), (_, b) in zip(quiet, loud, strict=True):
        assert np.allclose(a, b, atol=1e-6)


def test_what_is_wrong_at_its_end_is_known_before_the_first_window(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WHOLE", RATE // 2)
    samples = np.full(4 * RATE, 0.1, np.float32)
    samples[-10] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(BadClip, match="non-finite"):
        next(windows_of(tmp_path / "nan.wav", RATE, RATE, 0))
    monkeypatch.setattr(windows, "LONGEST_S", 2.0)
    soundfile.write(tmp_path / "day.wav", samples[:-20], RATE)
    with pytest.raises(BadClip, match="too long: over"):
        next(windows_of(tmp_path / "day.wav", RATE, RATE, 0))


def test_three_hours_take_no_more_memory_than_ten_minutes(tmp_path):
    minute = np.tile(voice(1.0, hz=140), 60).astype(np.float32) * 0.3
    peaks = []
    for minutes in (10, 180):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute[::2])
        tracemalloc.start()
        number = sum(1 for _ in windows_of(path, RATE, 5 * RATE, 2 * RATE))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert number == len(window_starts(minutes * 60 * RATE, 5 * RATE, 2 * RATE))
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < 60e6


def test_who_reads_a_long_recording_can_be_told_to_leave_before_the_first_window(long, monkeypatch):
    """The first reading of a whole day takes minutes; a worker that does not breathe for so long counts as hung."""
    monkeypatch.setattr(windows, "WHOLE", RATE // 2)
    monkeypatch.setattr("app.audio.open.BLOCK_SAMPLES", 1 << 14)
    breaths = []
    monkeypatch.setattr(windows, "breathe", lambda: breaths.append(1))
    first = next(windows_of(long, RATE, RATE, 0))
    before = len(breaths)
    blocks = soundfile.info(long).frames // (1 << 13)  # of its two channels
    assert first[0] == 0 and before >= blocks - 1
    breaths.clear()
    list(windows_of(long, RATE, RATE, 0))
    assert len(breaths) >= 2 * blocks - 1
    monkeypatch.setattr(windows, "breathe", _told_to_leave)
    with pytest.raises(Stopped):
        next(windows_of(long, RATE, RATE, 0))


def _told_to_leave():
    raise Stopped("SIGTERM")


@pytest.mark.parametrize("rate", [48000, 192000, 768000])
def test_what_is_held_at_once_does_not_grow_with_the_rate(tmp_path, rate):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_U8") as file:
        for _ in range(299 * rate // 1_000_000 + 1):
            file.write(np.tile(np.linspace(-0.5, 0.5, 1000, dtype=np.float32), 1000))
    tracemalloc.start()
    try:
        for _ in windows_of(path, RATE, 5 * RATE, 0):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 260e6  # samples that are read at once, twice, and what they become
