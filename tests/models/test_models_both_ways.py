"""Both directions at once give what torch's GRUs give, forward and backward."""

import pytest
import torch
from torch import nn

from app.models.both_ways import both_ways

torch.set_num_threads(1)


def pair(features: int, hidden: int, dtype: torch.dtype) -> list[nn.GRU]:
    torch.manual_seed(0)
    return [nn.GRU(features, hidden, batch_first=True, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("shape", [(3, 9, 5), (1, 1, 5), (7, 126, 48), (2, 40, 5)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_it_is_torchs_gru_once_from_each_end(shape, dtype, tolerance):
    there, back = pair(shape[-1], 48, dtype)
    draw = torch.Generator().manual_seed(1)
    steps = torch.randn(shape, generator=draw, dtype=dtype).requires_grad_()
    turned = (2 * torch.randn(shape, generator=draw, dtype=dtype)).requires_grad_()
    weights = torch.randn(2, *shape[:2], 48, generator=draw, dtype=dtype)
    learnt = [steps, turned, *there.parameters(), *back.parameters()]
    found = []
    for first, second in (both_ways(there, back, steps, turned), (there(steps)[0], back(turned)[0])):
        loss = (first * weights[0]).sum() + (second * weights[1]).sum()
        found.append([first, second, *torch.autograd.grad(loss, learnt)])
    for ours, theirs in zip(*found, strict=True):
        size = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * size)


def test_the_gradient_is_that_of_finite_differences():
    there, back = pair(3, 4, torch.float64)
    steps, turned = (torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    names = [name for name, _ in there.named_parameters()]

    def of(steps, turned, *values):
        ways = (
            dict(zip(names, values[:4], strict=True)),
            dict(zip(names, values[4:], strict=True)),
        )
        for gru, numbers in zip((there, back), ways, strict=True):
            for name, value in numbers.items():
                delattr(gru, name)
                setattr(gru, name, value)
        return both_ways(there, back, steps, turned)

    values = [value.detach().clone().requires_grad_() for gru in (there, back) for value in gru.parameters()]
    assert torch.autograd.gradcheck(of, (steps, turned, *values))


def test_what_is_far_beyond_the_gates_stays_a_number():
    there, back = pair(5, 8, torch.float32)
    steps = 1e4 * torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(2))
    steps.requires_grad_()
    first, second = both_ways(there, back, steps, steps)
    gradients = torch.autograd.grad((first + second).square().sum(), [steps, *there.parameters()])
    assert all(value.isfinite().all() for value in (first, second, *gradients)) and first.abs().max() <= 1
