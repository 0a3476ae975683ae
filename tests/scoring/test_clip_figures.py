"""Pictures of a clip: every dot of them, and no more bytes than they need."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from app.scoring import svg
from app.scoring.clip_figures import credits_figure, spectrogram_figure

HOP_S, MELS, FRAMES = 0.01, 24, 120
MEL_HZ = np.linspace(60, 7500, MELS).tolist()
DRAW = np.random.default_rng(0)
MEL_DB = DRAW.normal(-40, 12, (MELS, FRAMES)).astype(np.float32)


def credits() -> str:
    draw = np.random.default_rng(1)
    credit, strip = draw.normal(0, 1, (MELS, FRAMES)), draw.normal(0, 1, FRAMES)
    return credits_figure(MEL_DB, credit, strip, 2.0, 2.0, HOP_S, MEL_HZ, "credits")


def pictures(text: str) -> list[bytes]:
    return [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)\"", text)]


def test_a_palette_changes_no_dot_and_takes_fewer_bytes(monkeypatch):
    small = pictures(credits())
    monkeypatch.setattr(svg, "_by_palette", lambda png: png)
    large = pictures(credits())
    assert len(small) == len(large) == 4
    for one, other in zip(small, large, strict=True):
        dots, same = (np.asarray(Image.open(io.BytesIO(each)).convert("RGBA")) for each in (one, other))
        assert np.array_equal(dots, same)
    assert sum(map(len, small)) < 0.75 * sum(map(len, large))


def test_many_colours_stay_as_they_are():
    rgba = DRAW.integers(0, 256, (30, 30, 4)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, "PNG")
    png = base64.b64encode(stream.getvalue()).decode()
    assert svg._by_palette(png) == png


def test_a_voiced_frame_by_itself_has_a_dot():
    """A line between two frames shows neighbours; each frame without any gets a mark, and no other."""
    f0_hz = np.zeros(FRAMES, np.float32)
    f0_hz[[10, 50, FRAMES - 1]] = 120.0
    f0_hz[70:90] = 150.0
    text = spectrogram_figure(MEL_DB, f0_hz, HOP_S, MEL_HZ, "picture")
    marks = [float(x) for x in re.findall(r'<use [^>]*x="([\d.]+)" y="[\d.]+"[^>]*fill: var\(--ink\)', text)]
    frames = (np.array(marks) - marks[0]) / (marks[-1] - marks[0]) * (FRAMES - 11)
    assert frames == pytest.approx([0, 40, FRAMES - 11], abs=0.1)


@pytest.mark.parametrize(("level_db", "is_dark"), [(-100.0, True), (-30.0, False)])
def test_silence_is_dark(level_db, is_dark):
    silence = np.full((MELS, FRAMES), level_db, np.float32)
    [picture] = pictures(spectrogram_figure(silence, np.zeros(FRAMES, np.float32), HOP_S, MEL_HZ, "silence"))
    dots = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))[..., :3]
    assert (dots.max() < 90) == is_dark
