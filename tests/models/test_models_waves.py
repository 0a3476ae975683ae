"""What holds for every model of the ladder that hears waveforms."""

import pickle
from contextlib import nullcontext

import pytest
import torch
import torchaudio
from torch.nn import functional as F
from wave_models import RATE, SMALL, WAVE_NAMES, small_front, waves_of

from app.config import Config, ExtractConfig
from app.config.ladder import LADDER
from app.errors import UserError
from app.features.batches import Waves
from app.learning.scorer import _as_here
from app.models import pretrained
from app.models.registry import build

every_model = pytest.mark.parametrize("name", WAVE_NAMES)
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _front(tmp_path_factory, monkeypatch):
    with small_front(tmp_path_factory.mktemp("hub"), monkeypatch):
        yield


def model_of(name: str, seed: int = 0, rate: int = RATE):
    torch.manual_seed(seed)
    config = Config(sample_rate=rate, extract=ExtractConfig(mel_hz=(40.0, 0.45 * rate)), train=SMALL)
    model = build(name, config)
    model.learn(lambda: [waves_of(4, seed=seed + 50)])
    return model.eval()


@every_model
@pytest.mark.parametrize(("clips", "samples"), [(1, 8000), (3, 5001), (2, 2600)])
def test_a_clip_gets_two_finite_logits(name, clips, samples):
    with torch.no_grad():
        logits = model_of(name)(waves_of(clips, samples))
    assert logits.shape == (clips, 2) and logits.dtype == torch.float32 and logits.isfinite().all()


@every_model
@pytest.mark.parametrize("rate", [22050, 32000])
def test_any_rate_will_do(name, rate):
    with torch.no_grad():
        assert model_of(name, rate=rate)(waves_of(2, rate // 2)).isfinite().all()


@every_model
def test_silence_nonsense_and_one_sample_are_finite(name):
    model = model_of(name)
    for value in (0.0, 1e30, -1.0, 1e-9):
        wave = torch.full((2, 6000), value)
        for frames in ([6000, 6000], [1, 6000], [0, 3]):
            with torch.no_grad():
                logits = model(Waves(wave, torch.tensor(frames), torch.zeros(2, 2)))
            assert logits.isfinite().all()


@every_model
def test_a_clip_answers_the_same_alone_and_among_others(name):
    model, batch = model_of(name), waves_of(4)
    batch = batch._replace(frames=torch.tensor([8000, 3000, 8000, 500]))
    with torch.no_grad():
        alone = torch.cat([model(batch.part(n, 1)) for n in range(4)])
        torch.testing.assert_close(model(batch), alone, rtol=0, atol=1e-4)


@every_model
def test_a_short_clip_is_heard_again_and_what_lies_beyond_is_not(name):
    model, batch = model_of(name), waves_of(2)
    short = batch._replace(frames=torch.tensor([3000, 3000]))
    beyond = torch.arange(8000) >= 3000
    repeated = batch.wave[:, torch.arange(8000) % 3000]
    with torch.no_grad():
        expected = model(Waves(repeated, torch.full((2,), 8000), batch.targets, padded=False))
        torch.testing.assert_close(model(short), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            model(short._replace(wave=torch.where(beyond, 99.0, batch.wave))), expected, rtol=0, atol=1e-5
        )


@every_model
@pytest.mark.parametrize("gain_db", [-30.0, 12.0])
def test_the_gain_of_a_clip_says_nothing(name, gain_db):
    model, batch = model_of(name), waves_of(2)
    with torch.no_grad():
        louder = model(batch._replace(wave=batch.wave * 10 ** (gain_db / 20)))
        torch.testing.assert_close(louder, model(batch), rtol=0, atol=1e-4)


@every_model
def test_in_double_precision_it_says_the_same(name):
    model, batch = model_of(name), waves_of(2)
    with torch.no_grad():
        single = model(batch)
        double = model.double()(batch.to(torch.device("cpu"), torch.float64))
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-3)


@every_model
def test_under_autocast_it_says_about_the_same(name):
    """As on a GPU, where bfloat16 is the default; a CPU casts the same operations."""
    model, batch = model_of(name), waves_of(2)
    with torch.no_grad():
        single = model(batch)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(batch)
    assert half.isfinite().all() and (half.float() - single).abs().max() < 0.2


@every_model
def test_it_hears_what_it_is_given(name):
    model, one, other = model_of(name), waves_of(3), waves_of(3, seed=1)
    with torch.no_grad():
        assert (model(one) - model(other)).abs().min() > 1e-6


@every_model
def test_a_loaded_model_answers_as_the_saved_one(name):
    saved, fresh, batch = model_of(name), model_of(name, seed=5), waves_of(2)
    fresh.load_state_dict(saved.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(batch), saved(batch)) and torch.equal(saved(batch), saved(batch))


@every_model
def test_gradients_reach_every_parameter(name):
    model, batch = model_of(name).train(), waves_of(6)
    F.binary_cross_entropy_with_logits(model(batch), batch.targets).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), parameter
        assert value.grad.abs().max() > 1e-9, parameter


