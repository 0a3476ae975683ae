"""Band-pass filters on the waveform itself."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SincFilters(nn.Module):
    """Fixed windowed-sinc band-passes, evenly spread on the mel scale from 0 Hz to half of the rate.

    M. Ravanelli, Y. Bengio, Speaker recognition from raw waveform with SincNet, SLT 2018; that they are not learnt
    is RawNet2's way for spoofing (H. Tak et al., ICASSP 2021).
    """

    kernels: Tensor

    def __init__(self, filters: int, taps: int, sample_rate: int) -> None:
        """taps: odd."""
        super().__init__()
        self.register_buffer("kernels", sinc_kernels(filters, taps, sample_rate)[:, None], persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(clips, samples) -> (clips, filters, samples - taps + 1)."""
        return F.conv1d(wave[:, None], self.kernels)


def sinc_kernels(filters: int, taps: int, sample_rate: int) -> Tensor:
    """(filters, taps), each with a gain of about 1 in its band."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, filters + 1, dtype=torch.float64) / 2595) - 1)
    at = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2

    def low_pass(hz: Tensor) -> Tensor:
        cut = 2 * hz[:, None] / sample_rate
        return cut * torch.sinc(cut * at)

    window = torch.hamming_window(taps, periodic=False, dtype=torch.float64)
    return ((low_pass(edges[1:]) - low_pass(edges[:-1])) * window).float()
