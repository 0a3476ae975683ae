import pytest
import torch
from feature_sounds import add_noise, real_ids, recording, tone, voice, white_noise

from app.config import ExtractConfig
from app.features import temporal
from app.features.extract import by_tensors, channel_names, compute, num_frames
from app.features.mel import log_mel, mel_filters, power_stft
from app.features.pitch import pitch
from app.features.texture import texture
from app.features.texture_plan import texture_plan

CONFIGS = {16000: ExtractConfig(mel_hz=(40.0, 7600.0)), 32000: ExtractConfig()}


def batch_of(sample_rate):
    """Eight clips of 2 s: voices, a recording, a tone, noise, silence, a constant, full-scale clipping, one click."""
    time = 2 * sample_rate
    clips = torch.zeros(8, time)
    for k, wave in enumerate(
        [
            add_noise(voice(120.0, sample_rate, 0)[0], 10.0, 0),
            recording(real_ids(2)[1], sample_rate)[:time],
            tone(300.0, sample_rate, 2.0),
            white_noise(0, time),
        ]
    ):
        clips[k, : len(wave)] = torch.from_numpy(wave)
    clips[5] = 0.25
    clips[6] = torch.from_numpy(white_noise(1, time, 5.0)).sign()
    clips[7, time // 2] = 1.0
    return clips


@pytest.mark.parametrize("sample_rate", CONFIGS)
def test_a_batch_equals_its_items(sample_rate):
    clips, cfg = batch_of(sample_rate), CONFIGS[sample_rate]
    whole = compute(clips, sample_rate, cfg)
    for k in range(len(clips)):
        alone = compute(clips[k : k + 1], sample_rate, cfg)
        torch.testing.assert_close(whole.mel[k], alone.mel[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(whole.temporal[k], alone.temporal[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sample_rate", CONFIGS)
def test_shapes_and_ranges(sample_rate):
    cfg = CONFIGS[sample_rate]
    mel, channels = compute(batch_of(sample_rate), sample_rate, cfg)
    frames = num_frames(2 * sample_rate, sample_rate, cfg)
    assert frames == 201
    assert mel.shape == (8, cfg.mels, frames) and channels.shape == (8, len(channel_names(cfg)), frames)
    assert mel.dtype == channels.dtype == torch.float32
    assert mel.isfinite().all() and channels.isfinite().all()
    assert float(mel.min()) == pytest.approx(-100, abs=1e-3)  # the last bit is the processor's
    by_name = dict(zip(channel_names(cfg), channels.unbind(1), strict=True))
    f0 = by_name.pop("f0_hz")
    assert ((f0 == 0) | ((f0 >= cfg.f0_hz[0]) & (f0 <= cfg.f0_hz[1]))).all() and (f0 > 0).any()
    for name, row in by_name.items():
        if name.startswith(("pulse", "residual")):
            assert row.abs().max() < 40 and row.std() > 0.1, name
            continue
        most = sample_rate / 2 if name.endswith("_hz") else 1.0
        assert row.min() >= 0 and row.max() > 0, name
        assert row.max() <= most or name.startswith("contrast"), name


def test_channels_are_what_they_are_called():
    sample_rate, cfg = 16000, CONFIGS[16000]
    clips = batch_of(sample_rate)
    mel, channels = by_tensors(clips, sample_rate, cfg)
    by_name = dict(zip(channel_names(cfg), channels.unbind(1), strict=True))
    power = power_stft(clips, 1024, 160)
    centre = temporal.centroid_hz(power.sqrt(), 15.625)
    f0, voicing = pitch(clips, sample_rate, 1024, 160, cfg.f0_hz)
    expected = {
        "f0_hz": f0,
        "voicing": voicing,
        "rolloff_hz": temporal.rolloff_hz(power.sqrt(), 15.625, cfg.roll_off),
        "centroid_hz": centre,
        "bandwidth_hz": temporal.bandwidth_hz(power.sqrt(), 15.625, centre),
        "flatness": temporal.flatness(power),
        "flux": temporal.flux(power.sqrt(), 3),
        "zcr": temporal.zero_crossing_rate(clips, 1024, 160),
        "rms": temporal.rms(clips, 1024, 160),
    }
    for name, row in expected.items():
        assert torch.equal(by_name.pop(name), row), name
    plan = texture_plan(16000, 160, 201, cfg.texture_bands, cfg.texture_hz)
    fine = texture(clips, 160, 201, plan)
    assert torch.equal(torch.stack([by_name.pop(name) for name in channel_names(cfg)[15:]], 1), fine)
    assert list(by_name) == [f"contrast_{k}" for k in range(cfg.contrast_bands + 1)]
    assert torch.equal(mel, log_mel(power, mel_filters(16000, 1024, cfg.mels, cfg.mel_hz)))


ODD = {
    16000: ExtractConfig(mel_hz=(0.0, 8000.0), mels=20, frame_s=0.0333, hop_s=0.0125, contrast_bands=3, roll_off=0.5),
    32000: ExtractConfig(mels=80, frame_s=0.05, hop_s=0.02, f0_hz=(80.0, 400.0), contrast_bands=6),
    44100: ExtractConfig(mel_hz=(20.0, 20000.0), frame_s=0.2, hop_s=0.01),
    8000: ExtractConfig(mel_hz=(100.0, 3800.0), mels=24, contrast_bands=4),
}


NEAR = {"pulse": 5e-3, "residual": 5e-3}  # logarithms of what may lie near the floor; they spread by .25 and more


@pytest.mark.parametrize(
    ("sample_rate", "cfg"), [*CONFIGS.items(), *ODD.items()], ids=lambda value: value if isinstance(value, int) else ""
)
def test_a_cpu_frame_by_frame_says_what_tensors_say(sample_rate, cfg):
    clips = torch.cat([batch_of(sample_rate), 1e-3 * batch_of(sample_rate)[:4]])
    ours, theirs = compute(clips, sample_rate, cfg), by_tensors(clips, sample_rate, cfg)
    broad = [k for k in range(12) if k not in (2, 5, 10)]  # beside a lone tone or a constant, bins hold rounding alone
    for k in (2, 10):
        louder = theirs.mel[k] > theirs.mel[k].amax(0) - 80
        assert (ours.mel[k] - theirs.mel[k])[louder].abs().max() < 2e-3
    here, there = 10 ** (ours.mel[broad] / 20), 10 ** (theirs.mel[broad] / 20)
    # two libraries round their transforms otherwise: by 1e-7 of the loudest band of a frame
    assert ((here - there).abs() <= 3e-5 * there + 1e-7 * there.amax(1, keepdim=True)).all()
    for k, name in enumerate(channel_names(cfg)):
        here, there = ours.temporal[:, k], theirs.temporal[:, k]
        if name in ("f0_hz", "voicing", "rolloff_hz"):  # a tie may fall otherwise
            assert torch.isclose(here, there, rtol=1e-4, atol=1e-5).float().mean() > 0.998, name
        else:
            chosen = list(range(12)) if name in ("flatness", "flux", "zcr", "rms") else broad
            # a valley may be of rounding
            near = {"rtol": 5e-3 if name.startswith("contrast") else 1e-4, "atol": NEAR.get(name.split("_")[0], 1e-4)}
            torch.testing.assert_close(
                here[chosen], there[chosen], **near, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("way", [compute, by_tensors])
@pytest.mark.parametrize("time", [1, 2, 159, 160, 700])
def test_clips_shorter_than_a_frame(time, way):
    cfg = CONFIGS[16000]
    for wave in (white_noise(2, time), tone(200.0, 16000, time / 16000)):
        mel, channels = way(torch.from_numpy(wave)[None], 16000, cfg)
        assert mel.shape[-1] == channels.shape[-1] == num_frames(time, 16000, cfg)
        assert mel.isfinite().all() and channels.isfinite().all()


@pytest.mark.parametrize("way", [compute, by_tensors])
@pytest.mark.parametrize("gain", [1e-42, 1e-20, 1e6])
def test_finite_for_any_level(gain, way):
    wave = gain * torch.from_numpy(white_noise(3, 16000, 0.1)).clamp(-1, 1)
    mel, channels = way(wave[None], 16000, CONFIGS[16000])
    assert mel.isfinite().all() and channels.isfinite().all()


@pytest.mark.parametrize("gain", [1e20, 3e38])
def test_what_no_sound_has_is_held_to_120_db_above_full_scale(gain):
    wave = gain * torch.from_numpy(white_noise(3, 16000, 0.1)).clamp(-1, 1)
    mel, channels = compute(wave[None], 16000, CONFIGS[16000])
    assert mel.isfinite().all() and channels.isfinite().all()


@pytest.mark.parametrize("shape", [(16000,), (1, 2, 16000), (3, 0), (0, 16000)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="clips, time"):
        compute(torch.zeros(shape), 16000, CONFIGS[16000])


def test_everything_is_made_where_the_waveform_is():
    """Whatever is made without saying where lands on the meta device here, which mixes with no other."""
    clips = batch_of(16000)[:2]
    with torch.device("meta"):
        mel, channels = by_tensors(clips, 16000, CONFIGS[16000])
    assert mel.device == channels.device == clips.device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_says_the_same():
    clips, cfg = batch_of(32000)[:4], CONFIGS[32000]
    there, here = compute(clips.cuda(), 32000, cfg), compute(clips, 32000, cfg)
    torch.testing.assert_close(there.mel.cpu(), here.mel, rtol=1e-4, atol=1e-2)
    same = torch.isclose(there.temporal.cpu(), here.temporal, rtol=1e-3, atol=1e-3)
    assert same.float().mean() > 0.99  # a roll-off may fall into the next bin, a path on a tie
