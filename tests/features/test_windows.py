import pytest

from app.features.windows import by_recording, window_starts


@pytest.mark.parametrize(("size", "overlap"), [(5, 0), (5, 2), (5, 4), (8, 4), (1, 0)])
@pytest.mark.parametrize("num_samples", [*range(1, 40), 997])
def test_every_sample_is_covered_and_neighbours_share_the_overlap(num_samples, size, overlap):
    starts = window_starts(num_samples, size, overlap)
    covered = {sample for start in starts for sample in range(start, start + size)}
    assert covered >= set(range(num_samples)) and starts[0] == 0
    for before, after in zip(starts, starts[1:]):
        assert before < after and before + size - after >= overlap
    if num_samples >= size:
        assert starts[-1] + size == num_samples  # no window is padded
    assert len(starts) == max(1, -(-(num_samples - overlap) // (size - overlap)))  # and none is needless


@pytest.mark.parametrize("overlap", [0, 1, 79, 80, 159])
def test_a_recording_as_long_as_the_window_has_one_and_a_sample_more_makes_two(overlap):
    assert window_starts(160, 160, overlap) == [0]
    assert window_starts(161, 160, overlap) == [0, 1]
    assert window_starts(159, 160, overlap) == window_starts(0, 160, overlap) == [0]


@pytest.mark.parametrize("overlap", [-1, 160, 161])
def test_an_overlap_that_does_not_fit_is_an_error(overlap):
    with pytest.raises(ValueError, match=f"an overlap of {overlap} does not fit windows of 160"):
        window_starts(1000, 160, overlap)


def test_a_recording_gets_the_highest_of_its_windows_for_each_voice():
    values = [("a", 0.1, 0.9), ("b", 0.0, 0.0), ("a", 0.7, 0.2), ("a", 0.3, 0.95), ("c", 1.0, 0.5)]
    rows = [{"recording": name, "p_fake": fake, "p_real": real} for name, fake, real in values]
    assert by_recording(rows) == {"a": (0.7, 0.95), "b": (0.0, 0.0), "c": (1.0, 0.5)}
    assert list(by_recording(rows)) == ["a", "b", "c"] and by_recording([]) == {}
