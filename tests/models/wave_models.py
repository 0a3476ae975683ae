"""Batches of waveforms, and a small front end with random weights where torchaudio's would lie."""

from contextlib import contextmanager

import torch
import torchaudio
from safetensors.torch import save_file

from app.config import TrainConfig
from app.config.ladder import LADDER
from app.features.batches import Waves
from app.models import pretrained

RATE = 16000
SMALL = TrainConfig(ssl="WAV2VEC2_BASE", dropout=0.1)
WAVE_NAMES = [name for name in LADDER if LADDER[name].reads == "waves"]


def waves_of(clips: int, samples: int = 8000, seed: int = 0) -> Waves:
    """Full clips: a harmonic tone each, in noise."""
    draw = torch.Generator().manual_seed(seed)
    at = torch.arange(samples) / RATE
    hz = 100 + 300 * torch.rand(clips, 1, generator=draw)
    tones = sum(torch.sin(2 * torch.pi * k * hz * at) / k for k in range(1, 6))
    wave = 0.05 * tones + 0.02 * torch.randn(clips, samples, generator=draw)
    targets = (torch.rand(clips, 2, generator=draw) > 0.5).float()
    return Waves(wave, torch.full((clips,), samples), targets)


def small_network():
    """torchaudio's wav2vec2 with two layers: the same code and state, other sizes."""
    return torchaudio.models.wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=[(16, 10, 5), (16, 3, 2), (16, 3, 2), (16, 3, 2), (16, 2, 2), (16, 2, 2)],
        extractor_conv_bias=False,
        encoder_embed_dim=24,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=16,
        encoder_pos_conv_groups=4,
        encoder_num_layers=2,
        encoder_num_heads=2,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=32,
        encoder_ff_interm_dropout=0.1,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.1,
        aux_num_out=None,
    )


@contextmanager
def small_front(home, monkeypatch):
    """WAV2VEC2_BASE is small, and its weights lie in torch's cache, written by torch.save as torch.hub leaves them."""
    known = pretrained.FRONTS["WAV2VEC2_BASE"]
    if torch.__version__.startswith(("2.0.", "2.1.")):  # which may not read what torch.save wrote
        known = known._replace(file="front.safetensors")
    torch.manual_seed(3)
    network = small_network()
    place = home / "hub" / "checkpoints"
    place.mkdir(parents=True)
    if known.file.endswith(".pth"):
        torch.save(network.state_dict(), place / known.file)
    else:
        save_file(network.state_dict(), place / known.file)
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(torchaudio.models, known.factory, small_network)
    monkeypatch.setitem(pretrained.FRONTS, "WAV2VEC2_BASE", known._replace(layers=2, width=24))
    pretrained.front_end.cache_clear()
    yield
    pretrained.front_end.cache_clear()
