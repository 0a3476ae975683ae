import csv
import dataclasses

import numpy as np
import pytest

from app.audio.recipe import Piece, Recipe, Voice

PLAIN = Recipe(
    "train-000001", 80000, (), 1 / 3, None, 0.1, -1e-7, None, None, None, None, -23.456789012345678, 2**63 + 1
)
FULL = Recipe(
    id="select, \"한글\"\n'7'",
    num_samples=160000,
    voices=(
        Voice((Piece('a,"b', 0, 5), Piece("ㄱ;ㄴ", 123, 456)), -77, -9.999999999999998, True, True),
        Voice((Piece("c", 1, 2),), 80000, 0.0, False),
    ),
    snr_db=17.1,
    noise="ABSLWJDV@1234",
    noise_colour=2.0,
    noise_blend_db=-0.0,
    hum_db=0.0,
    room=(0.1 + 0.2, -2.0),
    codec="g711-ulaw",
    band_stop=(200.0, 1e3 / 3),
    level_dbfs=-30.0,
    seed=0,
)


@pytest.mark.parametrize("recipe", [PLAIN, FULL])
def test_a_recipe_comes_back_from_a_csv_exactly(tmp_path, recipe):
    row = recipe.to_row()
    assert all(isinstance(cell, (str, int, float)) for cell in row.values())
    assert Recipe.from_row(row) == recipe
    with (tmp_path / "plan.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        (read,) = csv.DictReader(file)
    assert Recipe.from_row({**read, "split": "train"}) == recipe
    assert repr(Recipe.from_row(read)) == repr(recipe)


def test_numbers_from_numpy_are_written_as_plain_ones():
    voice = Voice((Piece("a", np.int64(3), np.int32(4)),), np.int64(5), np.float32(0.5), np.bool_(True))
    recipe = dataclasses.replace(FULL, voices=(voice,), snr_db=np.float64(0.1), hum_db=np.float64(0), seed=np.uint64(9))
    again = Recipe.from_row({key: str(cell) for key, cell in recipe.to_row().items()})
    assert again == recipe
    assert type(again.seed) is int


def test_labels_are_joined_by_or():
    def labels(*fakes):
        return dataclasses.replace(PLAIN, voices=tuple(Voice((), 0, 0.0, fake) for fake in fakes)).labels

    assert labels() == (0, 0)
    assert labels(True) == labels(True, True) == (1, 0)
    assert labels(False) == labels(False, False) == (0, 1)
    assert labels(True, False) == labels(False, True) == (1, 1)


def test_a_row_that_cannot_be_read_is_an_error():
    row = PLAIN.to_row()
    with pytest.raises(KeyError):
        Recipe.from_row({key: row[key] for key in row if key != "seed"})
    with pytest.raises(ValueError):
        Recipe.from_row({**row, "snr_db": "loud"})
    with pytest.raises(ValueError):
        dataclasses.replace(PLAIN, voices=(Voice((), 0, float("nan"), True),)).to_row()
