"""Opens any audio file and hands out its samples block by block: nothing that could hang or flood us.

Whatever libsndfile reads, told by content and not by name.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from app.audio.level import Waveform

BLOCK_SAMPLES = 1 << 17  # read at once, all channels together
RATES_HZ = (1000, 768_000)  # a header that says otherwise is broken


class BadClip(Exception):
    """A recording that cannot be used.

    cause: 'missing', 'not a file', 'unreadable', 'empty', 'non-finite',
    'too short', 'too long' or 'silent'. detail: what was found.
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(cause, detail)  # both, so that it survives the way back from a worker process
        self.cause = cause
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


@contextmanager
def opened(path: Path | str) -> Iterator[soundfile.SoundFile]:
    """The file, open for reading; what libsndfile complains of within the block is a BadClip too.

    Raises BadClip for what is missing, not a regular file, without a byte, not audio, or of an absurd rate.
    """
    try:
        # NONBLOCK: opening a named pipe must not wait for its writer
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadClip("missing", "no such file") from None
    except (OSError, ValueError) as error:
        raise BadClip("unreadable", getattr(error, "strerror", None) or str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadClip("not a file", "a directory, pipe or device")
        if os.fstat(fd).st_size == 0:
            raise BadClip("empty", "no bytes")
        # by descriptor: libsndfile then trusts the content, not the name's ending
        with soundfile.SoundFile(fd, closefd=False) as file:
            if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
                raise BadClip("unreadable", f"its header says {file.samplerate} Hz")
            yield file
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        # without the descriptor's number, which differs from run to run
        raise BadClip("unreadable", getattr(error, "error_string", None) or str(error)) from None
    finally:
        os.close(fd)


def blocks_of(file: soundfile.SoundFile, most: int | None = None, first_channel: bool = False) -> Iterator[Waveform]:
    """Its samples, (time,) float32 a block, the mean of its channels or the first of them; at most so many.

    Raises BadClip where a sample is not finite.
    """
    block_frames, got = max(BLOCK_SAMPLES // file.channels, 1), 0  # a header may say 1024 channels
    while most is None or got < most:
        block = file.read(
            min(block_frames, block_frames if most is None else most - got), dtype="float32", always_2d=True
        )
        if len(block) == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            alone = file.channels == 1 or first_channel
            samples = np.ascontiguousarray(block[:, 0]) if alone else block.mean(1, dtype=np.float32)
        if not np.isfinite(samples).all():
            raise BadClip("non-finite", "holds NaN or infinite samples")
        got += len(samples)
        yield samples
