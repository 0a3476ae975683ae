"""Every recording that decoders fear is heard, or has a cause; nothing hangs, nothing floods the memory."""

import os
import tracemalloc

import numpy as np
import pytest
from hostile import RATE, SECONDS, make_all, sound

from app.audio.io import load_clip
from app.audio.open import BadClip
from app.audio.windows import windows_of

NAMES = (
    *("missing", "corrupt", "truncated wav", "truncated ogg", "truncated flac", "zero length", "no samples"),
    *("shorter than a frame", "NaN samples", "Inf samples", "all silent", "clipped", "beyond full scale"),
    *(f"{n} channels" for n in (2, 3, 4, 6, 8)),
    *(f"{rate} Hz" for rate in (8000, 11025, 22050, 44100, 48000, 96000, 192_000)),
    *(f"WAV {kind}" for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *("flac", "mp3", "ogg", "opus", "a wrong extension", "a text called wav", "a header that promises hours"),
    *("a named pipe", "a directory called x.ogg"),
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return folder, make_all(folder)


def test_all_of_them_have_a_test(hostile):
    assert set(hostile[1]) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_as_a_recording_to_score(hostile, name):
    folder, cases = hostile
    case = cases[name]
    windows = windows_of(folder / case.name, RATE, 30 * RATE, 0)
    if case.cause:
        with pytest.raises(BadClip) as caught:
            next(windows)
        assert caught.value.cause == case.cause and caught.value.detail
        return
    ((start, samples),) = windows
    assert start == 0 and np.isfinite(samples).all() and np.abs(samples).max() <= 1.0
    if case.seconds > 0:
        assert len(samples) == round(case.seconds * RATE)
    else:
        assert 0.3 * SECONDS * RATE < len(samples) < 3 * SECONDS * RATE  # of twenty, a truncated one
    if len(samples) > RATE and name not in ("all silent", "truncated ogg", "truncated wav"):
        known = sound()[: len(samples)]
        assert np.corrcoef(known, samples[: len(known)])[0, 1] > 0.85


@pytest.mark.parametrize("name", NAMES)
def test_as_a_recording_to_learn_from(hostile, name):
    folder, cases = hostile
    case = cases[name]
    limits = {"min_seconds": 0.3, "max_seconds": 60.0, "silent_dbfs": -70.0}
    cause = {"shorter than a frame": "too short", "all silent": "silent"}.get(name, case.cause)
    if cause:
        with pytest.raises(BadClip) as caught:
            load_clip(folder / case.name, RATE, **limits)
        assert caught.value.cause == cause
    else:
        assert len(load_clip(folder / case.name, RATE, **limits).samples) > 0.3 * RATE


def test_unreadable_rights(hostile, tmp_path):
    """For root all files are readable, so another user looks."""
    path = hostile[0] / "clipped.wav"
    before = path.stat().st_mode
    path.chmod(0)
    if root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(BadClip, match="unreadable: Permission denied"):
            next(windows_of(path, RATE, 5 * RATE, 0))
    finally:
        if root:
            os.seteuid(0)
        path.chmod(before)


def test_a_header_that_promises_hours_is_read_to_max_seconds_and_no_further(hostile):
    tracemalloc.start()
    clip = load_clip(hostile[0] / "hours.wav", RATE, min_seconds=0.1, max_seconds=1.0, silent_dbfs=-70.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(clip.samples) == RATE and peak < 5e6
