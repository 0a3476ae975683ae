"""A room: the sound itself, and after it noise that dies away exponentially."""

import numpy as np
import scipy.fft

from app.audio.level import Waveform

LONGEST_S = 2.0  # of a recorded response
PRE_DELAY_S = 0.0025  # from the direct sound to the first reflection; DRR counts the energy before it as direct


def room_response(rng: np.random.Generator, sample_rate: int, t60_s: float, drr_db: float) -> Waveform:
    """A room impulse response, (time,) float32, the direct sound first with amplitude 1.

    t60_s: time in which the reverberation falls by 60 dB, also the length of
    the response after its pre-delay of 2.5 ms. drr_db: energy of the direct
    sound against that of all else, met exactly. The reverberation is white
    Gaussian noise under an exponential: J. D. Polack, La transmission de
    l'énergie sonore dans les salles, 1988. Raises ValueError unless t60_s > 0.
    """
    if not t60_s > 0:
        raise ValueError(f"a reverberation time of {t60_s:g} s")
    delay = max(round(PRE_DELAY_S * sample_rate), 1)
    length = max(round(t60_s * sample_rate), 1)
    decay = np.exp(np.arange(length, dtype=np.float32) * np.float32(-3 * np.log(10) / (t60_s * sample_rate)))
    tail = rng.standard_normal(length, dtype=np.float32) * decay
    energy = float(np.sum(tail.astype(np.float64) ** 2))
    response = np.zeros(delay + length, np.float32)
    response[0] = 1.0
    response[delay:] = tail * np.float32(np.sqrt(10 ** (-drr_db / 10) / max(energy, 1e-12)))
    return response


def recorded_response(samples: Waveform, sample_rate: int) -> Waveform:
    """A measured or simulated room impulse response, (time,), as `reverberate` wants it: the direct sound first.

    What lies before the highest peak is cut, the peak is 1, and the tail ends where 60 dB of the energy are gone, after
    two seconds at the latest. Raises ValueError for silence.
    """
    peak = int(np.abs(samples).argmax()) if len(samples) else 0
    if not len(samples) or abs(samples[peak]) < 1e-6:
        raise ValueError("a room response without any sound")
    heard = samples[peak : peak + round(LONGEST_S * sample_rate)] / samples[peak]
    left = np.cumsum(np.square(heard, dtype=np.float64)[::-1])[::-1]  # Schroeder's integral
    return np.ascontiguousarray(heard[: int((left > 1e-6 * left[0]).sum())], dtype=np.float32)


def reverberate(samples: Waveform, response: Waveform) -> Waveform:
    """The samples, (..., time), as heard in the room: same shape, the direct sound where it was.

    What rings on beyond the end is cut: pad the samples to keep it. Silence
    stays silence. Convolution by FFT in single precision, in blocks of two to
    four times the response (overlap-save): half the time of one long transform.
    """
    length, before = samples.shape[-1], len(response) - 1
    if length == 0:
        return samples
    size = 2 ** (2 * len(response) - 1).bit_length()
    hop = size - before
    blocks = -(-length // hop)
    padded = np.zeros((*samples.shape[:-1], before + blocks * hop), np.float32)
    padded[..., before : before + length] = samples
    spectra = scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::hop, :])
    spectra *= scipy.fft.rfft(response, size)
    heard = scipy.fft.irfft(spectra, size, overwrite_x=True)[..., before:]
    return heard.reshape(*samples.shape[:-1], blocks * hop)[..., :length]
