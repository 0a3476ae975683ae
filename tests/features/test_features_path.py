from itertools import product

import pytest
import torch

from app.features.path import best_path


def worth(gain, octaves, path, jump_cost, switch_cost):
    """What a path sums to, step by step; the last state is the unvoiced one."""
    unvoiced = gain.shape[0] - 1
    total = sum(gain[state, k] for k, state in enumerate(path))
    for k, (before, now) in enumerate(zip(path[:-1], path[1:], strict=True)):
        if (before == unvoiced) != (now == unvoiced):
            total -= switch_cost
        elif now != unvoiced:
            total -= jump_cost * abs(octaves[now, k + 1] - octaves[before, k])
    return float(total)


@pytest.mark.parametrize("seed", range(5))
def test_no_path_is_worth_more(seed):
    torch.manual_seed(seed)
    gain, octaves = torch.rand(2, 3, 6, dtype=torch.float64), 2 * torch.rand(2, 2, 6, dtype=torch.float64)
    found = best_path(gain, octaves, jump_cost=0.5, switch_cost=0.2)
    for clip in range(2):
        values = {path: worth(gain[clip], octaves[clip], path, 0.5, 0.2) for path in product(range(3), repeat=6)}
        assert tuple(found[clip].tolist()) == max(values, key=values.__getitem__)


def test_one_frame_takes_its_best_state():
    assert best_path(torch.tensor([[0.2], [0.9], [0.5]]), torch.zeros(2, 1), 1.0, 1.0).tolist() == [1]
