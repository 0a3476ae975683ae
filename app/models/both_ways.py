"""Two GRUs over the same steps, one from each end, at once: for a CPU, where calls cost more than they compute.

Both directions are one batch of two, and what does not hang on the step before is computed for all steps together, so
that a third of torch's small calls are left. The equations are those of torch.nn.GRU (Cho et al. 2014,
https://arxiv.org/abs/1406.1078, with the reset gate after the product).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def both_ways(there: nn.GRU, back: nn.GRU, steps: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """What `there` hears in `steps`, and `back` in `turned`: (clips, steps, hidden) each.

    there, back: of one layer, one direction, with biases, and of one size. steps, turned: (clips, steps, features).
    """
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    numbers = [torch.stack([getattr(way, name) for way in (there, back)]) for name in names]
    inputs = torch.stack([steps.transpose(0, 1), turned.transpose(0, 1)])
    heard = _Gru.apply(inputs, *numbers)
    first, second = heard.transpose(1, 2).unbind()
    return first, second


class _Gru(torch.autograd.Function):
    """(ways, steps, clips, features) -> (ways, steps, clips, hidden). Weights as torch has them: reset, update, new."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, of_input: Tensor, shift: Tensor, of_state: Tensor, more: Tensor) -> Tensor:
        ways, length, clips = inputs.shape[:3]
        size = of_state.shape[-1]
        # of reset, update and new: first what the input gives, and in the end the gates themselves
        gates = torch.baddbmm(shift[:, None], inputs.flatten(1, 2), of_input.transpose(1, 2))
        gates = gates.view(ways, length, clips, 3 * size)
        recalled = torch.empty_like(gates)  # what the state gives
        heard = gates.new_empty(ways, length, clips, size)
        state, matrix, more = gates.new_zeros(ways, clips, size), of_state.transpose(1, 2).contiguous(), more[:, None]
        for step in range(length):
            gate, part = gates[:, step], recalled[:, step]
            torch.baddbmm(more, state, matrix, out=part)
            gate[..., : 2 * size].add_(part[..., : 2 * size]).sigmoid_()
            fresh = gate[..., 2 * size :].addcmul_(gate[..., :size], part[..., 2 * size :]).tanh_()
            state = torch.lerp(fresh, state, gate[..., size : 2 * size], out=heard[:, step])
        ctx.save_for_backward(inputs, of_input, of_state, gates, recalled[..., 2 * size :], heard)
        return heard

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor, ...]:
        inputs, of_input, of_state, gates, recalled, heard = ctx.saved_tensors
        ways, length, clips, size = heard.shape
        reset, update, new = gates.unflatten(-1, (3, size)).unbind(-2)
        before = torch.cat([torch.zeros_like(heard[:, :1]), heard[:, :-1]], 1)
        # how what comes out of the state before follows the state: by reset, update and new; and new before its tanh
        slopes = gates.new_empty(ways, length, clips, 3, size)
        fresh = (1 - update).mul_(1 - new * new)
        torch.mul(fresh, reset, out=slopes[..., 2, :])
        torch.mul(slopes[..., 2, :], recalled * (1 - reset), out=slopes[..., 0, :])
        torch.mul(before - new, update * (1 - update), out=slopes[..., 1, :])
        after = torch.empty_like(heard)
        state = wanted.new_zeros(ways, clips, size)
        for step in range(length - 1, -1, -1):
            mine = torch.add(state, wanted[:, step], out=after[:, step])
            part = slopes[:, step].mul_(mine[..., None, :])
            state = torch.baddbmm(mine * update[:, step], part.flatten(-2), of_state)
        slopes = slopes.view(ways, length * clips, 3 * size)
        by_state = torch.bmm(slopes.transpose(1, 2), before.flatten(1, 2)), slopes.sum(1)
        torch.mul(after.flatten(1, 2), fresh.flatten(1, 2), out=slopes[..., 2 * size :])
        by_input = torch.bmm(slopes.transpose(1, 2), inputs.flatten(1, 2)), slopes.sum(1)
        return torch.bmm(slopes, of_input).view_as(inputs), *by_input, *by_state
