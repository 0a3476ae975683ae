import math
import os
import pickle
import struct
import time
import warnings

import numpy as np
import pytest
import soundfile
from audio_signals import RATE, db, shift_and_likeness, tone, voice
from pytest import approx

from app.audio.io import decode, from_int16, load_clip, resample, to_int16
from app.audio.open import BadClip

LIMITS = {"min_seconds": 0.3, "max_seconds": 60.0, "silent_dbfs": -70.0}


def cause_of(path, **limits):
    with pytest.raises(BadClip) as bad:
        load_clip(path, RATE, **{**LIMITS, **limits})
    assert bad.value.detail
    return bad.value.cause


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
@pytest.mark.parametrize(("ending", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_24")])
def test_any_rate_comes_at_ours(tmp_path, rate, ending, subtype):
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, tone(1000, sample_rate=rate), rate, subtype=subtype)
    clip = load_clip(path, RATE, **LIMITS)
    assert (clip.source_rate, clip.source_channels) == (rate, 1)
    assert clip.samples.dtype == np.float32
    assert len(clip.samples) == RATE
    lag, likeness = shift_and_likeness(tone(1000), clip.samples, 4)
    assert lag == 0
    assert likeness > 0.999


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_any_bit_depth_has_the_same_level(tmp_path, subtype):
    path = tmp_path / "clip.wav"
    soundfile.write(path, voice(), RATE, subtype=subtype)
    samples, rate = decode(path)
    assert rate == RATE
    assert db(samples) == approx(-20, abs=0.2)


@pytest.mark.parametrize(
    ("format", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16")]
)
def test_lossy_files_longer_than_a_block_keep_their_length_and_place(tmp_path, format, subtype):
    path = tmp_path / "clip"
    before = voice(7.0, 24000)
    soundfile.write(path, before, 24000, format=format, subtype=subtype)
    after, rate = decode(path)
    assert (rate, len(after)) == (24000, len(before))
    lag, likeness = shift_and_likeness(before, after, 48)
    assert abs(lag) < 12
    assert likeness > 0.98


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_averaged(tmp_path, channels):
    path = tmp_path / "clip.wav"
    every = np.stack([tone(200 * (k + 1)) for k in range(channels)], -1)
    soundfile.write(path, every, RATE, subtype="FLOAT")
    samples, _ = decode(path)
    assert np.allclose(samples, every.mean(1), atol=1e-6)
    assert load_clip(path, None, **LIMITS).source_channels == channels


def test_only_the_first_max_seconds_are_read(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, voice(3.0), RATE, subtype="FLOAT")
    assert np.array_equal(decode(path, 1.0)[0], voice(3.0)[:RATE])
    assert len(decode(path, 30.0)[0]) == 3 * RATE


def test_the_name_may_lie_about_the_format(tmp_path):
    for name in ("flac.wav", "flac.mp3", "flac.raw", "flac.au", "flac.gsm", "한글 이름", "flac"):
        soundfile.write(tmp_path / name, voice(), RATE, format="FLAC")
        assert len(decode(tmp_path / name)[0]) == 2 * RATE
    for name in ("text.wav", "text.au", "text.raw", "text.gsm", "text.vox", "text.mp3"):
        (tmp_path / name).write_text("no sound at all\n" * 1000)
        assert cause_of(tmp_path / name) == "unreadable"


def test_what_is_no_file_with_sound_names_its_cause(tmp_path):
    (tmp_path / "zero.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    began = time.monotonic()
    assert cause_of(tmp_path / "absent.wav") == "missing"
    assert cause_of(tmp_path) == "not a file"
    assert cause_of(tmp_path / "pipe.wav") == "not a file"
    assert cause_of("/dev/zero") == "not a file"
    assert cause_of(tmp_path / "loop") == "unreadable"
    assert cause_of("a\0b") == "unreadable"
    assert cause_of(tmp_path / "zero.wav") == "empty"
    assert cause_of(tmp_path / "none.wav") == "empty"
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 3e38])  # the last: two of them overflow
def test_a_float_file_must_be_finite(tmp_path, wrong):
    samples = np.stack([voice()] * 2, -1)
    samples[5000] = wrong
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="FLOAT")
    assert cause_of(tmp_path / "clip.wav") == "non-finite"


def test_a_float_file_beyond_full_scale_is_scaled_into_it(tmp_path):
    soundfile.write(tmp_path / "clip.wav", 50 * voice(), RATE, subtype="FLOAT")
    samples, _ = decode(tmp_path / "clip.wav")
    assert np.abs(samples).max() == approx(1.0)
    assert np.allclose(samples, voice() / np.abs(voice()).max(), atol=1e-6)


