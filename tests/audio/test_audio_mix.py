from dataclasses import replace

import numpy as np
import pytest
from audio_signals import RATE, db, hiss, shift_and_likeness, tone, voice
from pytest import approx

from app.audio.codec import apply_codec
from app.audio.level import active_level_db, level_db
from app.audio.mix import PEAK, join, mix_at_snr, render
from app.audio.recipe import Piece, Recipe, Voice
from app.config import CODECS

WINDOW = 5 * RATE
CLIPS = {"low": voice(3.0, hz=110), "high": voice(8.0, hz=210, seed=1) * 0.03, "silent": np.zeros(RATE, np.float32)}
CLIPS["window"] = voice(5.0, hz=150, seed=2)
BANK = {"air": hiss(0.15, 0.002, 4)}


def whole(clip, offset=0, gain_db=0.0, fake=True):
    return Voice((Piece(clip, 0, len(CLIPS[clip])),), offset, gain_db, fake)


PLAIN = Recipe("t-0", WINDOW, (whole("low", RATE),), 20.0, None, 1.0, 0.0, None, None, None, None, -23.0, 1)
CLEAN = replace(PLAIN, snr_db=200.0)


def rendered(recipe):
    return render(recipe, CLIPS.__getitem__, BANK.__getitem__, RATE)


def unit(samples):
    return samples / np.sqrt(np.mean(samples**2, dtype=np.float64))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_mix_hits_the_asked_snr(snr_db):
    voice, noise = tone(hz=220), hiss(1.0, 0.3, seed=1)
    mixed = mix_at_snr(voice, noise, snr_db)
    measured = level_db(voice) - level_db(mixed - voice)
    assert measured == approx(snr_db, abs=0.01)


def test_beside_silence_nothing_is_scaled():
    silence = np.zeros(RATE, np.float32)
    assert np.array_equal(mix_at_snr(tone(220), silence, 3.0), tone(220))
    assert np.array_equal(mix_at_snr(silence, tone(220), 3.0), tone(220))


@pytest.mark.parametrize("noise", [None, "air"])
@pytest.mark.parametrize("snr_db", [0.0, 12.0, 30.0])
def test_render_hits_the_asked_snr_over_the_speech(snr_db, noise):
    recipe = replace(PLAIN, snr_db=snr_db, noise=noise, hum_db=-10.0)
    clip = rendered(recipe)
    alone = clip[: RATE - 100]  # noise before the voice
    said = clip[RATE + 100 : 4 * RATE - 100]
    power = 10 ** (db(said) / 10) - 10 ** (db(alone) / 10)
    assert 10 * np.log10(power) - db(alone) == approx(snr_db, abs=0.6)  # of a second of noise by its whole
    noise_alone = rendered(replace(recipe, voices=()))
    scale = np.dot(alone, noise_alone[: len(alone)]) / np.dot(noise_alone[: len(alone)], noise_alone[: len(alone)])
    voices = clip - scale * noise_alone
    assert active_level_db(voices, RATE) - db(scale * noise_alone) == approx(snr_db, abs=0.01)


def test_the_same_recipe_gives_the_same_bytes_and_its_seed_counts():
    for recipe in (
        PLAIN,
        replace(PLAIN, noise="air", hum_db=-6.0, room=(0.4, 3.0), codec="opus", band_stop=(500.0, 900.0)),
        replace(PLAIN, voices=(replace(whole("low", RATE), chain=True), replace(whole("high"), chain=True))),
    ):
        first = rendered(recipe)
        assert first.tobytes() == rendered(Recipe.from_row(recipe.to_row())).tobytes()
        assert not np.array_equal(first, rendered(replace(recipe, seed=2)))
        assert first.dtype == np.float32
        assert first.shape == (WINDOW,)


def test_a_chain_is_the_voices_own_and_leaves_noise_and_level_as_they_are():
    plain = replace(PLAIN, voices=(whole("low", RATE),), snr_db=10.0, noise="air")
    chained = replace(plain, voices=(replace(plain.voices[0], chain=True),))
    first, second = rendered(plain), rendered(chained)
    assert db(first) == approx(db(second), abs=0.05)
    quiet = slice(0, RATE - 100)  # before the voice: the same noise, at another level at most
    assert abs(np.corrcoef(first[quiet], second[quiet])[0, 1]) == approx(1.0, abs=1e-6)
    assert abs(np.corrcoef(first[RATE:], second[RATE:])[0, 1]) < 0.999


