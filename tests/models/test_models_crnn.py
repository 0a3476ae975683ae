"""The network's own parts against torch's."""

import pytest
import torch
from model_batches import batch_of, model_of, with_garbage
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from app.models.crnn import ClipNorm, Crnn, FirstConv, reversed_within

torch.set_num_threads(1)


def test_both_directions_without_packing_are_torchs_packed_bidirectional_rnn():
    model, frames = model_of("crnn"), torch.tensor([61, 1, 17, 60, 8, 4, 5, 33])
    _, temporal, mask = model.inputs(with_garbage(batch_of(8), frames))
    passed = {}
    model.far.register_forward_hook(lambda _, args, out: passed.update(steps=out))
    model.heard.register_forward_pre_hook(lambda _, args: passed.update(both=args[0][:, 8:]))
    model.listen(temporal, mask)

    packed = nn.GRU(8, 8, batch_first=True, bidirectional=True)
    names = [name.removesuffix("_l0") for name, _ in model.forwards.named_parameters()]
    packed.load_state_dict(
        {f"{name}_l0": getattr(model.forwards, f"{name}_l0") for name in names}
        | {f"{name}_l0_reverse": getattr(model.backwards, f"{name}_l0") for name in names}
    )
    lengths = (frames + 3) // 4
    sequence = pack_padded_sequence(passed["steps"].transpose(1, 2), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(packed(sequence)[0], batch_first=True, total_length=16)
    torch.testing.assert_close(passed["both"].transpose(1, 2), expected, rtol=0, atol=1e-6)


def test_turning_round_twice_is_nothing_and_padding_stays():
    steps, lengths = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([7, 1, 4, 0])
    turned = reversed_within(steps, lengths)
    assert torch.equal(turned[2, :4], steps[2, :4].flip(0)) and torch.equal(turned[2, 4:], steps[2, 4:])
    assert torch.equal(turned[3], steps[3]) and torch.equal(reversed_within(turned, lengths), steps)


def norms(channels: int) -> tuple[ClipNorm, nn.GroupNorm]:
    ours, theirs = ClipNorm(channels), nn.GroupNorm(1, channels)
    with torch.no_grad():
        theirs.weight.copy_(torch.linspace(0.5, 2, channels))
        theirs.bias.copy_(torch.linspace(-1, 1, channels))
        ours.gain.copy_(theirs.weight[:, None, None])
        ours.bias.copy_(theirs.bias[:, None, None])
    return ours, theirs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_clip_norm_is_torchs_group_norm_with_one_group(masked, offset):
    ours, theirs = norms(5)
    values = (offset + torch.randn(3, 5, 6, 11, generator=torch.Generator().manual_seed(1))).requires_grad_()
    mask = torch.ones(3, 1, 1, 11) if masked else None
    torch.testing.assert_close(ours(values, mask), theirs(values), rtol=0, atol=2e-5)
    weights = torch.randn(3, 5, 6, 11, generator=torch.Generator().manual_seed(2))
    found, expected = (
        torch.autograd.grad((n * weights).sum(), values)[0] for n in (ours(values, mask), theirs(values))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_clip_norm_of_a_padded_clip_is_group_norm_of_the_clip_cut_and_0_beyond():
    ours, theirs = norms(5)
    values, frames = 100 * torch.randn(4, 5, 6, 11, generator=torch.Generator().manual_seed(3)), [11, 1, 4, 10]
    mask = (torch.arange(11) < torch.tensor(frames)[:, None])[:, None, None].float()
    found = ours(values, mask)
    for clip, length in enumerate(frames):
        expected = theirs(values[clip : clip + 1, ..., :length])[0]
        torch.testing.assert_close(found[clip, ..., :length], expected, rtol=0, atol=1e-5)
        assert (found[clip, ..., length:] == 0).all()


@pytest.mark.parametrize("height", [1, 2, 13, 64])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 61])
def test_the_first_convolution_is_a_5_by_5_of_stride_2(height, frames):
    torch.manual_seed(4)
    conv, picture = FirstConv(6), torch.randn(2, 1, height, frames)
    expected = F.conv2d(picture, conv.weight, conv.bias, stride=2, padding=2)
    found = conv(picture)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    weights = torch.randn_like(found)
    gradients = [torch.autograd.grad((y * weights).sum(), [conv.weight, conv.bias]) for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_a_full_batch_and_one_with_a_padded_neighbour_take_two_ways_to_one_answer():
    model, batch = model_of("crnn"), batch_of(4)
    beside_padding = model(batch._replace(frames=torch.tensor([61, 61, 61, 20])))
    torch.testing.assert_close(model(batch)[:3], beside_padding[:3], rtol=0, atol=1e-5)


def test_dropout_is_drawn_in_training_from_the_seed_alone():
    model, batch = model_of("crnn").train(), batch_of(4)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model(batch).detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_eight_clips_can_be_overfitted():
    torch.manual_seed(0)
    batch = batch_of(8, frames=40)._replace(targets=torch.tensor([[n % 2, n // 2 % 2] for n in range(8)]).float())
    sizes = batch.mel.shape[1], tuple(f"channel_{n}" for n in range(batch.temporal.shape[1]))
    model = Crnn(*sizes, cnn_channels=(8, 16), rnn_hidden=16, dropout=0.0)
    model.learn(lambda: [batch])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(model(batch), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02
    assert ((model.eval()(batch) > 0) == (batch.targets > 0)).all()
