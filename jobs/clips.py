"""The clips that a report shows: their sound, found or rendered again, their pictures, and what carried the answers."""

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from app.audio.level import Waveform
from app.audio.mix import render
from app.audio.open import BadClip
from app.audio.recipe import Recipe
from app.audio.windows import windows_of
from app.corpora.manifest import same_recording
from app.corpora.sounds import noise_of, sounds_of
from app.errors import UserError
from app.features.frames import channel_names
from app.features.spectral_plan import mel_middles_hz
from app.learning.scorer import ModelFolder
from app.runtime.desk import Desk
from app.runtime.job import is_complete
from app.runtime.run import Run
from app.runtime.seat import worked_s
from app.runtime.shards import rows_of
from app.runtime.steps import step
from app.scoring.calibration import apply_calibration
from app.scoring.scored import Picked, Scored, joined, picked
from app.scoring.shown import Credits, Picture, ShownClip, credit_panels, credit_sentences, spectrogram_panel
from app.scoring.table import duration
from jobs.chain import backgrounds_stage, stage_of
from jobs.mix import recipes_of
from jobs.models import scored_stage, test_of

MOST_BYTES = 12e6  # of all clips of a page, which is to stay below 15 MB
NEAR = 0.02  # a probability that was computed again may lie so far from the stored one: another device


class Sound(NamedTuple):
    """The window that a clip was answered by."""

    samples: Waveform
    answer: tuple[float, float]  # that was given to it
    part: str = ""  # of a longer recording, in words


def picks_of(scored: Sequence[Scored], most: int) -> list[Picked]:
    """Of the test, where it was looked at, and of validation, both halves as one: `most` of each kind."""
    halves = [one for one in scored if one.name != "test"]
    sets = [one for one in scored if one.name == "test"] + ([joined("validation", halves)] if halves else [])
    return [one for data in sets for one in picked(data, most)]


def shown_clips(
    run: Run, model: dict[str, Any], picks: Sequence[Picked], desk: Desk
) -> tuple[list[ShownClip], list[str]]:
    """What the page shows of each, and sentences on what it does not show.

    Explaining stops after evaluate.explain_s; players and pictures stop where the page would grow beyond its size.
    """
    try:
        folder = ModelFolder(Path(model["folder"]))
    except UserError as error:  # weights of others that are not here any more: the numbers do not need them
        return [ShownClip(one) for one in picks], [f"Without pictures and players: {error.what}."] if picks else []
    found, notes, size, unexplained, full = list[ShownClip](), list[str](), 0, 0, False
    explain_s, explained_s = run.config.evaluate.explain_s, 0.0
    for one, sound in sounds_of_picks(run, model, picks):
        desk.breathe()
        if isinstance(sound, str):
            shown = ShownClip(one, sentences=[sound])
        elif full:
            shown = ShownClip(one, sound.part)
        else:
            picture, began = picture_of(folder, sound.samples), worked_s()
            credits = _credits(folder, sound.samples, desk, began + explain_s - explained_s)
            explained_s += worked_s() - began
            unexplained += credits is None
            shown = _shown(folder, one, sound, picture, credits)
            if full := size + shown.size > MOST_BYTES:
                shown = ShownClip(one, sound.part)
        size += shown.size
        found.append(shown)
        desk.status.update(done=len(found))
    if unexplained:
        notes.append(
            f"{unexplained} of these clips were not explained: {duration(explain_s)} were over (evaluate.explain_s)."
        )
    if full:
        notes.append("The last clips have no picture and no player: the page would be too large (evaluate.shown).")
    return found, notes


class _TimeUp(Exception):
    """No time is left for what carried the answers."""


def _credits(folder: ModelFolder, samples: Waveform, desk: Desk, until: float) -> Credits | None:
    """None where that would take longer than `until`, by the time we work."""

    def between() -> None:
        desk.breathe()
        if worked_s() > until:
            raise _TimeUp

    if worked_s() >= until:
        return None
    with step("explain"):
        try:
            told = folder.explained(samples, between)
        except _TimeUp:
            return None
        logits = np.stack([told.hidden, told.elsewhere])
        hidden, elsewhere = apply_calibration(logits, folder.calibration).tolist()
        names = channel_names(folder.config.extract)
        measures = [dict(zip(names, each, strict=False)) for each in told.measures.tolist()]
        return Credits(told.by, told.maps, told.strip, measures, told.missed.tolist(), hidden, elsewhere)