def test_labels_play_no_part():
    recipe = replace(PLAIN, voices=(whole("low", fake=True), whole("high", fake=False)), room=(0.3, 4.0), noise="air")
    swapped = replace(recipe, voices=tuple(replace(v, fake=not v.fake) for v in recipe.voices))
    assert rendered(recipe).tobytes() == rendered(swapped).tobytes()
    assert recipe.labels == (1, 1)


@pytest.mark.parametrize("offset", [0, 1, 12345, 2 * RATE])
def test_the_offset_is_honoured(offset):
    clip = rendered(replace(CLEAN, voices=(whole("low", offset),)))
    assert np.allclose(unit(clip[offset : offset + 3 * RATE]), unit(CLIPS["low"]), atol=1e-3)
    outside = np.delete(clip, slice(offset, offset + 3 * RATE))
    assert db(outside) < -100


@pytest.mark.parametrize(("offset", "num_samples"), [(-RATE, WINDOW), (4 * RATE, WINDOW), (-100, RATE), (500, 320)])
def test_what_lies_beyond_the_window_is_cropped(offset, num_samples):
    """Also a window shorter than the voice."""
    clip = rendered(replace(CLEAN, voices=(whole("window", offset),), num_samples=num_samples, level_dbfs=-30.0))
    first, last = max(offset, 0), min(offset + WINDOW, num_samples)
    kept = CLIPS["window"][max(-offset, 0) :][: last - first] if last > first else CLIPS["window"][:0]
    assert clip.shape == (num_samples,)
    if len(kept):
        assert np.allclose(unit(clip[first:last]), unit(kept), atol=2e-3)
    assert db(clip) == approx(-30.0, abs=0.01)


def test_a_voice_of_exactly_the_window_fills_it():
    clip = rendered(replace(CLEAN, voices=(whole("window"),)))
    assert np.allclose(unit(clip), unit(CLIPS["window"]), atol=1e-3)


def test_a_piece_may_be_the_whole_clip_and_not_a_sample_more():
    last = Piece("low", 3 * RATE - 1, 1)
    rendered(replace(PLAIN, voices=(Voice((Piece("low", 0, 3 * RATE), last), 0, 0.0, True),)))
    for piece in (Piece("low", 0, 3 * RATE + 1), Piece("low", 1, 3 * RATE), Piece("low", -1, 10), Piece("low", 5, -1)):
        with pytest.raises(ValueError, match="t-0: a piece"):
            rendered(replace(PLAIN, voices=(Voice((piece,), 0, 0.0, True),)))


@pytest.mark.parametrize("gain_db", [-10.0, 0.0, 7.5])
@pytest.mark.parametrize("room", [None, (0.3, 3.0)])
def test_the_second_voice_has_its_gain_whatever_its_clip_level(gain_db, room):
    first, second = whole("low", fake=True), replace(whole("high", gain_db=gain_db), offset=3 * RATE)
    apart = replace(CLEAN, num_samples=12 * RATE, voices=(first, second), room=room, level_dbfs=-40.0)
    clip = rendered(apart)
    levels = [float(active_level_db(part, RATE)) for part in (clip[: 3 * RATE], clip[3 * RATE : 11 * RATE])]
    assert levels[1] - levels[0] == approx(gain_db, abs=0.1 if room is None else 0.5)