def test_silent_and_short_clips_are_refused_at_their_exact_limits(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "faint.wav", tone(440, rms=10 ** (-72 / 20)), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", voice()[:4799], RATE)
    soundfile.write(tmp_path / "just.wav", voice()[:4800], RATE)
    word = np.zeros(10 * RATE, np.float32)
    word[40000:44000] = tone(440, rms=0.001)[:4000]
    soundfile.write(tmp_path / "word.wav", word, RATE, subtype="FLOAT")
    assert cause_of(tmp_path / "silent.wav") == "silent"
    assert cause_of(tmp_path / "faint.wav") == "silent"
    assert cause_of(tmp_path / "short.wav") == "too short"
    assert len(load_clip(tmp_path / "just.wav", RATE, **LIMITS).samples) == 4800
    load_clip(tmp_path / "word.wav", RATE, **LIMITS)  # one faint word in a long silence is no silent clip
    soundfile.write(tmp_path / "dot.wav", voice()[:1], 48000)
    assert cause_of(tmp_path / "dot.wav", min_seconds=0.0, silent_dbfs=-1000.0) == "too short"
    load_clip(tmp_path / "silent.wav", RATE, min_seconds=0.0, max_seconds=None, silent_dbfs=-1000.0)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("kept", [0.001, 0.02, 0.5, 0.97])
def test_a_file_cut_off_gives_its_beginning_or_a_named_cause(tmp_path, format, kept):
    path = tmp_path / "clip"
    soundfile.write(path, voice(4.0), RATE, format=format)
    data = path.read_bytes()
    whole, _ = decode(path)
    path.write_bytes(data[: int(kept * len(data))])
    try:
        samples, rate = decode(path)
    except BadClip as bad:
        assert bad.cause in ("unreadable", "empty")
        assert not (format == "WAV" and kept > 0.1)  # plain samples always decode
    else:
        assert rate == RATE
        assert len(samples) <= len(whole)
        early = len(samples) // 2
        assert np.allclose(samples[:early], whole[:early], atol=1e-3)


def test_bytes_that_rotted_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(1)
    for format in ("WAV", "FLAC", "MP3", "OGG"):
        path = tmp_path / "clip"
        soundfile.write(path, voice(1.0), RATE, format=format)
        data = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(25):
            rotten = data.copy()
            rotten[rng.integers(0, min(len(data), 400), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(rotten.tobytes())
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    clip = load_clip(path, RATE, **LIMITS)
                    assert np.isfinite(clip.samples).all()
                except BadClip:
                    pass


def test_a_header_that_promises_hours_costs_nothing(tmp_path):
    wav, flac = tmp_path / "clip.wav", tmp_path / "clip.flac"
    soundfile.write(wav, voice(), RATE, subtype="PCM_16")
    data = bytearray(wav.read_bytes())
    data[40:44] = struct.pack("<I", 0xFFFFFF00)  # size of the samples: 37 hours
    wav.write_bytes(data)
    soundfile.write(flac, voice(), RATE)
    data = bytearray(flac.read_bytes())
    data[21] |= 0x0F  # the upper bits of the 36-bit number of samples
    data[22:26] = b"\xff" * 4
    flac.write_bytes(data)
    for path in (wav, flac):
        assert soundfile.info(path).frames > 2 * RATE or path == wav
        began = time.monotonic()
        try:
            assert len(decode(path, 60.0)[0]) == 2 * RATE
            assert len(decode(path)[0]) == 2 * RATE
        except BadClip as bad:
            assert bad.cause == "unreadable"
        assert time.monotonic() - began < 1.0


def test_a_recording_of_many_hours_is_refused_unless_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("app.audio.io.LONGEST_S", 1.5)
    soundfile.write(tmp_path / "clip.wav", voice(), RATE)
    with pytest.raises(BadClip, match="too long"):
        decode(tmp_path / "clip.wav")
    assert len(decode(tmp_path / "clip.wav", 1.9)[0]) == 1.9 * RATE


def test_a_bad_clip_survives_the_way_back_from_a_worker():
    bad = pickle.loads(pickle.dumps(BadClip("silent", "clip.wav")))
    assert (bad.cause, bad.detail, str(bad)) == ("silent", "clip.wav", "silent: clip.wav")


def test_int16_round_trip_is_exact_and_never_wraps():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16(from_int16(every)), every)
    loud = np.array([1.0, 1.5, 1e9, np.inf, -1.0, -1.5, -np.inf], np.float32)
    assert to_int16(loud).tolist() == [32767] * 4 + [-32768] * 3
    with pytest.raises(ValueError):
        to_int16(np.array([np.nan], np.float32))


def test_resample_keeps_shape_level_and_place():
    two = np.stack([tone(500), tone(900)])
    there = resample(two[None], RATE, 44100)
    assert there.shape == (1, 2, 44100)
    assert np.array_equal(there[0, 1], resample(two[1], RATE, 44100))
    back = resample(there[0], 44100, RATE)
    assert np.allclose(back[:, 400:-400], two[:, 400:-400], atol=1e-3)
    assert resample(np.zeros(0, np.float32), 8000, RATE).shape == (0,)
    assert resample(np.ones(1, np.float32), RATE, 8000).shape == (0,)
    assert resample(np.ones(3, np.float32), 8000, RATE).shape == (6,)
