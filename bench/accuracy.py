"""How right the pitch is: against librosa.pyin on clean real voices, against the truth on synthetic ones."""

from typing import Any

import numpy as np

from bench import rivals
from bench.sounds import real_voices, synthetic_voices

JUDGED = 12  # real voices
SNRS_DB = (30.0, 10.0, 0.0)


def against_pyin(rate: int) -> list[dict[str, Any]]:
    """Share of the frames that both call voiced within 50 cents of pyin, and of all whose voicing is the same.

    librosa's pyin weighs all of its frame alike: with 64 ms its F0 differs from everybody's where a voice glides, also
    from that of pyin as it was published, which hears half of the frame.
    """
    voices = real_voices(JUDGED, rate)
    ways = {"ours": rivals.ours, "librosa.yin": rivals.yin, "Praat": rivals.praat}
    found = {name: [way(voice, rate) for voice in voices] for name, way in ways.items()}
    rows: list[dict[str, Any]] = [{"way": name} for name in ways]
    against = {
        "librosa.pyin": [rivals.pyin(voice, rate) for voice in voices],
        "pyin as published": [rivals.pyin_as_published(voice, rate) for voice in voices],
    }
    for name, theirs in {**against, "Praat": found["Praat"]}.items():
        for row in rows:
            near, agree = _alike(found[row["way"]], theirs)
            row[f"F0 as {name}"] = near
            row[f"voicing as {name}"] = None if row["way"] == "librosa.yin" else agree
    return rows


def _alike(some: list[rivals.Pitch], others: list[rivals.Pitch]) -> tuple[float, float]:
    near, both, same, frames = 0, 0, 0, 0
    for us, them in zip(some, others, strict=True):
        voiced = us.voiced & them.voiced
        near += int((_cents(us.hz[voiced], them.hz[voiced]) <= 50).sum())
        both, same, frames = both + int(voiced.sum()), same + int((us.voiced == them.voiced).sum()), frames + len(us.hz)
    return round(near / both, 4), round(same / frames, 4)


def against_the_truth(rate: int) -> list[dict[str, Any]]:
    """Share of voiced frames whose F0 is found, and of all whose voicing is; the edges of a vowel do not count."""
    rows = []
    for name, way in (("ours", rivals.ours), ("librosa.pyin", rivals.pyin), ("Praat", rivals.praat)):
        row: dict[str, Any] = {"way": name}
        for snr_db in SNRS_DB:
            found, voiced_frames, right, frames = 0, 0, 0, 0
            for voice, hz, envelope in synthetic_voices(rate, snr_db)[::2]:
                us, voiced, silent = way(voice, rate), envelope > 0.9, envelope < 0.01
                found += int((us.voiced[voiced] & (_cents(us.hz[voiced], hz[voiced]) <= 50)).sum())
                voiced_frames += int(voiced.sum())
                right += int(us.voiced[voiced].sum() + (~us.voiced[silent]).sum())
                frames += int(voiced.sum() + silent.sum())
            row |= {
                f"F0 at {snr_db:g} dB": round(found / voiced_frames, 4),
                f"voicing at {snr_db:g} dB": round(right / frames, 4),
            }
        rows.append(row)
    return rows


def _cents(hz: Any, true: Any) -> Any:
    return np.abs(1200 * np.log2(np.maximum(hz, 1.0) / np.maximum(true, 1.0)))
