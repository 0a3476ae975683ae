"""Recordings that people have and decoders fear, by name: how each is made, and what becomes of it."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 16000
SECONDS = 2.0


def sound(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 180 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2).astype(np.float32)


class Case(NamedTuple):
    name: str  # of the file
    cause: str | None  # in failed.jsonl; None: it is scored
    seconds: float = SECONDS  # that are heard


def _write(path: Path, samples: np.ndarray, rate: int = RATE, **how: str) -> None:
    soundfile.write(path, samples, rate, **how)


def _cut(path: Path, format: str, subtype: str, keep: float, seconds: float = SECONDS) -> None:
    whole = path.with_suffix(".whole")
    _write(whole, sound(seconds), format=format, subtype=subtype)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    whole.unlink()


def _promising_hours(path: Path) -> None:
    """A WAV whose header says nine hours and which holds two seconds."""
    _write(path, sound())
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = (9 * 3600 * RATE * 2).to_bytes(4, "little")
    path.write_bytes(content)


def _odd_values(path: Path, value: float) -> None:
    samples = sound()
    samples[1000] = value
    _write(path, samples, format="WAV", subtype="FLOAT")


def make_all(folder: Path) -> dict[str, Case]:
    """Makes every one; case by name. `missing` is not made, and `unreadable rights` is for whoever is not root."""
    folder.mkdir(parents=True, exist_ok=True)
    cases: dict[str, Case] = {}

    def add(what: str, name: str, cause: str | None, seconds: float = SECONDS) -> Path:
        cases[what] = Case(name, cause, seconds)
        return folder / name

    add("missing", "missing.wav", "missing")
    add("corrupt", "corrupt.ogg", "unreadable").write_bytes(b"OggS" + np.random.default_rng(0).bytes(5000))
    _cut(add("truncated wav", "truncated.wav", None, -1.0), "WAV", "PCM_16", 0.5)
    _cut(add("truncated ogg", "truncated.ogg", None, -1.0), "OGG", "VORBIS", 0.5, 20.0)
    _cut(add("truncated flac", "truncated.flac", "unreadable"), "FLAC", "PCM_16", 0.5)
    add("zero length", "zero.wav", "empty").touch()
    _write(add("no samples", "none.wav", "empty"), np.zeros(0, np.float32))
    _write(add("shorter than a frame", "short.wav", None, 100 / RATE), sound()[:100])
    _odd_values(add("NaN samples", "nan.wav", "non-finite"), np.nan)
    _odd_values(add("Inf samples", "inf.wav", "non-finite"), np.inf)
    _write(add("all silent", "silent.wav", None), np.zeros(round(SECONDS * RATE)))
    _write(add("clipped", "clipped.wav", None), np.clip(20 * sound(), -1, 1))
    _write(add("beyond full scale", "loud.wav", None), 50 * sound(), subtype="FLOAT")
    for channels in (2, 3, 4, 6, 8):
        path = add(f"{channels} channels", f"channels{channels}.wav", None)
        _write(path, np.stack([sound() * 0.9**n for n in range(channels)], 1))
    for rate in (8000, 11025, 22050, 44100, 48000, 96000, 192_000):
        _write(add(f"{rate} Hz", f"rate{rate}.wav", None), sound(rate=rate), rate)
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"):
        _write(add(f"WAV {subtype}", f"wav-{subtype}.wav", None), sound(), subtype=subtype)
    for format, subtype, ending in (
        ("FLAC", "PCM_16", "flac"), ("MP3", "MPEG_LAYER_III", "mp3"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "opus"),
    ):  # fmt: skip
        seconds = -1.0 if ending in ("mp3", "opus") else SECONDS  # those pad a little
        _write(add(ending, f"sound.{ending}", None, seconds), sound(), format=format, subtype=subtype)
    _write(add("a wrong extension", "really-wav.mp3", None), sound(), format="WAV", subtype="PCM_16")
    add("a text called wav", "text.wav", "unreadable").write_text("this is no recording\n" * 50)
    _promising_hours(add("a header that promises hours", "hours.wav", None))
    os.mkfifo(add("a named pipe", "pipe.ogg", "not a file"))
    add("a directory called x.ogg", "x.ogg", "not a file").mkdir()
    return cases
