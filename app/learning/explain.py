"""Which times and bands of a clip carried a model's answer: integrated gradients, or occlusion where there are none.

What is hidden gets the clip's mean level, as the stripes do that training hides: the model has met such clips. From the
clip with all of it hidden to the clip as it is, each place is credited with what it adds to the logit, so that the
credits add up to the difference of the two. Measures are hidden at their median, on the scales that a network has: a
step on the way, as where a voice begins, would be in no gradient. For a model that hears waveforms the same change of
level is made in the sound itself. Trees have no gradients: there patch after patch is hidden, and the map says what the
logit loses.

Sources: M. Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017; M. Zeiler and R. Fergus,
Visualizing and understanding convolutional networks, ECCV 2014. That a map must hang on what was learnt: J. Adebayo
et al., Sanity checks for saliency maps, NeurIPS 2018, of which the tests hold one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn.functional import pad

from app.features.batches import Batch, Waves
from app.models.inputs import on_the_way

GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
STEPS = 48  # of the way from hidden to heard
SMOOTH_S, SMOOTH_BANDS = 0.025, 1 / 64  # single cells say nothing: deviation of the blur, in time and of all bands
PATCH_S, PATCH_BANDS = 0.25, 1 / 8  # of occlusion: between the middles of neighbouring patches
TELLING = 0.1  # share of the clip that is hidden to test its map
ROLLS = 5  # other places, of the same shape and size, that it is compared with
MOST_DB, LEAST_DB = 20.0, -60.0  # change of level of a sound

# how much is hidden, 0..1, of the mel map (n, mels, frames) and of the measures (n, channels, frames) -> logits (n, 2)
Answer = Callable[[Tensor, Tensor], Tensor]


class Asked(NamedTuple):
    """A model and one clip of `frames` frames of sound."""

    answer: Answer
    mels: int
    frames: int
    channels: int = 0  # measures


class Credits(NamedTuple):
    """Columns are (fake, real)."""

    maps: Tensor  # (2, mels, frames)
    strip: Tensor  # (2, frames) of all measures together
    measures: Tensor  # (2, channels) of all frames together


class Explained(NamedTuple):
    """One clip. Columns are (fake, real), numbers are logits before calibration."""

    by: str  # GRADIENTS or OCCLUSION
    logits: NDArray[np.float64]  # (2,) of the clip
    without: NDArray[np.float64]  # (2,) with all of it hidden
    maps: NDArray[np.float32]  # (2, mels, frames): > 0 spoke for such a voice
    strip: NDArray[np.float32]  # (2, frames): the same of the pitch and spectral measures; 0 where a model has none
    measures: NDArray[np.float32]  # (2, channels): of each of them
    hidden: NDArray[np.float64]  # (2,) without the tenth of the map that told most for the answer given, yes or no
    elsewhere: NDArray[np.float64]  # (2,) mean, with as large a part of the same shape hidden in other places

    @property
    def missed(self) -> NDArray[np.float64]:
        """(2,) how far the credits are from adding up; nan for occlusion, whose credits need not."""
        total = self.maps.sum((1, 2), dtype=float) + self.strip.sum(1, dtype=float)
        return np.where(self.by == GRADIENTS, self.logits - self.without - total, np.nan)


def asked_of_features(network: nn.Module, clip: Batch, channels: Sequence[str]) -> Asked:
    """clip: one, (1, mels, frames). channels: names of its measures."""
    frames = int(clip.frames)
    mean = clip.mel[..., :frames].mean()
    median = clip.temporal[..., :frames].median(-1, keepdim=True).values

    def answer(seen: Tensor, heard: Tensor) -> Tensor:
        many = _many(clip, len(seen))
        mel = torch.lerp(many.mel, mean, _as_long(seen, many.mel))
        hidden = _as_long(heard, many.mel)
        measures = on_the_way(channels, many.temporal, median.expand_as(many.temporal), hidden)
        return network(many._replace(mel=mel, temporal=measures))

    return Asked(answer, clip.mel.shape[1], frames, len(channels))


def asked_of_sound(
    network: nn.Module, clip: Waves, mel_db: Tensor, mel_hz: NDArray[np.float64], sample_rate: int, frame: int, hop: int
) -> Asked:
    """clip: one, (1, samples). mel_db: (mels, frames) of its sound, mel_hz: the middle of each band in Hz.

    frame, hop: in samples, of the transform that it is changed in; four hops or more a frame. There are no measures.
    """
    window = torch.hann_window(frame)
    samples = int(clip.frames)
    spectrum = torch.stft(clip.wave[:, :samples], frame, hop, window=window, pad_mode="constant", return_complex=True)[
        0
    ]
    hz = np.linspace(0, sample_rate / 2, spectrum.shape[0])
    spread = np.stack([np.interp(hz, mel_hz, row) for row in np.eye(len(mel_hz))], 1)
    bands = torch.from_numpy(spread.astype(np.float32))  # (bins, mels)
    change_db = mel_db.mean() - mel_db

    def answer(seen: Tensor, heard: Tensor) -> Tensor:
        gain_db = _as_long(bands @ (seen * change_db), spectrum[None]).clamp(LEAST_DB, MOST_DB)
        sound = torch.istft(spectrum * 10 ** (gain_db / 20), frame, hop, window=window, length=samples)
        wave = pad(sound, (0, clip.wave.shape[-1] - samples))
        return network(_many(clip, len(seen))._replace(wave=wave))

    return Asked(answer, *mel_db.shape)


def explained(
    asked: Asked,
    hop_s: float,
    yes: Sequence[bool] | None = None,
    together: int = 8,
    between: Callable[[], None] = lambda: None,
) -> Explained:
    """The map of one clip, and a test of it.

    yes: which answers were that there is such a voice; None: by the logits. together: hidden clips that are answered
    at once; between: called as it goes, and may raise to leave.
    """
    answer, mels, frames, channels = asked
    nothing, silent = torch.zeros(mels, frames), torch.zeros(channels, frames)
    both = [(nothing, silent), (nothing + 1, silent + 1)]
    whole, without = _logits(answer, iter(both), together, between)
    by, credits = GRADIENTS, _gradients(asked, together, between)
    if credits is None:
        by, credits = OCCLUSION, _occlusion(asked, hop_s, whole, together, between)
    else:
        blur = (0, SMOOTH_BANDS * mels, SMOOTH_S / hop_s)
        credits = credits._replace(maps=torch.from_numpy(gaussian_filter(credits.maps.numpy(), blur)))
    told = [bool(logit >= 0) for logit in whole] if yes is None else yes
    probes = [_tenth(one, way) for one, way in zip(credits.maps, told, strict=True)]
    shapes = probes + [_rolled(one, n) for one in probes for n in range(1, ROLLS + 1)]
    after = _logits(answer, ((shape, silent) for shape in shapes), together, between)
    rolled = after[2:].unflatten(0, (2, ROLLS)).mean(1)
    return Explained(
        by,
        whole.numpy(),
        without.numpy(),
        credits.maps.float().numpy(),
        credits.strip.float().numpy(),
        credits.measures.float().numpy(),
        after[:2].diagonal().numpy().copy(),
        rolled.diagonal().numpy().copy(),
    )


def _gradients(asked: Asked, together: int, between: Callable[[], None]) -> Credits | None:
    """Integrated by the rule of midpoints; None where the answer has no gradient."""
    answer, mels, frames, channels = asked
    maps, measures = torch.zeros(2, mels, frames), torch.zeros(2, channels, frames)
    shares = (torch.arange(STEPS) + 0.5) / STEPS
    for some in shares.split(together):
        seen, heard = (
            some[:, None, None].expand(-1, rows, frames).clone().requires_grad_() for rows in (mels, channels)
        )
        logits = answer(seen, heard)
        if not logits.requires_grad:
            return None
        for column in (0, 1):
            into: Any = torch.autograd.grad(
                logits[:, column].sum(), (seen, heard), retain_graph=column == 0, allow_unused=True
            )
            for credits, gradient in zip((maps, measures), into, strict=True):
                if gradient is not None:
                    credits[column] -= gradient.sum(0) / STEPS
        between()
    return Credits(maps, measures.sum(1), measures.sum(2))


def _occlusion(asked: Asked, hop_s: float, whole: Tensor, together: int, between: Callable[[], None]) -> Credits:
    """What the logits lose without each patch, each time of the measures, and each measure; patches are blended."""
    answer, mels, frames, channels = asked
    time, band = _windows(frames, PATCH_S / hop_s), _windows(mels, PATCH_BANDS * mels)
    nothing, silent = torch.zeros(mels, frames), torch.zeros(channels, frames)

    def lost(hidden: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        return whole - _logits(answer, hidden, together, between)

    maps = lost((b[:, None] * t, silent) for b in band for t in time)
    strip = lost((nothing, t.expand(channels, -1)) for t in time)
    measures = (
        lost((nothing, one[:, None].expand(-1, frames)) for one in torch.eye(channels)) if channels else whole[:0]
    )
    time, band = time.double(), band.double()
    maps = torch.einsum("bm,tf,btc->cmf", band, time, maps.unflatten(0, (len(band), len(time))))
    return Credits(maps, torch.einsum("tf,tc->cf", time, strip), measures.reshape(channels, 2).T)


def _windows(size: int, step: float) -> Tensor:
    """(n, size) raised cosines `step` apart, the first and the last at the ends; they sum to 1 everywhere."""
    count = max(1, round((size - 1) / step))
    places = torch.arange(size) * (count / max(1, size - 1))
    distance = (places - torch.arange(count + 1)[:, None]).abs().clamp_max(1)
    return 0.5 + 0.5 * (torch.pi * distance).cos()


@torch.no_grad()
def _logits(
    answer: Answer, hidden: Iterator[tuple[Tensor, Tensor]], together: int, between: Callable[[], None]
) -> Tensor:
    """(n, 2) float64 of each that is hidden."""
    found, waiting = list[Tensor](), list[tuple[Tensor, Tensor]]()

    def ask() -> None:
        seen, heard = zip(*waiting, strict=True)
        found.append(answer(torch.stack(seen), torch.stack(heard)).double())
        waiting.clear()
        between()

    for one in hidden:
        waiting.append(one)
        if len(waiting) == together:
            ask()
    if waiting:
        ask()
    return torch.cat(found)


def _tenth(one: Tensor, yes: bool) -> Tensor:
    """(mels, frames) of 0 and 1: what spoke most for the answer that was given, yes or no; less where less spoke so."""
    toward = (one if yes else -one).flatten()
    most = toward.topk(max(1, round(TELLING * len(toward)))).indices
    shape = torch.zeros_like(toward)
    shape[most] = (toward[most] > 0).to(shape.dtype)
    return shape.view_as(one).float()


def _rolled(shape: Tensor, number: int) -> Tensor:
    """The same shape elsewhere, round the ends."""
    mels, frames = shape.shape
    return shape.roll((round(mels * number * 0.382), round(frames * number / (ROLLS + 1))), (0, 1))


def _many(clip: Any, clips: int) -> Any:
    """The one clip, so many times, as views."""
    return clip.each(lambda values: values.expand(clips, *values.shape[1:]))


def _as_long(hidden: Tensor, whole: Tensor) -> Tensor:
    """`hidden` with as many frames as `whole`: nothing is hidden beyond its end."""
    short = whole.shape[-1] - hidden.shape[-1]
    return pad(hidden, (0, short)) if short > 0 else hidden[..., : whole.shape[-1]]
