"""The best path through candidates, one a frame: Viterbi, batched over clips."""

import torch
from torch import Tensor


def best_path(gain: Tensor, octaves: Tensor, jump_cost: float, switch_cost: float) -> Tensor:
    """Indices of the states whose gains less the costs of their changes sum highest.

    gain: (..., states, frames), the last state standing for "unvoiced". octaves: (..., states - 1, frames), log2 of
    the frequency of each other state. From frame to frame, jump_cost is paid an octave between two voiced states
    and switch_cost between a voiced one and the unvoiced. Returns (..., frames), int64; ties go to the lower index.
    """
    *lead, states, frames = gain.shape
    clips = gain.reshape(-1, states, frames).permute(2, 0, 1).contiguous()
    steps = _step_costs(octaves.reshape(-1, states - 1, frames).permute(2, 0, 1), jump_cost, switch_cost)
    total, origins = clips[0], []
    for here, cost in zip(clips[1:], steps, strict=True):
        total, origin = (total.unsqueeze(-2) - cost).max(-1)
        total += here
        origins.append(origin)
    path = [total.argmax(-1, keepdim=True)]
    for origin in reversed(origins):
        path.append(origin.gather(-1, path[-1]))
    return torch.cat(path[::-1], -1).reshape(*lead, frames)


def _step_costs(octaves: Tensor, jump_cost: float, switch_cost: float) -> Tensor:
    """(frames, clips, candidates) -> (frames - 1, clips, states now, states before)."""
    frames, clips, candidates = octaves.shape
    cost = octaves.new_full((frames - 1, clips, candidates + 1, candidates + 1), switch_cost)
    cost[..., :-1, :-1] = (octaves[1:, :, :, None] - octaves[:-1, :, None, :]).abs_().mul_(jump_cost)
    cost[..., -1, -1] = 0
    return cost
