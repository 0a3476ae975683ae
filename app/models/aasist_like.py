"""The waveform itself -> residual CNN -> graphs over time and over frequency that attend to each other.

In the manner of AASIST: J. Jung et al., AASIST: audio anti-spoofing using integrated spectro-temporal graph attention
networks, ICASSP 2022, with its sizes. It is no copy: the code is written from the paper, norms look at one clip
only where theirs look at the batch, a clip is its whole window, and there are two independent outputs.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.compat import in_full
from app.config import Config
from app.features.batches import Waves
from app.models.graphs import GraphAttention, GraphPool, StackedAttention
from app.models.sinc import SincFilters
from app.models.wave_inputs import at_rate, heard

RATE = 16000  # Hz, which it hears
FILTERS, TAPS = 70, 129
CHANNELS = (1, 32, 32, 64, 64, 64, 64)
BANDS = FILTERS // 3
NODE, DEEP = 64, 32  # width of a node, before and after the graphs are stacked
COOL, WARM = 2.0, 100.0  # temperatures: of a single graph, of both together


class AasistLike(nn.Module):
    trains_in_closed_form = False
    clips_at_once = 4  # on a CPU
    learning_rate = 5e-4

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.at_rate = at_rate(sample_rate, RATE)
        self.filters = SincFilters(FILTERS, TAPS, RATE)
        self.first_norm = nn.GroupNorm(1, 1)
        self.encoder = nn.Sequential(*(Residual(a, b, first=n == 0) for n, (a, b) in enumerate(pairwise(CHANNELS))))
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.6 times as fast, on a CPU too
        self.places = nn.Parameter(0.02 * torch.randn(BANDS, NODE))  # which band is which
        self.over_bands, self.over_time = (GraphAttention(NODE, NODE, COOL) for _ in range(2))
        self.fewer_bands, self.fewer_times = GraphPool(0.5, NODE), GraphPool(0.7, NODE)
        self.branches = nn.ModuleList(Branch() for _ in range(2))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(5 * DEEP, 2))

    @classmethod
    def of(cls, config: Config) -> "AasistLike":
        return cls(config.sample_rate)

    def learn(self, batches: Callable[[], Iterable[Waves]]) -> None:
        """Nothing: it hears clips at one level."""

    def forward(self, batch: Waves) -> Tensor:
        """(clips, 2) logits."""
        with in_full(batch.wave.device):
            bands = self.filters(self.at_rate(heard(batch))).abs()
        seen = F.selu(self.first_norm(F.max_pool2d(bands[:, None], 3)))
        seen = self.encoder(seen).abs()  # (clips, NODE, BANDS, times)
        bands = self.fewer_bands(self.over_bands(seen.amax(3).transpose(1, 2) + self.places))
        times = self.fewer_times(self.over_time(seen.amax(2).transpose(1, 2)))
        found = zip(*(branch(times, bands) for branch in self.branches), strict=True)
        times, bands, master = (torch.maximum(*map(self.dropout, both)) for both in found)
        told = [times.abs().amax(1), times.mean(1), bands.abs().amax(1), bands.mean(1), master[:, 0]]
        return self.head(torch.cat(told, -1))


class Residual(nn.Module):
    """Two convolutions around a shortcut, then a third of the time steps. (clips, channels, bands, times)"""

    def __init__(self, before: int, after: int, first: bool) -> None:
        super().__init__()
        self.norm_in = None if first else nn.GroupNorm(1, before)
        self.one = nn.Conv2d(before, after, (2, 3), padding=(1, 1))
        self.norm = nn.GroupNorm(1, after)
        self.two = nn.Conv2d(after, after, (2, 3), padding=(0, 1))
        self.shortcut = nn.Conv2d(before, after, (1, 3), padding=(0, 1)) if before != after else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        inner = values if self.norm_in is None else F.selu(self.norm_in(values))
        inner = self.two(F.selu(self.norm(self.one(inner))))
        return F.max_pool2d(inner + self.shortcut(values), (1, 3), ceil_mode=True)


class Branch(nn.Module):
    """Both graphs and a node that hears them, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.master = nn.Parameter(0.02 * torch.randn(1, 1, NODE))
        self.first, self.second = StackedAttention(NODE, DEEP, WARM), StackedAttention(DEEP, DEEP, WARM)
        self.fewer_times, self.fewer_bands = GraphPool(0.5, DEEP), GraphPool(0.5, DEEP)

    def forward(self, times: Tensor, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        times, bands, master = self.first(times, bands, self.master.expand(len(times), -1, -1))
        times, bands = self.fewer_times(times), self.fewer_bands(bands)
        more = self.second(times, bands, master)
        return times + more[0], bands + more[1], master + more[2]