@every_model
def test_eight_clips_can_be_overfitted(name):
    batch = waves_of(8, 2400)._replace(targets=torch.tensor([[n % 2, n // 2 % 2] for n in range(8)]).float())
    model = model_of(name)  # eval: no dropout
    rate = {"ssl_head": 1e-2, "aasist_like": 1e-3}.get(name, 3e-3)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.0)
    for _ in range(150):
        loss = F.binary_cross_entropy_with_logits(model(batch), batch.targets)
        if float(loss.detach()) < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05
    with torch.no_grad():
        assert ((model(batch) > 0) == (batch.targets > 0)).all()


def test_the_published_size_of_aasist():
    assert sum(p.numel() for p in model_of("aasist_like").parameters()) == 297_866  # as J. Jung et al. give it: 297k


# --- the front end that others trained


def front(weights=None):
    pretrained.front_end.cache_clear()
    return pretrained.front_end("WAV2VEC2_BASE", weights)


def test_weights_come_from_torchs_cache_or_from_a_file_and_are_not_trained(tmp_path):
    import safetensors.torch

    cached = front()
    path = tmp_path / "front.safetensors"
    safetensors.torch.save_file({k: v.clone() for k, v in cached.network.state_dict().items()}, path)
    named, wave = front(str(path)), waves_of(2).wave
    assert torch.equal(named.layers(wave), cached.layers(wave)) and cached.layers(wave).shape[1] == 2
    expected, _ = cached.network.extract_features(wave)
    assert torch.equal(named.layers(wave), torch.stack(expected, 1))
    model = model_of("ssl_head").train()
    assert not any(name.startswith("frozen") for name in model.state_dict())
    assert not any(p.requires_grad for p in model.frozen.network.parameters()) and not model.frozen.network.training


def test_what_is_wrong_with_weights_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"no weights of WAV2VEC2_BASE at .*(wav2vec2_fairseq_base_ls960.pth|front.safetensors)"
    ) as error:
        front()
    assert "torchaudio.pipelines.WAV2VEC2_BASE.get_model()" in error.value.fix and "ssl_weights" in error.value.fix
    other = tmp_path / "other.safetensors"
    import safetensors.torch

    safetensors.torch.save_file({"linear.weight": torch.zeros(2)}, other)
    with pytest.raises(UserError, match="not the weights of WAV2VEC2_BASE"):
        front(str(other))
    for name, data in (("torn.pth", b"PK\x03\x04"), ("empty.pth", b""), ("torn.safetensors", b"\x08")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=r"no weights that can be read|cannot read such a file safely"):
            front(str(tmp_path / name))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"weight": Evil()}, protocol=2))
    torch.save({"weight": Evil()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(UserError, match=r"no weights that can be read|cannot read such a file safely"):
            front(str(tmp_path / name))
    assert not (tmp_path / "was here").exists()


def test_a_head_goes_with_the_weights_it_was_trained_on_alone(tmp_path):
    import safetensors.torch

    trained = model_of("ssl_head").state_dict()
    other = {k: v + 0.01 for k, v in front().network.state_dict().items()}
    safetensors.torch.save_file(other, tmp_path / "other.safetensors")
    pretrained.front_end.cache_clear()
    config = Config(train=SMALL.model_copy(update={"ssl_weights": str(tmp_path / "other.safetensors")}))
    with pytest.raises(UserError, match="trained on other weights of WAV2VEC2_BASE"):
        build("ssl_head", config).load_state_dict(trained)


def test_a_front_end_that_lies_elsewhere_now_is_looked_for_in_torchs_cache(tmp_path):
    """The bare command has a model's folder and nothing else; which weights these are is checked when it is loaded."""
    there = Config(train=SMALL.model_copy(update={"ssl_weights": str(tmp_path / "gone.safetensors")}))
    assert _as_here(there).train.ssl_weights is None
    (tmp_path / "gone.safetensors").touch()
    assert _as_here(there) == there and "ssl_weights" not in LADDER["ssl_head"].keys


def test_names_and_sizes_are_torchaudios(monkeypatch):
    monkeypatch.undo()
    for name, known in pretrained.FRONTS.items():
        bundle = getattr(torchaudio.pipelines, name)
        assert bundle._path == known.file
        sizes = bundle._params["encoder_num_layers"], bundle._params["encoder_embed_dim"]
        assert sizes == (known.layers, known.width)
        with nullcontext() if torch.__version__.startswith("2.0.") else torch.device("meta"):  # which is quicker
            ours = getattr(torchaudio.models, known.factory)().state_dict()
            theirs = torchaudio.models.wav2vec2_model(**bundle._params).state_dict()
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
