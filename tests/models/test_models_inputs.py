"""What a network sees: normalised, level taken out, padding 0."""

import numpy as np
import pytest
import torch
from model_batches import CHANNELS, EXTRACT, batch_of, model_of, with_garbage

from app.models.inputs import SPREAD, Inputs

FRAMES = torch.tensor([61, 1, 20, 44, 7, 60])
BATCH = with_garbage(batch_of(6), FRAMES)
BATCH.mel[0, :, 10:14], BATCH.temporal[0, CHANNELS.index("rms"), 10:14] = -100.0, 0.0  # digital silence


def sound_frames(name: str) -> np.ndarray:
    """What is normalised, by numpy alone: one column a sound frame of the batch."""
    columns = []
    for clip, frames in enumerate(FRAMES.tolist()):
        mel = BATCH.mel[clip, :, :frames].double().numpy()
        values = BATCH.temporal[clip, :, :frames].double().numpy()
        if name == "mel":
            mel = np.maximum(mel, mel.max() - 80)
            columns.append(mel - mel.mean())
            continue
        row = values[CHANNELS.index(name)]
        if name == "rms":
            row = 20 * np.log10(np.maximum(row, 1e-8))
            row = np.maximum(row, row.max() - 80)
            row = row - row.mean()
        elif name == "f0_hz":
            row = np.where(row > 0, np.log2(np.maximum(row, 1) / 150), 0)
        elif name.endswith("_hz"):
            row = np.log2(row + 100)
        elif name in ("flatness", "flux"):
            row = np.log10(row + 1e-5)
        columns.append(row[None])
    return np.concatenate(columns, 1)


def learned(*batches) -> Inputs:
    inputs = Inputs(EXTRACT.mels, CHANNELS)
    inputs.learn(batches)
    return inputs


@pytest.mark.parametrize("name", ["mel", *CHANNELS])
def test_statistics_are_numpys_over_the_sound_frames(name):
    inputs, expected = learned(BATCH), sound_frames(name)
    if name == "mel":
        mean, std = inputs.mel_mean[:, 0], inputs.mel_std[:, 0]
    else:
        row = CHANNELS.index(name)
        mean, std = inputs.temporal_mean[row], inputs.temporal_std[row]
    assert mean.numpy() == pytest.approx(expected.mean(1), rel=1e-4, abs=1e-4)
    assert std.numpy() == pytest.approx(expected.std(1), rel=1e-4)


def test_statistics_do_not_depend_on_how_the_clips_are_batched():
    parts = [BATCH.part(*part) for part in ((0, 1), (1, 3), (4, 2))]
    for name, value in learned(BATCH).state_dict().items():
        torch.testing.assert_close(learned(*parts).state_dict()[name], value, rtol=1e-6, atol=1e-6)


def test_what_is_seen_has_mean_0_spread_1_and_0_in_the_padding():
    mel, temporal, mask = learned(BATCH)(BATCH)
    assert mask.sum((1, 2)).tolist() == FRAMES.tolist()
    for values in (mel, temporal):
        there = values.transpose(0, 1)[:, mask[:, 0] > 0]
        assert there.mean(1).abs().max() < 0.02 and (there.std(1) - 1).abs().max() < 0.05  # a little is clamped
        assert (values * (1 - mask) == 0).all() and values.abs().max() <= 8


def test_a_channel_that_never_changes_is_not_blown_up():
    batch = batch_of(3)
    row = CHANNELS.index("zcr")
    batch.temporal[:, row] = 0.3
    inputs = learned(batch)
    assert inputs.temporal_std[row] == pytest.approx(SPREAD)
    assert inputs(batch)[1][:, row].abs().max() < 0.01


@pytest.mark.parametrize("name", ["pooled_logistic", "crnn"])
def test_statistics_are_saved_with_the_weights(name):
    saved = {key for key in model_of(name).state_dict() if key.startswith("inputs.")}
    assert saved == {f"inputs.{map}_{what}" for map in ("mel", "temporal") for what in ("mean", "std")}


def test_the_batch_is_left_as_it_was():
    before = [values.clone() for values in BATCH[:4]]
    learned(BATCH)(BATCH)
    assert all(torch.equal(a, b) for a, b in zip(before, BATCH[:4], strict=True))
