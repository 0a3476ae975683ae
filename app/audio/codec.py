"""What a telephone, a messenger or a small file does to a voice: through the codec and back."""

import io
from collections.abc import Callable
from typing import NamedTuple

import av
import numpy as np
import soundfile

from app.audio.band import band_pass
from app.audio.io import resample
from app.audio.level import Waveform
from app.config import CODECS

TELEPHONE_HZ = (300.0, 3400.0)
TAIL_S = 0.1  # silence after the clip: block codecs drop or smear the end of what they are given
HEADROOM = 0.98
Settings = dict[str, str | float]


def _libsndfile(samples: Waveform, sample_rate: int, settings: Settings) -> io.BytesIO:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", samplerate=sample_rate, channels=1, **settings) as writer:
        writer.write(samples)
    return file


def _ffmpeg(samples: Waveform, sample_rate: int, settings: Settings) -> io.BytesIO:
    """By libopus, into an Ogg file, which knows the delay."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as out:
        options = {key: str(value) for key, value in settings.items()}
        stream = out.add_stream("libopus", rate=sample_rate, layout="mono", options=options)
        stream.codec_context.format = "flt"
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = sample_rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file


class Way(NamedTuple):
    """How a codec is run: at the highest of its rates that the clip has."""

    rates: tuple[int, ...]  # Hz, rising
    settings: Settings  # of its encoder
    encode: Callable[[Waveform, int, Settings], io.BytesIO] = _libsndfile


# Opus and IMA ADPCM run at wideband, as in messengers; MP3 and Vorbis at some 35 and 50 kbit/s for a 32-kHz clip.
# Opus is encoded by FFmpeg, whose libopus takes a fifth of the time of libsndfile's, set as WebRTC sets it on phones.
WAYS = {
    "g711-ulaw": Way((8000,), {"format": "WAV", "subtype": "ULAW"}),
    "g711-alaw": Way((8000,), {"format": "WAV", "subtype": "ALAW"}),
    "gsm": Way((8000,), {"format": "WAV", "subtype": "GSM610"}),
    "ima-adpcm": Way((8000, 16000), {"format": "WAV", "subtype": "IMA_ADPCM"}),
    "mp3": Way(
        (8000, 11025, 12000, 16000, 22050, 24000, 32000),
        {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.9},
    ),
    "opus": Way((8000, 12000, 16000), {"b": 24000, "compression_level": 5, "application": "voip"}, _ffmpeg),
    "vorbis": Way(
        (8000, 11025, 12000, 16000, 22050, 24000, 32000),
        {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.9},
    ),
}


def apply_codec(samples: Waveform, sample_rate: int, name: str) -> Waveform:
    """What is left of the samples, (..., time), after the codec: same shape, rate and place in time.

    name: one of app.config.CODECS; 'telephone-band' is the band alone, 300 to
    3400 Hz. The other codecs run at a rate of their own, so they limit the
    band too. The shift against the input stays below 2 ms. A peak over full
    scale is scaled down before and up again after. The same input gives the
    same output. Raises ValueError for an unknown name.
    """
    if name == "telephone-band":
        return band_pass(samples, sample_rate, *TELEPHONE_HZ)
    if name not in WAYS:
        raise ValueError(f"codec {name!r} is none of {', '.join(CODECS)}")
    out = np.zeros(samples.shape, np.float32)
    for index in np.ndindex(samples.shape[:-1]):
        out[index] = _through(samples[index], sample_rate, WAYS[name])
    return out


def _through(samples: Waveform, sample_rate: int, way: Way) -> Waveform:
    """(time,) through the codec and back."""
    rate = max((r for r in way.rates if r <= sample_rate), default=way.rates[0])
    padded = np.pad(samples, (0, round(TAIL_S * sample_rate)))
    narrow = resample(padded, sample_rate, rate)
    scale = max(float(np.abs(narrow).max()) / HEADROOM, 1.0)
    file = way.encode(narrow / np.float32(scale), rate, way.settings)
    file.seek(0)
    decoded, decoded_rate = soundfile.read(file, dtype="float32")  # libsndfile takes the encoder's delay off
    back = resample(decoded, decoded_rate, sample_rate)[: len(samples)] * np.float32(scale)
    return np.pad(back, (0, len(samples) - len(back)))  # a codec may give less than it was given
