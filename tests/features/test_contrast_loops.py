import numpy as np
import pytest

from app.features.contrast_loops import contrast_rows

BANDS = np.array([(0, 12, 1), (12, 60, 2), (60, 400, 6), (400, 401, 1), (60, 80, 20)])


def sorted_out(magnitude):
    rows = np.empty((len(BANDS), len(magnitude)))
    for b, (first, last, count) in enumerate(BANDS):
        band = np.sort(magnitude[:, first:last].astype(np.float64), axis=1)
        valley, peak = (part.mean(1).clip(1e-10) for part in (band[:, :count], band[:, -count:]))
        rows[b] = 10 * np.log10(peak / valley)
    return rows


RNG = np.random.default_rng(4)
FRAMES = {
    "noise": RNG.rayleigh(1.0, (80, 401)),
    "faint": 1e-9 * RNG.rayleigh(1.0, (80, 401)),
    "huge": 1e12 * RNG.rayleigh(1.0, (80, 401)),
    "leaps": RNG.rayleigh(1.0, (80, 401)) * 10.0 ** RNG.uniform(-12, 12, (80, 1)),
    "denormal": 1e-41 * RNG.rayleigh(1.0, (80, 401)),
    "silence": np.zeros((80, 401)),
    "silence and sound": RNG.rayleigh(1.0, (80, 401)) * (np.arange(80) % 7 > 2)[:, None],
    "equal": np.ones((80, 401)) * 10.0 ** RNG.uniform(-6, 6, (80, 1)),
    "equal but for rounding": np.ones((80, 401)) * (1 + 6e-8 * RNG.integers(-2, 3, (80, 401))),
    "few levels": RNG.integers(0, 4, (80, 401)).astype(float),
    "mostly zero": RNG.rayleigh(1.0, (80, 401)) * (RNG.random((80, 401)) < 0.01),
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_mean_of_the_highest_over_that_of_the_lowest_is_what_sorting_says(name):
    magnitude = FRAMES[name].astype(np.float32)
    rows = np.full((len(BANDS), len(magnitude)), np.nan, np.float32)
    contrast_rows(magnitude, BANDS, rows)
    np.testing.assert_allclose(rows, sorted_out(magnitude), rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_ends_too():
    magnitude = np.full((4, 401), np.nan, np.float32)
    magnitude[2:] = np.inf
    contrast_rows(magnitude, BANDS, np.empty((len(BANDS), 4), np.float32))
