"""Numbered recordings that are wrong in some way. What number n is depends on the seed and n alone.

They begin as short pieces of the demo recordings, in every container and encoding that
libsndfile writes, or as one of the odd ones below; then `mutations` befall them.
"""

import csv
import io
import os
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from app.audio.io import resample
from tests.mutations import Step, draw, spoil
from tests.ogg_pages import seal

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
VOICES = 24  # pieces to begin with, of as many demo recordings
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
# equal audio joins speakers into one group: the odd ones are of one speaker, or too few groups would be left
NOBODY = {"label": "fake", "speaker": "odd", "attack": "odd", "language": ""}
ENDINGS = ("ogg", "wav", "flac", "mp3", "opus", "aiff", "raw", "gsm", "vox", "txt", "OGG", "")
BLOCK = 1 << 16  # written at once: given minutes, the Vorbis encoder overflows its stack
WHOLE = 0.03  # left as they are
ODD = 0.12  # begin as one of the odd ones
SPLICED = 0.05  # the head of one file, the rest of another
PCM = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
CONTAINERS = (
    *(("WAV", subtype) for subtype in (*PCM, "IMA_ADPCM", "MS_ADPCM", "GSM610")),
    *(("OGG", subtype) for subtype in ("VORBIS", "OPUS") * 6),  # what corpora come in: more often
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24") * 3),
    *(("MP3", "MPEG_LAYER_III"),) * 6,
    *(("AIFF", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM")),
    *(("AU", subtype) for subtype in ("PCM_16", "FLOAT", "ULAW", "G721_32", "G723_24", "G723_40")),
    *(("CAF", subtype) for subtype in ("PCM_16", "FLOAT", "ALAC_16", "ALAC_24", "ALAC_32")),
    *(("W64", subtype) for subtype in ("PCM_16", "DOUBLE", "MS_ADPCM", "GSM610")),
    *(("RF64", "PCM_16"), ("RF64", "PCM_24"), ("WAVEX", "PCM_24"), ("WAVEX", "FLOAT"), ("NIST", "PCM_16")),
    *(("SDS", "PCM_16"), ("VOC", "PCM_16"), ("VOC", "ULAW"), ("SVX", "PCM_16"), ("PAF", "PCM_24"), ("PVF", "PCM_16")),
    *(("MAT4", "DOUBLE"), ("MAT5", "PCM_16"), ("IRCAM", "FLOAT"), ("AVR", "PCM_16"), ("HTK", "PCM_16")),
    *(("MPC2K", "PCM_16"), ("WVE", "ALAW"), ("XI", "DPCM_16")),
)


class Recording(NamedTuple):
    name: str  # of its file
    container: str  # what it began as
    steps: tuple[Step, ...]
    voice: dict[str, str]  # label, speaker, attack, language of the demo recording it began as
    content: bytes | None  # None: `make_special` makes it


def recording(seed: int, n: int) -> Recording:
    """Number n of this seed."""
    rng = random.Random(f"{seed}/{n}")
    voice = voices()[n % VOICES]
    name = f"{n:06d}.{rng.choice(ENDINGS)}".rstrip(".")
    if n % 200 == 199:
        return Recording(name, rng.choice(sorted(SPECIAL)), (), voice, None)
    if rng.random() < ODD:
        voice, container = NOBODY, rng.choice(sorted(ODDITIES))
        content = odd(container)
    else:
        container, content = _encoded(rng, n % VOICES)
    if rng.random() < SPLICED:
        _, other = _encoded(rng, rng.randrange(VOICES))
        content = content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other)) :]
    steps = () if rng.random() < WHOLE else tuple(draw(rng))
    return Recording(name, container, steps, voice, spoil(content, steps))


def write(made: Recording, folder: Path) -> None:
    if made.content is None:
        SPECIAL[made.container](folder / made.name)
    else:
        (folder / made.name).write_bytes(made.content)


