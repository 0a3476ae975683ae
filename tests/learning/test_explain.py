import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from app.config import Config, ExtractConfig
from app.config.ladder import LADDER
from app.features.batches import Batch, Waves
from app.features.extract import compute
from app.features.frames import frame_and_hop
from app.features.spectral_plan import mel_middles_hz
from app.learning.explain import _tenth, _windows, asked_of_features, asked_of_sound, explained
from app.learning.stripes import draw_stripes, hide_stripes
from app.models.crnn import Crnn
from app.models.registry import NAMES, build
from tests.models.model_batches import CHANNELS, EXTRACT, batch_of, model_of, with_garbage
from tests.models.wave_models import RATE, waves_of

HOP_S = 0.01
MELS, FRAMES = EXTRACT.mels, 160


@pytest.mark.parametrize(("size", "step"), [(501, 25.0), (64, 8.0), (13, 8.0), (2, 8.0), (1, 25.0), (40, 25.0)])
def test_patches_cover_every_place_alike(size, step):
    windows = _windows(size, step)
    assert torch.allclose(windows.sum(0), torch.ones(size), atol=1e-6)
    assert windows.min() >= 0 and windows.max() <= 1


class Place(nn.Module):
    """Reacts to the level of one place of the mel map, and in its other answer to nothing."""

    def __init__(self, bands: slice, frames: slice) -> None:
        super().__init__()
        self.bands, self.frames = bands, frames

    def forward(self, batch: Batch) -> torch.Tensor:
        level = batch.mel[:, self.bands, self.frames].mean((1, 2)) - batch.mel.mean((1, 2))
        return torch.stack([level / 10, torch.zeros_like(level)], 1)


def test_the_map_shows_the_place_that_a_model_reacts_to():
    """A tone in bands 8 to 10 from 0.6 to 0.8 s."""
    clip = batch_of(1, frames=FRAMES)
    clip.mel[:, 8:11, 60:80] = 40.0
    found = explained(asked_of_features(Place(slice(8, 11), slice(60, 80)), clip, CHANNELS), HOP_S)
    fake, real = found.maps
    inside = fake[8:11, 60:80]
    assert inside.min() > 0.2 * fake.max() and inside.sum() > 0.7 * fake.sum()
    far = np.ones_like(fake, bool)
    far[4:, 60 - 10 : 80 + 10] = False
    assert np.abs(fake[far]).max() < 0.05 * fake.max()
    assert np.abs(real).max() < 1e-6 and np.abs(found.strip).max() == 0
    assert found.logits[0] - found.hidden[0] > 5 * abs(found.logits[0] - found.elsewhere[0])


class Hears(nn.Module):
    """Reacts to one measure alone, by a step or a slope."""

    def __init__(self, name: str, steps: bool) -> None:
        super().__init__()
        self.channel, self.steps = CHANNELS.index(name), steps

    def forward(self, batch: Batch) -> torch.Tensor:
        level = batch.temporal[:, self.channel].mean(1)
        level = (level.detach() > 0.2).float() if self.steps else level
        return torch.stack([level, -level], 1) + 0 * batch.mel.detach().mean()


@pytest.mark.parametrize("steps", [False, True])
def test_the_measure_that_a_model_reacts_to_is_named(steps):
    clip = batch_of(1, frames=FRAMES)
    clip.temporal[0, CHANNELS.index("zcr")] = 0.1
    clip.temporal[0, CHANNELS.index("zcr"), :60] = 0.5
    found = explained(asked_of_features(Hears("zcr", steps), clip, CHANNELS), HOP_S)
    assert found.by == ("occlusion" if steps else "integrated gradients")
    of_zcr = CHANNELS.index("zcr")
    assert found.measures[0, of_zcr] == pytest.approx(1.0 if steps else 0.4 * 60 / FRAMES, abs=0.01)
    assert np.abs(np.delete(found.measures, of_zcr, 1)).max() < 1e-6
    assert found.measures[1] == pytest.approx(-found.measures[0])


