"""Linear-frequency cepstral coefficients, the front end of the ASVspoof challenges' baselines."""

import math

import torch
from torch import Tensor, nn

from app.features.mel import power_stft

FRAME_S, HOP_S = 0.02, 0.01
FILTER_HZ = 400.0  # apart; up to 8 kHz there are 20, as in those baselines
COEFFICIENTS = 20
FLOOR = 1e-9  # of a filter's power; full scale is 1
REACH = 2  # frames to either side that a delta looks at


class Lfcc(nn.Module):
    """(..., time) -> (..., 60, frames): 20 coefficients, their deltas, and the deltas of those.

    frames = 1 + time // hop, 10 ms apart. M. Sahidullah, T. Kinnunen, C. Hanilci, A comparison of features for
    synthetic speech detection, Interspeech 2015. Its tables go where the model goes: nothing is copied in a step.
    """

    filters: Tensor
    cosines: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.frame, self.hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
        filters = linear_filters(sample_rate, self.frame)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("cosines", cosines(len(filters), COEFFICIENTS), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        power = power_stft(waveform, self.frame, self.hop) / self.frame
        cepstrum = self.cosines @ (self.filters @ power).clamp_min(FLOOR).log()
        change = deltas(cepstrum)
        return torch.cat([cepstrum, change, deltas(change)], -2)


def linear_filters(sample_rate: int, frame: int) -> Tensor:
    """(filters, bins) triangles of height 1, evenly spread from 0 Hz to half of the rate, each as wide as two steps."""
    count = max(COEFFICIENTS, round(sample_rate / 2 / FILTER_HZ))
    centres = torch.linspace(0, sample_rate / 2, count + 2)
    bins = torch.arange(frame // 2 + 1) * (sample_rate / frame)
    rises = (bins - centres[:-2, None]) / (centres[1:-1] - centres[:-2])[:, None]
    falls = (centres[2:, None] - bins) / (centres[2:] - centres[1:-1])[:, None]
    return torch.minimum(rises, falls).clamp_min(0.0)


def cosines(inputs: int, outputs: int) -> Tensor:
    """(outputs, inputs): the first rows of the orthonormal DCT-II."""
    at = math.pi / inputs * (torch.arange(inputs, dtype=torch.float64) + 0.5)
    rows = torch.cos(torch.arange(outputs)[:, None] * at) * math.sqrt(2 / inputs)
    rows[0] /= math.sqrt(2)
    return rows.float()


def deltas(values: Tensor) -> Tensor:
    """(..., frames): slope of the line through 5 frames, of which those beyond an end repeat it."""
    frames = values.shape[-1]
    at = torch.arange(frames, device=values.device)
    slope = torch.zeros_like(values)
    for n in range(1, REACH + 1):
        slope += n * (values[..., (at + n).clamp_max(frames - 1)] - values[..., (at - n).clamp_min(0)])
    return slope / (2 * sum(n * n for n in range(1, REACH + 1)))