@lru_cache(1)
def voices() -> list[dict[str, str]]:
    """Rows of the demo corpus, train.csv and meta.csv joined, spread over its speakers and engines."""
    with (DEMO / "meta.csv").open(newline="", encoding="utf-8") as file:
        meta = {row["id"]: row for row in csv.DictReader(file)}
    with (DEMO / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = [{**meta[row["id"]], **row} for row in csv.DictReader(file)]
    first: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        first.setdefault((row["label"], row["speaker"]), []).append(row)
    by_label = {
        label: [group[0] for (of, _), group in sorted(first.items()) if of == label] for label in ("fake", "real")
    }
    return [by_label[("fake", "real")[n % 2]][n // 2 % len(by_label[("fake", "real")[n % 2]])] for n in range(VOICES)]


@lru_cache(VOICES)
def piece(voice: int) -> tuple[Any, int]:
    """0.5 to 2 s of a demo recording: (samples, sample_rate)."""
    samples, rate = soundfile.read(DEMO / voices()[voice]["path"], dtype="float32")
    start = int(np.argmax(np.abs(samples) > 0.1 * np.abs(samples).max()))
    return samples[start : start + round((0.5 + 1.5 * voice / VOICES) * rate)], rate


def encode(samples: Any, rate: int, container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, subtype, None, container) as writer:
        for at in range(0, len(samples), BLOCK):
            writer.write(samples[at : at + BLOCK])
    return file.getvalue()


@lru_cache(2048)
def _encoding(voice: int, rate: int, channels: int, container: str, subtype: str) -> bytes:
    samples = resample(piece(voice)[0], piece(voice)[1], rate)
    return encode(samples if channels == 1 else np.stack([samples] * channels, -1), rate, container, subtype)


def _encoded(rng: random.Random, voice: int) -> tuple[str, bytes]:
    container, subtype = rng.choice(CONTAINERS)
    rates = {"OPUS": OPUS_RATES, "GSM610": (8000,), "MPEG_LAYER_III": RATES[:-2], "ALAW": (8000,)}.get(subtype, RATES)
    one = container in ("SVX", "WVE", "SDS", "HTK", "XI", "VOC") or subtype in ("GSM610", "DPCM_16") or "G72" in subtype
    channels = 1 if one else rng.choice((1, 1, 1, 2, 6 if container not in ("MP3", "MPC2K", "AVR", "PAF") else 2))
    try:
        content = _encoding(voice, rng.choice(rates), channels, container, subtype)
    except (soundfile.SoundFileError, RuntimeError):  # a pair that this libsndfile does not write
        container, subtype, content = "WAV", "PCM_16", _encoding(voice, 16000, 1, "WAV", "PCM_16")
    return f"{container} {subtype}", content


@lru_cache(64)
def odd(name: str) -> bytes:
    return ODDITIES[name]()


def _floats(change: Callable[[Any], None], subtype: str = "FLOAT", container: str = "WAV") -> bytes:
    samples = piece(3)[0].astype(np.float64)
    with np.errstate(over="ignore"):
        change(samples)
        return encode(samples if subtype == "DOUBLE" else samples.astype(np.float32), piece(3)[1], container, subtype)


def _set(samples: Any, value: float, where: slice = slice(100, 200)) -> None:
    samples[where] = value


def _scale(samples: Any, by: float) -> None:
    samples *= by


def _hours(container: str, subtype: str) -> bytes:
    """A voice, then ten minutes of nothing, in few bytes."""
    samples, rate = piece(5)
    return encode(np.concatenate([samples, np.zeros(600 * rate, np.float32)]), rate, container, subtype)


def _granules() -> bytes:
    """An Ogg file whose every page says a thousand hours."""
    content = bytearray(_encoding(1, 16000, 1, "OGG", "VORBIS"))
    at = content.find(b"OggS")
    while at >= 0:
        content[at + 6 : at + 14] = (1000 * 3600 * 16000).to_bytes(8, "little")
        at = content.find(b"OggS", at + 4)
    return seal(bytes(content))


def _chain(count: int) -> bytes:
    """An Ogg file of many streams, one after another, each a file of its own."""
    return b"".join(_encoding(n % VOICES, RATES[n % 5], 1, "OGG", "VORBIS") for n in range(count))


def _silence(seconds: float, rate: int, container: str = "WAV", subtype: str = "PCM_16") -> bytes:
    return encode(np.zeros(round(seconds * rate), np.float32), rate, container, subtype)


ODDITIES: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "one byte": lambda: b"R",
    "text": lambda: b"this is no recording\n" * 200,
    "random bytes": lambda: random.Random(0).randbytes(20_000),
    "zeros": lambda: bytes(20_000),
    "a picture": lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(1).randbytes(4000),
    "an archive": lambda: b"PK\x03\x04" + random.Random(2).randbytes(4000),
    "a page": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "nan": lambda: _floats(lambda samples: _set(samples, np.nan)),
    "infinite": lambda: _floats(lambda samples: _set(samples, -np.inf), container="AIFF"),
    "nan in CAF": lambda: _floats(lambda samples: _set(samples, np.nan, slice(-1, None)), container="CAF"),
    "all nan": lambda: _floats(lambda samples: _set(samples, np.nan, slice(None)), "DOUBLE"),
    "beyond floats": lambda: _floats(lambda samples: _scale(samples, 1e300), "DOUBLE"),
    "huge": lambda: _floats(lambda samples: _scale(samples, 1e38)),
    "tiny": lambda: _floats(lambda samples: _scale(samples, 1e-40)),
    "one peak": lambda: _floats(lambda samples: _set(samples, 1e30, slice(7, 8))),
    "constant": lambda: _floats(lambda samples: _set(samples, 0.5, slice(None))),
    "square": lambda: encode(np.tile([1.0, -1.0], 16_000), 16000, "WAV", "PCM_16"),
    "silent": lambda: _silence(1.0, 16000),
    "silent FLAC": lambda: _silence(1.0, 48000, "FLAC"),
    "no samples": lambda: _silence(0.0, 16000),
    "no samples in FLAC": lambda: _silence(0.0, 16000, "FLAC"),
    "no samples in Ogg": lambda: _silence(0.0, 16000, "OGG", "VORBIS"),
    "one sample": lambda: encode(np.ones(1), 16000, "WAV", "PCM_16"),
    "one sample a second": lambda: encode(piece(2)[0], 1, "WAV", "PCM_16"),
    "1 kHz": lambda: encode(piece(2)[0], 1000, "WAV", "PCM_16"),
    "768 kHz": lambda: encode(np.tile(piece(4)[0], 20), 768_000, "WAV", "PCM_16"),
    "4 GHz": lambda: encode(piece(2)[0], 2_000_000_000, "WAV", "PCM_16"),
    "255 channels": lambda: encode(np.tile(piece(6)[0][:8000, None], 255), 16000, "WAV", "PCM_16"),
    "1024 channels": lambda: encode(np.tile(piece(6)[0][:6000, None], 1024), 16000, "WAV", "PCM_U8"),
    "8 channels of FLAC": lambda: encode(np.tile(piece(6)[0][:, None], 8), 48000, "FLAC", "PCM_24"),
    "ten minutes of FLAC": lambda: _hours("FLAC", "PCM_16"),
    "ten minutes of Ogg": lambda: _hours("OGG", "VORBIS"),
    "ten minutes of MP3": lambda: _hours("MP3", "MPEG_LAYER_III"),
    "a thousand hours of Ogg": _granules,
    "a chain of Ogg": lambda: _chain(5),
}
SPECIAL: dict[str, Callable[[Path], Any]] = {
    "no file": lambda path: None,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
}
