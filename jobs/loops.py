"""Compiles every loop ahead of its first use and leaves the machine code in a folder: what the build of an image does.

python -m jobs.loops FOLDER
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from app.audio.denoise import gate
from app.config import ExtractConfig
from app.features.on_cpu import features_of
from app.runtime.compiled import kept_in

SECOND = 16000


def main() -> int:
    sound = np.random.default_rng(0).normal(0, 0.1, SECOND).astype(np.float32)
    for stationary in (True, False):
        gate(sound, SECOND, stationary=stationary, reduction=0.7)
    features_of(sound, SECOND, ExtractConfig(mel_hz=(40.0, 7600.0)))
    made = kept_in()
    shutil.copytree(made, Path(sys.argv[1]) / made.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
