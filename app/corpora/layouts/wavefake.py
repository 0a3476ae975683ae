"""WaveFake: what eight engines made of LJSpeech (English) and JSUT (Japanese); the real voices come beside it.

    generated_audio/ljspeech_melgan/LJ001-0001_gen.wav     and nine more folders, here or in generated_audio/
    LJSpeech-1.1/wavs/LJ001-0001.wav, jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav     for real voices, optional

A folder is SET_ENGINE; names end in _gen, _generated or as they are. The text-to-speech folder holds a second copy
of its files in generated/, which is passed over. Two speakers only: it cannot be split by itself.
"""

import os
import re
from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import Corpus, Layout, inside
from app.corpora.manifest import BONAFIDE, recording
from app.runtime.rows import Rows

SETS = {"ljspeech": ("LJSpeech", "en"), "jsut": ("JSUT", "ja")}
SPOKEN = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"  # from texts, not from recordings
REAL = {"LJSpeech-1.1/wavs": "ljspeech", "jsut_ver1.1/basic5000/wav": "jsut"}


def _folders(folder: Path) -> list[tuple[Path, str, str]]:
    """(folder, set, engine) of the generated recordings."""
    found = []
    for root in (folder, folder / "generated_audio"):
        for place in sorted(root.iterdir()) if root.is_dir() else []:
            match = re.fullmatch(r"(ljspeech|jsut)_(\w+)", place.name)  # others added engines since
            if match and place.is_dir():
                found.append((place, match[1], match[2]))
            elif place.name == SPOKEN and place.is_dir():
                found.append((place, "ljspeech", "conformer_fastspeech2_pwg"))
    return found


def _read(folder: Path, how: TableConfig) -> Corpus:
    rows, notes = Rows(), []
    for place, of, engine in _folders(folder):
        speaker, language = SETS[of]
        for name in _waves(place):
            stem = name.removesuffix(".wav")
            source = re.sub(r"_gen(erated)?$", "", stem)
            rows.append(
                recording(
                    id=f"{place.name}:{stem}",
                    path=inside(folder, str(place.relative_to(folder) / name), str(place)),
                    label=(1, 0),
                    split="train",
                    speaker=speaker,
                    attack=f"{engine}/{of}",
                    language=language,
                    parent=None if place.name == SPOKEN else f"{of}:{source}",
                )
            )
        if (place / "generated").is_dir():
            count = len(_waves(place / "generated"))
            notes.append(f"{place / 'generated'}: {count} recordings are passed over, they are copies of those above")
    for real, of in REAL.items():
        speaker, language = SETS[of]
        place = folder / real
        if not place.is_dir():
            notes.append(f"{place}: not there, so no real voice of {speaker}")
            continue
        for name in _waves(place):
            rows.append(
                recording(
                    id=f"{of}:{name.removesuffix('.wav')}",
                    path=inside(folder, f"{real}/{name}", str(place)),
                    label=(0, 1),
                    split="train",
                    speaker=speaker,
                    attack=BONAFIDE,
                    language=language,
                )
            )
    return Corpus(rows, [], True, notes)


def _waves(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".wav") and not entry.is_dir())


LAYOUT = Layout(
    name="wavefake",
    holds="ljspeech_melgan/ and the like, here or in generated_audio/; LJSpeech-1.1/ and jsut_ver1.1/ beside them",
    source="J. Frank and L. Schönherr, WaveFake: a data set to facilitate audio deepfake detection, NeurIPS 2021",
    labels="all of generated_audio is (fake, real) = (1, 0), LJSpeech-1.1 and jsut_ver1.1 are (0, 1)",
    fits=lambda folder: folder.is_dir() and bool(_folders(folder)),
    read=_read,
)