class Stepwise(Place):
    """As a tree decides: loud enough or not."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return (super().forward(batch).detach() > 3.0).float()


def test_without_gradients_patch_after_patch_is_hidden():
    clip = batch_of(1, frames=FRAMES)
    clip.mel[:, 8:11, 60:80] = 10.0
    found = explained(asked_of_features(Stepwise(slice(8, 11), slice(60, 80)), clip, CHANNELS), HOP_S)
    assert found.by == "occlusion" and found.logits[0] == 1 and found.without[0] == 0
    band, frame = np.unravel_index(found.maps[0].argmax(), found.maps[0].shape)
    assert 7 <= band <= 11 and 50 <= frame <= 90
    assert np.abs(found.maps[1]).max() == 0


def test_padding_is_neither_hidden_nor_heard():
    clip = batch_of(1, frames=200)
    cut = with_garbage(clip, torch.tensor([FRAMES]))
    model = trained(batch_of(8, frames=40), steps=3)
    whole = explained(asked_of_features(model, cut, CHANNELS), HOP_S)
    alone = Batch(cut.mel[..., :FRAMES], cut.temporal[..., :FRAMES], cut.frames, cut.targets)
    same = explained(asked_of_features(model, alone, CHANNELS), HOP_S)
    assert whole.maps.shape == (2, MELS, FRAMES) and whole.strip.shape == (2, FRAMES)
    for a, b in zip(whole[1:], same[1:], strict=True):
        assert a == pytest.approx(b, abs=2e-5)


def still_clips() -> dict[str, Batch]:
    """Whose bands, or measures, do not move: without a band, silent, never voiced, one frame."""
    stopped, silent, unvoiced = (batch_of(1, frames=FRAMES, seed=n) for n in range(3))
    stopped.mel[:, 7:] = -100.0
    silent.mel[:], silent.temporal[:] = -100.0, 0.0
    unvoiced.temporal[:, 0] = 0.0
    return {"stopped": stopped, "silent": silent, "unvoiced": unvoiced, "one frame": batch_of(1, frames=1)}


@pytest.mark.parametrize("name", [name for name in NAMES if LADDER[name].reads == "extract"])
def test_what_does_not_move_has_credits_all_the_same(name):
    model = model_of(name)
    for what, clip in still_clips().items():
        found = explained(asked_of_features(model, clip, CHANNELS), HOP_S)
        for numbers in found[1:]:
            assert np.isfinite(numbers).all(), what
        if what != "silent" and found.by == "integrated gradients":
            total = found.maps.sum((1, 2)) + found.strip.sum(1)
            assert total == pytest.approx(found.logits - found.without, rel=0.2, abs=0.2), what


@pytest.mark.parametrize("name", ["lfcc_lcnn", "aasist_like"])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_silence_and_a_direct_current_have_finite_credits(name, level):
    torch.manual_seed(0)
    config = Config(sample_rate=RATE, extract=ExtractConfig(mel_hz=(40, 7600)))
    how, model = config.extract, build(name, config)
    model.learn(lambda: [waves_of(4)])
    wave = torch.full((1, 8000), level)
    clip = Waves(wave, torch.tensor([8000]), torch.full((1, 2), torch.nan), False)
    mel = compute(wave, RATE, how)[0][0]
    frame, hop = frame_and_hop(RATE, how)
    asked = asked_of_sound(model.eval(), clip, mel, mel_middles_hz(how.mels, how.mel_hz), RATE, frame, hop)
    found = explained(asked, HOP_S, together=2)
    for numbers in found[1:]:
        assert np.isfinite(numbers).all()


def test_credits_add_up_to_what_the_clip_adds():
    """Of a trained network, over both of its inputs, where voices come and go; blurring takes hardly any away."""
    batch = clips_with_bursts(64, seed=0)[0]
    for n in range(4):  # voiced in less than half of the frames: F0 is hidden as no voice
        batch.temporal[n, 0] = 0.0
        batch.temporal[n, 0, 30 : 60 + 20 * n] = torch.linspace(90.0, 240.0, 30 + 20 * n)
    model = trained(batch, steps=20)
    asked = []
    for n in range(4):
        answer = asked_of_features(model, batch.part(n, 1), CHANNELS)
        found = explained(answer, HOP_S, between=lambda: asked.append(1))
        total = found.maps.sum((1, 2)) + found.strip.sum(1)
        assert total == pytest.approx(found.logits - found.without, rel=0.02, abs=0.02)
        assert found.by == "integrated gradients" and np.abs(found.strip).sum() > 0
        assert found.measures.shape == (2, len(CHANNELS))
        assert found.measures.sum(1) == pytest.approx(found.strip.sum(1), abs=1e-4)
        assert np.abs(found.missed).max() < max(0.1, 0.02 * np.abs(found.logits - found.without).max())
        in_threes = explained(answer, HOP_S, together=3)
        assert in_threes.maps == pytest.approx(found.maps, abs=1e-4)
    assert len(asked) > 4 * 4


def clips_with_bursts(clips: int, seed: int) -> tuple[Batch, torch.Tensor]:
    """Noise; every second clip is fake, for a burst in bands 5 to 8 that begins anywhere. And where it begins."""
    draw = torch.Generator().manual_seed(seed)
    batch = batch_of(clips, frames=FRAMES, seed=seed)
    mel = -40 + 4 * torch.randn(batch.mel.shape, generator=draw)
    starts = torch.randint(0, FRAMES - 30, (clips,), generator=draw)
    for n in range(0, clips, 2):
        mel[n, 5:9, starts[n] : starts[n] + 30] += 15
    fake = (torch.arange(clips) % 2 == 0).float()
    return batch._replace(mel=mel, targets=torch.stack([fake, 1 - fake], 1)), starts


def trained(batch: Batch, steps: int) -> Crnn:
    """As `train` does it, with hidden stripes."""
    torch.manual_seed(1)
    rng = np.random.default_rng(0)
    model = Crnn(MELS, CHANNELS, cnn_channels=(8, 16), rnn_hidden=8, dropout=0.0)
    model.learn(lambda: [batch])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        seen = hide_stripes(batch, torch.from_numpy(draw_stripes(len(batch.mel), *batch.mel.shape[1:], rng)))
        F.binary_cross_entropy_with_logits(model(seen), batch.targets).backward()
        optimizer.step()
    return model.eval()


def randomised(model: Crnn) -> Crnn:
    """The same network with weights as they are drawn at the start; what it learnt of its inputs stays."""
    torch.manual_seed(2)
    other = Crnn(MELS, CHANNELS, cnn_channels=(8, 16), rnn_hidden=8, dropout=0.0)
    other.inputs.load_state_dict(model.inputs.state_dict())
    return other.eval()


def test_the_map_hangs_on_what_was_learnt():
    """The sanity check of Adebayo et al.: with random weights another map; with the learnt ones it finds the cause."""
    model = trained(clips_with_bursts(64, seed=0)[0], steps=20)
    unseen, starts = clips_with_bursts(16, seed=1)
    other, alike, found_it = randomised(model), [], []
    for n in range(0, 16, 2):
        clip = unseen.part(n, 1)
        learnt, random = (explained(asked_of_features(m, clip, CHANNELS), HOP_S) for m in (model, other))
        again = explained(asked_of_features(model, clip, CHANNELS), HOP_S)
        assert np.array_equal(again.maps, learnt.maps)
        assert learnt.logits[0] > 1
        burst = np.zeros_like(learnt.maps[0], bool)
        burst[5:9, starts[n] : starts[n] + 30] = True
        telling = np.maximum(learnt.maps[0], 0)
        found_it.append(telling[burst].sum() / telling.sum())
        alike.append(abs(spearmanr(learnt.maps[0].ravel(), random.maps[0].ravel()).statistic))
    assert np.mean(alike) < 0.3
    assert np.mean(found_it) > 5 * burst.mean()


class Listens(nn.Module):
    """Hears how loud a wave is about 1 kHz between 0.4 and 0.6 s, in dB."""

    def forward(self, batch: Waves) -> torch.Tensor:
        part = batch.wave[:, round(0.4 * RATE) : round(0.6 * RATE)]
        power = torch.fft.rfft(part).abs().square()[:, 190:211].sum(1)  # 5 Hz a bin
        level = 10 * power.log10() / 10
        return torch.stack([level, -level], 1)


def test_a_tenth_is_a_tenth():
    """Whatever the numbers are; where less than a tenth spoke for the answer, less is hidden, and never all."""
    draw = torch.Generator().manual_seed(0)
    flat, few = torch.zeros(20, 50), torch.zeros(20, 50)
    few[3, 7:10] = 1.0
    assert _tenth(torch.randn(20, 50, generator=draw), True).sum() == 100
    assert _tenth(torch.ones(20, 50), True).sum() == 100 and _tenth(torch.ones(20, 50), False).sum() == 0
    assert _tenth(flat, True).sum() == 0 and _tenth(few, True).sum() == 3
    noise = torch.randn(20, 50, generator=draw)
    assert (noise * _tenth(noise, False)).sum() == pytest.approx(float(noise.flatten().sort().values[:100].sum()))


def test_of_a_sound_the_same_place_is_found():
    draw = torch.Generator().manual_seed(0)
    at = torch.arange(RATE) / RATE
    wave = 0.02 * torch.randn(1, RATE, generator=draw) + 0.3 * torch.sin(2 * torch.pi * 1000 * at)
    clip = Waves(wave, torch.tensor([RATE]), torch.full((1, 2), torch.nan), False)
    how = EXTRACT.model_copy(update={"mel_hz": (40.0, 7600.0), "mels": 64})
    mel = compute(wave, RATE, how)[0][0]
    frame, hop = frame_and_hop(RATE, how)
    middles = mel_middles_hz(how.mels, how.mel_hz)
    asked = asked_of_sound(Listens(), clip, mel, middles, RATE, frame, hop)
    frames = mel.shape[-1]
    with torch.no_grad():
        untouched = asked.answer(torch.zeros(1, how.mels, frames), torch.zeros(1, 0, frames))
        assert untouched.numpy() == pytest.approx(Listens()(clip).numpy(), abs=1e-4)
    found = explained(asked, HOP_S)
    fake, real = found.maps
    tone = np.abs(middles - 1000).argmin()
    place = fake[tone - 3 : tone + 4, 36:65]  # a frame is 0.064 s
    assert place.sum() > 0.8 * np.maximum(fake, 0).sum()
    assert np.unravel_index(fake.argmax(), fake.shape)[0] in range(tone - 1, tone + 2)
    assert real == pytest.approx(-fake, abs=1e-5)
    assert fake.sum() == pytest.approx(found.logits[0] - found.without[0], rel=0.05)
    assert found.hidden[0] < found.elsewhere[0] - 1
    assert np.abs(found.strip).max() == 0
