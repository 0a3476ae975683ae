"""What lies between a mouth and a file: microphone, preamplifier, equaliser, compressor, and the file's own codec.

Each corpus has chains of its own, and so has each engine's training set. A model that hears few of them tells real
from fake by the chain; so every voice, real or fake alike, is sent through one that is drawn anew.

Filters: R. Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients.
"""

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from app.audio.codec import apply_codec
from app.audio.level import Waveform
from app.audio.synthetic import coloured

CODECS = ("vorbis", "mp3", "opus", "ima-adpcm", "g711-ulaw")
CODEC_SHARES = (0.33, 0.17, 0.16, 0.17, 0.17)
SHORTEST = 400  # samples, below which a voice stays as it is
PEAK = 0.5  # of what comes out
Section = np.ndarray  # of a filter: b0, b1, b2, 1, a1, a2


def through_chain(samples: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """The voice, (time,), as another chain would have recorded it: as long, at a peak of 0.5. Nothing is delayed much.

    Half of the chains turn the polarity round, most roll off the lowest frequencies and colour the sound, many
    shift phases alone, some compress, add noise, or pass a codec. All of it is drawn from rng. Silence stays silence.
    """
    if len(samples) < SHORTEST or not samples.any():
        return samples
    values = np.asarray(samples, np.float64) * rng.choice((-1.0, 1.0))
    if sections := _filters(sample_rate, rng):
        values = sosfilt(np.stack(sections), values)
    if rng.random() < 0.35:
        values = _compressed(values, sample_rate, rng)
    if rng.random() < 0.5:
        noise = coloured(rng, len(values), rng.uniform(0.0, 2.0), sample_rate)
        level = np.sqrt(np.mean(values**2) / max(float(np.mean(noise**2)), 1e-20))
        values = values + noise * level * 10 ** (rng.uniform(-55.0, -25.0) / 20)
    heard = (values * (PEAK / np.abs(values).max())).astype(np.float32)
    if rng.random() < 0.4:
        heard = apply_codec(heard, sample_rate, str(rng.choice(CODECS, p=CODEC_SHARES)))
    return heard


def _filters(rate: int, rng: np.random.Generator) -> list[Section]:
    top = 0.46 * rate
    found: list[Section] = []
    if rng.random() < 0.7:
        found += list(butter(int(rng.integers(1, 3)), _between(rng, 30, 150), "highpass", fs=rate, output="sos"))
    if rng.random() < 0.6:
        many = int(rng.integers(1, 5))
        found += [all_pass(_between(rng, 80, min(4000, top)), _between(rng, 0.3, 1.5), rate) for _ in range(many)]
    if rng.random() < 0.8:
        peaks = [(_between(rng, 100, min(6000, top)), _between(rng, 0.5, 2), rng.uniform(-8, 8)) for _ in range(3)]
        found += [peak(*one, rate) for one in peaks]
        found.append(shelf(_between(rng, 500, 3000), rng.uniform(-8, 8), rate, high=True))
        found.append(shelf(_between(rng, 100, 500), rng.uniform(-6, 6), rate, high=False))
    if rng.random() < 0.3:
        found += list(butter(int(rng.integers(2, 6)), top * rng.uniform(0.475, 1.0), "lowpass", fs=rate, output="sos"))
    return found


def _compressed(values: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Louder moments are brought down by a ratio of 1.5 to 5."""
    keep = np.exp(-1 / (rate * _between(rng, 0.005, 0.05)))
    envelope = np.sqrt(np.maximum(lfilter([1 - keep], [1, -keep], values**2), 1e-12))
    over = np.maximum(envelope / np.quantile(envelope, rng.uniform(0.4, 0.8)), 1.0)
    return values * over ** (1 / rng.uniform(1.5, 5.0) - 1)


def peak(hz: float, q: float, gain_db: float, rate: int) -> Section:
    """An equaliser's bell: gain_db at hz, as wide as hz / q."""
    gain, cosine, alpha = 10 ** (gain_db / 40), *_angle(hz, q, rate)
    return _section(
        (1 + alpha * gain, -2 * cosine, 1 - alpha * gain), (1 + alpha / gain, -2 * cosine, 1 - alpha / gain)
    )


def shelf(hz: float, gain_db: float, rate: int, high: bool) -> Section:
    """gain_db above hz (high), or below; steep as can be without a bump."""
    gain, cosine, alpha = 10 ** (gain_db / 40), *_angle(hz, 0.5**0.5, rate)
    if high:  # the low one, mirrored
        cosine = -cosine
    up, down, slope = gain + 1, gain - 1, 2 * gain**0.5 * alpha
    ahead = gain * (up - down * cosine + slope), 2 * gain * (down - up * cosine), gain * (up - down * cosine - slope)
    back = up + down * cosine + slope, -2 * (down + up * cosine), up + down * cosine - slope
    if high:
        ahead, back = (ahead[0], -ahead[1], ahead[2]), (back[0], -back[1], back[2])
    return _section(ahead, back)


def all_pass(hz: float, q: float, rate: int) -> Section:
    """No gain anywhere; the phase turns round once, half of that at hz."""
    cosine, alpha = _angle(hz, q, rate)
    return _section((1 - alpha, -2 * cosine, 1 + alpha), (1 + alpha, -2 * cosine, 1 - alpha))


def _angle(hz: float, q: float, rate: int) -> tuple[float, float]:
    angle = 2 * np.pi * hz / rate
    return float(np.cos(angle)), float(np.sin(angle) / (2 * q))


def _section(ahead: tuple[float, float, float], back: tuple[float, float, float]) -> Section:
    return np.array([*ahead, *back]) / back[0]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