def _shown(folder: ModelFolder, one: Picked, sound: Sound, picture: Picture, credits: Credits | None) -> ShownClip:
    panels, sentences = [spectrogram_panel(one, picture)], list[str]()
    with step("score"):
        now = folder.scores([sound.samples])[0]
    if np.abs(now - sound.answer).max() > NEAR:
        sentences.append(f"Answered again here, on a CPU: p_fake {now[0]:.3f}, p_real {now[1]:.3f}.")
    with step("pictures"):
        if credits:
            panels += credit_panels(one, picture, credits)
            sentences += credit_sentences(one, credits)
    return ShownClip(one, sound.part, panels, sentences, flac(sound.samples, folder.config.sample_rate))


def picture_of(folder: ModelFolder, samples: Waveform) -> Picture:
    how = folder.config.extract
    with step("features"):
        mel_db, temporal = folder.picture(samples)
    f0_hz = temporal[channel_names(how).index("f0_hz")]
    return Picture(mel_db, f0_hz, how.hop_s, mel_middles_hz(how.mels, how.mel_hz).tolist())


def sounds_of_picks(run: Run, model: dict[str, Any], picks: Sequence[Picked]) -> Iterator[tuple[Picked, Sound | str]]:
    """Each pick with its sound, or with a sentence on why there is none."""
    recipes, planned = {}, {one.clip for one in picks if one.data != "test"}
    if planned and is_complete(stage_of(run, "mix")):
        recipes = {row["id"]: row for row in recipes_of(stage_of(run, "mix")) if row["id"] in planned}
    tested = {one.clip for one in picks if one.data == "test"}
    files = {row["id"]: row for row in rows_of(stage_of(run, "prepare-test")) if row["id"] in tested} if tested else {}
    windows = _windows(run, model, tested)
    for one in picks:
        try:
            if one.data == "test":
                yield one, _recorded(run, one, files.get(one.clip), windows.get(one.clip, []))
            else:
                yield one, _rendered(run, one, recipes.get(one.clip))
        except BadClip as bad:
            yield one, f"Not readable ({bad}); answered by how often each kind of voice occurs."
        except (UserError, OSError) as error:
            yield one, f"No sound here: {getattr(error, 'what', error)}."


def _rendered(run: Run, one: Picked, recipe: dict[str, Any] | None) -> Sound:
    """A planned clip, mixed again: the same bytes as extract had."""
    denoised, backgrounds = stage_of(run, "denoise"), backgrounds_stage(run)
    if recipe is None or not is_complete(denoised) or (backgrounds and not is_complete(backgrounds)):
        raise UserError("the voices that it was mixed from are not under RUNS any more", "run `make denoise mix`")
    voices, (noise, rooms) = sounds_of(denoised), noise_of(denoised, backgrounds)
    with step("render"):
        samples = render(Recipe.from_row(recipe), voices, noise, run.config.sample_rate, rooms)
    return Sound(samples, (one.p_fake, one.p_real))


def _windows(run: Run, model: dict[str, Any], clips: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Clip -> the rows of its windows, with their answers."""
    found: dict[str, list[dict[str, Any]]] = {}
    if clips:
        for row in rows_of(scored_stage(run, model, test_of(run, model))):
            if row["recording"] in clips:
                found.setdefault(row["recording"], []).append(row)
    return found


def _recorded(run: Run, one: Picked, row: dict[str, Any] | None, windows: Sequence[dict[str, Any]]) -> Sound:
    """A test recording: of a long one the window with the highest answer, for that one answered for all of it."""
    if row is None:
        raise UserError("prepare could not use this recording")
    run.check_data()
    rate, column = run.config.sample_rate, ("p_fake", "p_real")[one.column]
    size, overlap = round(run.config.mix.window_s * rate), round(run.config.infer.overlap_s * rate)
    highest = max(range(len(windows)), key=lambda n: windows[n][column], default=0)
    path = same_recording(run.data, row)
    with step("decode"):
        start, samples = next(islice(windows_of(path, rate, size, overlap), highest, None))
    if len(windows) < 2:
        return Sound(samples, (one.p_fake, one.p_real))
    end = start + len(samples)
    told = f"{start / rate:.1f} to {end / rate:.1f} s, the highest {column} of its {len(windows)} windows"
    return Sound(samples, (windows[highest]["p_fake"], windows[highest]["p_real"]), told)


def flac(samples: Waveform, rate: int) -> str:
    """A data URI; without loss, for the artefacts of a fake are to be heard. Browsers play it since 2017."""
    file = io.BytesIO()
    with step("encode"):
        soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
