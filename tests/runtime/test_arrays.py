"""Arrays that grow on disk and are read by rows hold what numpy would have saved, byte for byte."""

import numpy as np
import pytest

from app.runtime.arrays import ArrayWriter, StoredArray


@pytest.mark.parametrize(("dtype", "row"), [("int16", ()), ("float16", (3, 4)), ("float32", (2,)), ("int32", ())])
@pytest.mark.parametrize("parts", [(), (1,), (5, 0, 7), (300_000,)])
def test_a_grown_file_is_the_file_that_numpy_saves(tmp_path, dtype, row, parts):
    rng = np.random.default_rng(0)
    blocks = [(100 * rng.normal(size=(count, *row))).astype(dtype) for count in parts]
    with ArrayWriter(tmp_path / "grown.npy", dtype, row) as array:
        for block in blocks:
            array.append(block)
    whole = np.concatenate([np.zeros((0, *row), dtype), *blocks])
    np.save(tmp_path / "saved.npy", whole)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
    stored = StoredArray(tmp_path / "grown.npy")
    assert len(stored) == len(whole)
    for start, stop in ((0, len(whole)), (1, 4), (len(whole), len(whole) + 3), (3, 1)):
        np.testing.assert_array_equal(stored[start:stop], whole[start:stop])
    for n in range(min(len(whole), 3)):
        np.testing.assert_array_equal(stored[n], whole[n])


def test_rows_of_another_shape_or_type_are_refused(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", "float32", (3,)) as array:
        for wrong in (np.zeros((2, 4), "float32"), np.zeros((2, 3), "float64")):
            with pytest.raises(ValueError, match="wanted float32"):
                array.append(wrong)


def test_a_row_that_is_not_there_is_an_index_error(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    for which in (3, -1):
        with pytest.raises(IndexError):
            StoredArray(tmp_path / "a.npy")[which]


def test_a_file_shorter_than_its_header_says_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(1000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(OSError, match=r"a\.npy: shorter than its header says"):
        StoredArray(path)[990:1000]
