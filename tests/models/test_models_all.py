"""What holds for every model of the ladder that reads features; test_models_waves has the others."""

import pytest
import torch
from model_batches import CHANNELS, EXTRACT, FRAMES, TRAIN, batch_of, clip_of, model_of, with_garbage

from app.config import Config
from app.config.ladder import LADDER
from app.errors import UserError
from app.models.registry import NAMES, build, check_names

READ = [name for name in NAMES if LADDER[name].reads == "extract"]
every_model = pytest.mark.parametrize("name", READ)
LENGTHS = torch.tensor([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 59, 60, 61])
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@every_model
@pytest.mark.parametrize("clips", [1, 5])
@pytest.mark.parametrize("frames", [1, 2, 7, 60, 61])
def test_a_clip_gets_two_finite_logits(name, clips, frames):
    logits = model_of(name)(batch_of(clips, frames))
    assert logits.shape == (clips, 2) and logits.dtype == torch.float32 and logits.isfinite().all()


@every_model
def test_silence_padding_and_one_frame_of_sound_are_finite(name):
    batch = batch_of(3)
    silence = batch._replace(mel=torch.full_like(batch.mel, -100.0), temporal=torch.zeros_like(batch.temporal))
    for frames in ([FRAMES] * 3, [1, 1, 1], [1, 30, FRAMES]):
        for clips in (batch, silence):
            assert model_of(name)(clips._replace(frames=torch.tensor(frames))).isfinite().all()


@every_model
def test_a_clip_full_of_nonsense_is_finite(name):
    for value in (-1e30, 0.0, 1e30):
        batch = batch_of(2)
        nonsense = batch._replace(
            mel=torch.full_like(batch.mel, value).clamp(-300, 300), temporal=torch.full_like(batch.temporal, value)
        )
        assert model_of(name)(nonsense).isfinite().all()


@every_model
def test_a_clip_answers_the_same_alone_and_among_others(name):
    model, batch = model_of(name), batch_of(6)
    alone = torch.cat([model(clip_of(batch, n)) for n in range(6)])
    torch.testing.assert_close(model(batch), alone, rtol=0, atol=1e-5)
    louder = batch._replace(mel=batch.mel + torch.tensor([0, 40, -20, 80, 5, 9.0])[:, None, None])
    torch.testing.assert_close(model(louder)[0], alone[0], rtol=0, atol=1e-5)


@every_model
def test_garbage_in_the_padding_changes_nothing(name):
    model = model_of(name)
    padded = with_garbage(batch_of(len(LENGTHS)), LENGTHS)
    cut = torch.cat([model(clip_of(padded, n)) for n in range(len(LENGTHS))])
    torch.testing.assert_close(model(padded), cut, rtol=0, atol=1e-5)


@every_model
@pytest.mark.parametrize("frames", [*range(1, 18), 24, 31, 32, 33])
def test_any_length_may_be_padded_by_any_amount(name, frames):
    model, length = model_of(name), torch.tensor([frames])
    expected = model(batch_of(1, frames, seed=frames))
    for total in (frames + 1, frames + 2, frames + 5, 64):
        clip, room = batch_of(1, frames, seed=frames), batch_of(1, total)
        room.mel[..., :frames], room.temporal[..., :frames] = clip.mel, clip.temporal
        torch.testing.assert_close(model(with_garbage(room, length)), expected, rtol=0, atol=1e-5)


@every_model
@pytest.mark.parametrize("gain_db", [-30.0, -6.0, 12.0])
def test_the_gain_of_a_clip_says_nothing(name, gain_db):
    model, batch = model_of(name), batch_of(4)
    batch.mel[:, :, 20:30], batch.temporal[:, CHANNELS.index("rms"), 20:30] = -100.0, 0.0  # digital silence stays
    batch.mel[:, 3, 5] = 30.0  # so that 80 dB below lies above the floor of the features, whatever the gain
    louder = batch._replace(mel=(batch.mel + gain_db).clamp_min(-100.0), temporal=batch.temporal.clone())
    louder.temporal[:, CHANNELS.index("rms")] *= 10 ** (gain_db / 20)
    torch.testing.assert_close(model(louder), model(batch), rtol=0, atol=1e-4)


@every_model
def test_eval_is_deterministic(name):
    first, second = model_of(name), model_of(name)
    batch = with_garbage(batch_of(5), torch.tensor([61, 3, 40, 8, 61]))
    assert torch.equal(first(batch), first(batch)) and torch.equal(first(batch), second(batch))


@every_model
def test_the_answer_depends_on_both_feature_maps(name):
    model, batch, other = model_of(name), batch_of(4), batch_of(4, seed=1)
    assert (model(batch) - model(batch._replace(mel=other.mel))).abs().min() > 1e-6
    assert (model(batch) - model(batch._replace(temporal=other.temporal))).abs().min() > 1e-6


@every_model
def test_a_loaded_model_answers_as_the_saved_one(name):
    saved = model_of(name)
    fresh = build(name, Config(extract=EXTRACT, train=TRAIN)).eval()
    fresh.load_state_dict(saved.state_dict())
    assert torch.equal(fresh(batch_of(3)), saved(batch_of(3)))


@every_model
def test_gradients_reach_every_parameter(name):
    for frames in (torch.full((8,), FRAMES), torch.tensor([61, 50, 40, 30, 20, 10, 5, 1])):
        model, batch = model_of(name).train(), batch_of(8)._replace(frames=frames)
        if not list(model.parameters()):  # trees
            continue
        with torch.enable_grad():
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), batch.targets)
            loss.backward()
        for parameter, value in model.named_parameters():
            assert value.grad is not None and value.grad.isfinite().all(), parameter
            assert value.grad.abs().max() > 1e-7, parameter


def test_an_unknown_model_is_an_error_that_names_the_nearest():
    with pytest.raises(UserError, match="unknown model 'crn'") as error:
        build("crn", Config())
    assert "did you mean 'crnn'?" in str(error.value)
    with pytest.raises(UserError, match="'pooled_logistics'") as error:
        check_names(("crnn", "pooled_logistics"))
    assert "did you mean 'pooled_logistic'?" in str(error.value)
    with pytest.raises(UserError) as error:
        check_names(("resnet",))
    assert "known: pooled_logistic, pooled_boosting, pooled_mlp, crnn, " in str(error.value)


def test_every_name_of_the_registry_can_be_built_with_the_default_config():
    check_names(NAMES)
    for name in READ:
        assert build(name, Config())(_default_batch()).shape == (2, 2)


def _default_batch():
    from app.features.batches import Batch
    from app.features.extract import channel_names

    cfg = Config().extract
    return Batch(
        torch.zeros(2, cfg.mels, 50),
        torch.zeros(2, len(channel_names(cfg)), 50),
        torch.tensor([50, 20]),
        torch.zeros(2, 2),
    )
