"""Attention over graphs whose nodes are all connected, in the manner of AASIST (see aasist_like)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GraphAttention(nn.Module):
    """(clips, nodes, before) -> (clips, nodes, after). How much a node heeds another hangs on their product."""

    def __init__(self, before: int, after: int, temperature: float, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.pairs, self.weight = nn.Linear(before, after), fresh(after)
        self.others, self.own = nn.Linear(before, after), nn.Linear(before, after)
        self.norm = nn.LayerNorm(after)
        self.temperature = temperature

    def forward(self, nodes: Tensor) -> Tensor:
        nodes = self.dropout(nodes)
        score = torch.tanh(self.pairs(products(nodes))) @ self.weight
        heed = (score / self.temperature).softmax(-1)
        return F.selu(self.norm(self.others(heed @ nodes) + self.own(nodes)))


class StackedAttention(nn.Module):
    """Two kinds of nodes, and one more that hears all of them: its attention has weights of its own for each pair."""

    def __init__(self, before: int, after: int, temperature: float, dropout: float = 0.2) -> None:
        super().__init__()
        self.kinds = nn.ModuleList(nn.Linear(before, before) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.pairs, self.pairs_master = nn.Linear(before, after), nn.Linear(before, after)
        self.within, self.across, self.to_master = fresh(2, after), fresh(after), fresh(after)
        self.others, self.own = nn.Linear(before, after), nn.Linear(before, after)
        self.others_master, self.own_master = nn.Linear(before, after), nn.Linear(before, after)
        self.norm = nn.LayerNorm(after)
        self.temperature = temperature

    def forward(self, one: Tensor, two: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(clips, nodes, before) of both kinds, (clips, 1, before) of the one that hears all; the same with `after`."""
        first = one.shape[1]
        nodes = self.dropout(torch.cat([kind(values) for kind, values in zip(self.kinds, (one, two), strict=True)], 1))
        hidden = torch.tanh(self.pairs(products(nodes)))
        same = torch.arange(nodes.shape[1], device=nodes.device) < first
        score = hidden @ self.across
        score = torch.where(same[:, None] & same, hidden @ self.within[0], score)
        score = torch.where(~same[:, None] & ~same, hidden @ self.within[1], score)
        heed = (score / self.temperature).softmax(-1)
        hears = torch.tanh(self.pairs_master(nodes * master)) @ self.to_master
        hears = (hears / self.temperature).softmax(-1)[:, None]
        master = self.others_master(hears @ nodes) + self.own_master(master)
        nodes = F.selu(self.norm(self.others(heed @ nodes) + self.own(nodes)))
        return nodes[:, :first], nodes[:, first:], master


class GraphPool(nn.Module):
    """Keeps the `share` of nodes that score highest, each times its score."""

    def __init__(self, share: float, width: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.share = share
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1), nn.Sigmoid())

    def forward(self, nodes: Tensor) -> Tensor:
        score = self.score(nodes)
        kept = score.topk(max(1, int(self.share * nodes.shape[1])), dim=1).indices
        return (nodes * score).gather(1, kept.expand(-1, -1, nodes.shape[-1]))


def products(nodes: Tensor) -> Tensor:
    """(clips, nodes, width) -> (clips, nodes, nodes, width) of every pair."""
    return nodes[:, :, None] * nodes[:, None]


def fresh(*shape: int) -> nn.Parameter:
    """A weight vector for each row of `shape`, drawn as Glorot and Bengio do."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(*shape, 1)).squeeze(-1))
