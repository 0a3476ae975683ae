"""Spectral gating: time-frequency cells that do not rise above the noise are turned down."""

import numpy as np

from app.audio.level import Waveform

WINDOW_S = 0.032
LEAST_WINDOWS = 8  # a noise profile needs some frames to have a spread
QUIETEST = 0.1  # share of the clip that tells what its noise is


def gate(samples: Waveform, sample_rate: int, *, stationary: bool, reduction: float) -> Waveform:
    """The samples, (..., time), with less noise: same shape, float32, finite, at the same rate.

    stationary: one noise profile for the whole clip, from its quietest tenth;
    else the profile follows the clip. reduction: how much of a gated cell is
    taken away, 0 (nothing) to 1 (all). A clip under 8 windows of 32 ms or
    without any sound comes back as it is. Each channel has its own profile.
    T. Sainburg, noisereduce 3.0.3, after Audacity's noise reduction.
    """
    import noisereduce  # pulls in torch: only who gates pays for that

    # noisereduce fixes the window in samples; the same time at every rate needs it told
    window = 2 ** round(np.log2(WINDOW_S * sample_rate))
    out = samples.astype(np.float32)
    for index in np.ndindex(samples.shape[:-1]):
        profile = _quietest(samples[index], window)
        if samples.shape[-1] >= LEAST_WINDOWS * window and len(profile):
            out[index] = noisereduce.reduce_noise(
                samples[index],
                sample_rate,
                y_noise=profile if stationary else None,
                stationary=stationary,
                prop_decrease=reduction,
                n_fft=window,
                # zeros around the clip: a fixed profile needs a few windows, a moving one a second or two
                padding=4 * window if stationary else 30_000,
                n_jobs=1,
                use_tqdm=False,
            )
    return out


def _quietest(samples: Waveform, window: int) -> Waveform:
    """The tenth of the samples, (time,), with the least power, in windows end to end; digital silence is no noise.

    noisereduce would take the whole clip for its noise, and a voice that
    speaks throughout for part of it.
    """
    windows = samples[: len(samples) // window * window].reshape(-1, window)
    power = np.square(windows, dtype=np.float64).mean(-1)
    sounding = np.flatnonzero(power > 0)
    count = max(round(QUIETEST * len(windows)), LEAST_WINDOWS)
    chosen = sounding[np.argsort(power[sounding], kind="stable")[:count]]
    return windows[np.sort(chosen)].reshape(-1)
