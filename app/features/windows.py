"""Where the windows of a long recording begin."""


def window_starts(num_samples: int, size: int, overlap: int) -> list[int]:
    """First samples of windows of `size` that cover a recording, neighbours sharing `overlap` samples.

    The last window ends with the recording and may share more; a recording no longer
    than a window has one, from 0. Raises ValueError unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size}")
    if num_samples <= size:
        return [0]
    return [*range(0, num_samples - size, size - overlap), num_samples - size]