def test_without_a_voice_there_is_noise_at_the_asked_level():
    for recipe in (replace(PLAIN, voices=()), replace(PLAIN, voices=(whole("silent"),), noise="air", room=(0.5, 0.0))):
        clip = rendered(recipe)
        assert recipe.voices or recipe.labels == (0, 0)
        assert level_db(clip) == approx(-23.0, abs=0.01)
        assert np.abs(clip).max() < 6 * np.sqrt(np.mean(clip**2))
        halves = db(clip[: WINDOW // 10]), db(clip[-WINDOW // 10 :])
        assert halves[0] == approx(halves[1], abs=3.5)  # in a room too: the noise was there before the clip


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_the_level_is_hit_and_nothing_is_clipped(codec):
    for level_dbfs in (-30.0, -16.0, -3.0, 20.0):
        clip = rendered(replace(PLAIN, codec=codec, level_dbfs=level_dbfs, room=(0.2, 5.0), noise="air"))
        assert np.abs(clip).max() <= PEAK + 1e-6
        reached = np.abs(clip).max() == approx(PEAK, abs=1e-5)
        assert reached or level_db(clip) == approx(level_dbfs, abs=0.01)
        assert level_dbfs != 20.0 or reached
        assert (np.abs(clip) > 0.99 * np.abs(clip).max()).sum() < 20  # brought down, not cut off


def test_band_and_codec_come_after_all_else():
    stopped = rendered(replace(PLAIN, band_stop=(1000.0, 2000.0), snr_db=0.0, noise="air"))
    spectrum = np.abs(np.fft.rfft(stopped)) ** 2
    hz = np.fft.rfftfreq(len(stopped), 1 / RATE)
    inside = spectrum[(hz > 1250) & (hz < 1600)].mean()
    assert 10 * np.log10(inside / spectrum[(hz > 300) & (hz < 800)].mean()) < -30
    coded = rendered(replace(PLAIN, codec="gsm"))
    assert shift_and_likeness(unit(apply_codec(rendered(PLAIN), RATE, "gsm")), unit(coded), 10) == (
        0,
        approx(1, abs=1e-6),
    )


def test_a_room_makes_the_voice_ring_on():
    dry, wet = (rendered(replace(CLEAN, voices=(whole("low"),), room=room)) for room in (None, (0.8, 0.0)))
    assert db(dry[3 * RATE :]) < -100
    assert -60 < db(wet[3 * RATE : 3 * RATE + 3200]) < -20


def test_pieces_are_joined_without_a_click():
    flat = np.full(1000, 0.5, np.float32)
    joined = join([flat, flat, flat[:300]], RATE)
    assert len(joined) == 2300 - 2 * 80
    assert joined == approx(np.full(len(joined), 0.5), abs=1e-6)
    assert np.array_equal(join([flat], RATE), flat)
    assert join([], RATE).shape == (0,)
    assert join([flat[:1], flat[:3], flat[:0], flat], RATE) == approx(np.full(1004, 0.5), abs=1e-6)
    loud = join([tone(200)[:8001], tone(90)], RATE)
    assert np.abs(np.diff(loud)).max() < 1.1 * np.abs(np.diff(tone(200))).max()


def test_a_recorded_room_is_heard_by_voice_and_noise_alike():
    response = np.zeros(400, np.float32)
    response[[0, 300]] = 1.0, 0.5
    recipe = replace(CLEAN, response="hall")
    dry = rendered(replace(recipe, response=None))
    wet = render(recipe, CLIPS.__getitem__, BANK.__getitem__, RATE, {"hall": response}.__getitem__)
    echoed = dry.copy()
    echoed[300:] += 0.5 * dry[:-300]
    assert np.corrcoef(wet, echoed)[0, 1] > 0.9999
    assert np.corrcoef(wet, dry)[0, 1] < 0.99


def test_a_long_recording_of_noise_is_heard_as_it_is_from_its_start():
    sweep = np.sin(2 * np.pi * np.cumsum(np.linspace(200, 4000, 3 * WINDOW)) / RATE).astype(np.float32)
    recipe = replace(PLAIN, voices=(), noise="street", noise_start=1000, noise_blend_db=-60.0)
    clip = render(recipe, CLIPS.__getitem__, {"street": sweep}.__getitem__, RATE)
    assert np.corrcoef(clip, sweep[1000 : 1000 + WINDOW])[0, 1] > 0.999
    silent = render(recipe, CLIPS.__getitem__, {"street": np.zeros(3 * WINDOW, np.float32)}.__getitem__, RATE)
    assert np.isfinite(silent).all() and np.abs(silent).max() > 0  # the computed noise is left
