"""A clip as the report shows it: what it holds, what was answered, pictures, sentences, a player."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.scoring.clip_figures import credits_figure, spectrogram_figure
from app.scoring.scored import Picked
from app.scoring.table import number

COLUMNS = ("fake", "real")
MOST_NAMED, LEAST_NAMED = 4, 0.1  # measures of a clip, by their credits
MOST_MISSED = 0.1  # logits: more is told
NAMES = {"snr_db": "SNR"}
Panel = tuple[str, Markup]  # caption, and an SVG of ours: of text from outside it holds the escaped alt alone


@dataclass(frozen=True)
class ShownClip:
    """All that the page shows of it; what could not be had is left out, and a sentence says why."""

    picked: Picked
    part: str = ""  # of a longer recording
    panels: Sequence[Panel] = ()
    sentences: Sequence[str] = ()
    audio: str | None = None  # data URI

    @property
    def facts(self) -> str:
        """What is known of it, in a line."""
        known = {
            key: value
            for key, value in self.picked.details.items()
            if value not in (None, "", "bonafide") and key != "voices"
        }
        told = [f"{NAMES.get(key, key)} {value}{' dB' if key == 'snr_db' else ''}" for key, value in known.items()]
        return ", ".join([*told, self.part] if self.part else told)

    @property
    def size(self) -> int:
        """Bytes that it adds to the page, about."""
        return len(self.audio or "") + sum(len(svg) for _, svg in self.panels)


class Picture(NamedTuple):
    """Features of its sound, as the model got them."""

    mel_db: NDArray[np.float32]  # (mels, frames)
    f0_hz: NDArray[np.float32]  # (frames,), 0 where unvoiced
    hop_s: float
    mel_hz: Sequence[float]  # middles of the bands


class Credits(NamedTuple):
    """What carried the answers (fake, real), as `app.learning.explain` finds it; its test in probabilities."""

    by: str
    maps: NDArray[np.float32]  # (2, mels, frames)
    strip: NDArray[np.float32]  # (2, frames)
    measures: Sequence[Mapping[str, float]]  # of each column: measure -> its credit
    missed: Sequence[float]  # logits that the clip adds beyond what is credited; of occlusion nan
    hidden: Sequence[float]  # p without the tenth of the map that told most
    elsewhere: Sequence[float]  # p without as large a part elsewhere


def spectrogram_panel(picked: Picked, picture: Picture) -> Panel:
    voiced = float((picture.f0_hz > 0).mean())
    alt = f"Mel spectrogram and F0 of {picked.clip} ({picked.data}); {100 * voiced:.0f} % of it voiced"
    svg = spectrogram_figure(picture.mel_db, picture.f0_hz, picture.hop_s, picture.mel_hz, alt)
    return "Spectrogram and F0", Markup(svg)


def credit_panels(picked: Picked, picture: Picture, credits: Credits) -> list[Panel]:
    """One for each answer, in one scale."""
    scale = float(np.quantile(np.abs(credits.maps), 0.998))
    strip_scale = float(np.abs(credits.strip).max())
    panels = []
    for c, column in enumerate(COLUMNS):
        sums = f"map {credits.maps[c].sum():+.2f}, measures {credits.strip[c].sum():+.2f}"
        alt = f"What spoke for and against a {column} voice in {picked.clip} ({picked.data}): {sums}"
        svg = credits_figure(
            picture.mel_db, credits.maps[c], credits.strip[c], scale, strip_scale, picture.hop_s, picture.mel_hz, alt
        )
        caption = f"A {column} voice? " + (f"Logit: {sums}" if credits.by == "integrated gradients" else "By occlusion")
        panels.append((caption, Markup(svg)))
    return panels


def credit_sentences(picked: Picked, credits: Credits) -> list[str]:
    """How far the maps may be believed: what hiding the tenth that told most does, and as much elsewhere."""
    said = []
    for c, (column, p) in enumerate((("fake", picked.p_fake), ("real", picked.p_real))):
        way = "for" if p >= 0.5 else "against"
        said.append(
            f"Without the tenth of the map that spoke most {way} a {column} voice, p_{column} goes from {number(p)} to "
            f"{number(float(credits.hidden[c]))}; without as large a part elsewhere, to "
            f"{number(float(credits.elsewhere[c]))}."
        )
        named = sorted(credits.measures[c].items(), key=lambda one: -abs(one[1]))[:MOST_NAMED]
        if telling := [f"{name} {credit:+.2f}" for name, credit in named if abs(credit) >= LEAST_NAMED]:
            said.append(f"Measures, for a {column} voice: {', '.join(telling)}.")
        if abs(credits.missed[c]) > MOST_MISSED:
            said.append(f"The credits of the {column} voice miss {credits.missed[c]:+.2f} of its logit.")
    return said
