"""From a recipe to a clip: voices, room, noise, codec, level. The labels play no part in it.

Methods. All waveforms are at one sample rate; all randomness comes from the recipe's seed.

1. The pieces of a voice are joined with 5-ms cross-fades, and go through a recording chain where the recipe says so.
2. Where there is a room, each voice is reverberated with a draw of its own (a recorded response is the same
   for all) and rings out.
3. Each voice is brought to the same active level (frames within 35 dB of the loudest), plus its
   own gain: gains relate the voices as they are heard.
4. The voices are placed at their offsets and summed; what lies beyond the window is cropped.
5. The noise is a texture grown from a bank segment, or a stretch of a recording of noise, with coloured
   noise beside it, or coloured noise alone, with mains hum where asked; in a room it is reverberated too.
6. The noise is added at the SNR, counted from the active level of the summed voices in the
   window to the RMS of the noise. Without a voice the clip is noise alone.
7. A band is stopped; the clip is set to its level; a codec is passed; the level is set again.
   A peak over 0.99 brings the whole clip down: nothing is clipped.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from app.audio.band import band_stop
from app.audio.chain import through_chain
from app.audio.codec import apply_codec
from app.audio.level import FLOOR_DB, Waveform, active_level_db, level_db
from app.audio.noise import texture
from app.audio.recipe import Recipe, Voice
from app.audio.room import reverberate, room_response
from app.audio.synthetic import at_unit_rms, coloured, hum

CROSS_FADE_S = 0.005
VOICE_DBFS = -26.0  # where voices meet before the final level; any value gives the same clip
PEAK = 0.99

Fetch = Callable[[str], Waveform]  # the samples (time,) behind the id of a clip or of a bank segment


def render(
    recipe: Recipe, fetch: Fetch, fetch_noise: Fetch, sample_rate: int, fetch_room: Fetch | None = None
) -> Waveform:
    """The clip of a recipe, (num_samples,) float32, no sample over 0.99; the same bytes for the same recipe.

    fetch gives the samples of a whole clip by its id, fetch_noise those of a bank segment or of a recording of noise,
    fetch_room those of a room response, its direct sound first.
    Raises ValueError, naming the recipe, where a piece lies outside its clip.
    """
    recorded = fetch_room(recipe.response) if recipe.response and fetch_room else None
    voice_draws, noise_draws, chain_draws = np.random.default_rng(recipe.seed).spawn(3)
    voices = np.zeros(recipe.num_samples, np.float32)
    for voice in recipe.voices:
        try:
            samples = join([_cut(fetch(p.clip), p.start, p.length) for p in voice.pieces], sample_rate)
        except ValueError as error:
            raise ValueError(f"recipe {recipe.id}: {error}") from None
        if voice.chain:
            samples = through_chain(samples, sample_rate, chain_draws)
        _place(voices, _as_heard(voice, samples, recipe, recorded, voice_draws, sample_rate), voice.offset)
    noise = _background(recipe, fetch_noise, recorded, noise_draws, sample_rate)
    clip = mix_at_snr(voices, noise, recipe.snr_db, voice_db=float(active_level_db(voices, sample_rate)))
    if recipe.band_stop is not None:
        clip = band_stop(clip, sample_rate, *recipe.band_stop)
    clip = _at_level(clip, recipe.level_dbfs)
    if recipe.codec is not None:
        clip = _at_level(apply_codec(clip, sample_rate, recipe.codec), recipe.level_dbfs)
    return clip


def mix_at_snr(voice: Waveform, noise: Waveform, snr_db: float, *, voice_db: float | None = None) -> Waveform:
    """voice + noise, (time,) each, the noise scaled to lie snr_db below the voice.

    voice_db: the level that counts for the voice, such as its active level;
    without it the RMS over all of the voice. A silent voice or noise leaves
    the other one as it is.
    """
    voice_db = float(level_db(voice)) if voice_db is None else voice_db
    noise_db = float(level_db(noise))
    if voice_db <= FLOOR_DB or noise_db <= FLOOR_DB:
        return voice + noise
    return voice + noise * np.float32(10 ** ((voice_db - snr_db - noise_db) / 20))


def join(pieces: Sequence[Waveform], sample_rate: int) -> Waveform:
    """The pieces, (time,) each, one after another with linear cross-fades of 5 ms (less beside short ones).

    The sum of the lengths less the cross-fades is the length of the result; one piece stays as it is.
    """
    if not pieces:
        return np.zeros(0, np.float32)
    longest = round(CROSS_FADE_S * sample_rate)
    fades = [min(longest, len(a) // 2, len(b) // 2) for a, b in itertools.pairwise(pieces)]
    joined = np.zeros(sum(map(len, pieces)) - sum(fades), np.float32)
    at = 0
    for piece, fade_in, fade_out in zip(pieces, [0, *fades], [*fades, 0], strict=True):
        envelope = np.ones(len(piece), np.float32)
        envelope[:fade_in] = _ramp(fade_in)
        envelope[len(piece) - fade_out :] = 1 - _ramp(fade_out)
        joined[at : at + len(piece)] += piece * envelope
        at += len(piece) - fade_out
    return joined


def _as_heard(
    voice: Voice,
    samples: Waveform,
    recipe: Recipe,
    recorded: Waveform | None,
    rng: np.random.Generator,
    sample_rate: int,
) -> Waveform:
    response = _response(recipe, recorded, rng, sample_rate)
    if response is not None and len(samples):
        samples = reverberate(np.pad(samples, (0, len(response) - 1)), response)
    level = float(active_level_db(samples, sample_rate)) if len(samples) else FLOOR_DB
    if level <= FLOOR_DB:
        return samples
    return samples * np.float32(10 ** ((VOICE_DBFS + voice.gain_db - level) / 20))


def _response(recipe: Recipe, recorded: Waveform | None, rng: np.random.Generator, sample_rate: int) -> Waveform | None:
    if recorded is not None:
        return recorded
    return None if recipe.room is None else room_response(rng, sample_rate, *recipe.room)


def _background(
    recipe: Recipe, fetch_noise: Fetch, room: Waveform | None, rng: np.random.Generator, sample_rate: int
) -> Waveform:
    """The noise of a clip, (num_samples,), at no level in particular."""
    response = _response(recipe, room, rng, sample_rate)
    lead_in = 0 if response is None else len(response) - 1  # the room is full of noise when the clip begins
    length = recipe.num_samples + lead_in
    noise = coloured(rng, length, recipe.noise_colour, sample_rate)
    if recipe.noise is not None:
        source = fetch_noise(recipe.noise)
        if recipe.noise_start is None:
            recorded = texture(rng, source, length)
        else:  # as it was recorded; what rings before the clip begins is taken from before it, round its end
            recorded = np.take(source, np.arange(length) + recipe.noise_start - lead_in, mode="wrap")
            if float(level_db(recorded)) > FLOOR_DB:  # it may have fallen silent there
                recorded = at_unit_rms(recorded)
        noise = recorded + noise * np.float32(10 ** (recipe.noise_blend_db / 20))
    if recipe.hum_db is not None:
        gain_db = float(level_db(noise)) + recipe.hum_db
        noise = noise + hum(rng, length, sample_rate) * np.float32(10 ** (gain_db / 20))
    return noise if response is None else reverberate(noise, response)[lead_in:]


def _cut(samples: Waveform, start: int, length: int) -> Waveform:
    if not 0 <= start <= start + length <= len(samples):
        raise ValueError(f"a piece of {length} samples from {start} does not fit a clip of {len(samples)}")
    return samples[start : start + length]


def _place(window: Waveform, samples: Waveform, offset: int) -> None:
    """Adds the samples to the window, in place, cropping what lies before or beyond it."""
    first, last = max(offset, 0), min(offset + len(samples), len(window))
    if first < last:
        window[first:last] += samples[first - offset : last - offset]


def _ramp(length: int) -> Waveform:
    return ((np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)).astype(np.float32)


def _at_level(clip: Waveform, level_dbfs: float) -> Waveform:
    """The clip with the RMS asked for, or as near as its peak allows."""
    level, peak = float(level_db(clip)), float(np.abs(clip).max())
    if level <= FLOOR_DB:
        return clip
    return clip * np.float32(min(10 ** ((level_dbfs - level) / 20), PEAK / peak))
