"""What a clip is made of, and how that is written as one row of a table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Cell = str | int | float


@dataclass(frozen=True)
class Piece:
    """`length` samples of a clip, from sample `start`."""

    clip: str
    start: int
    length: int


@dataclass(frozen=True)
class Voice:
    """What one speaker or engine says, joined from pieces, at a place and level in the window."""

    pieces: tuple[Piece, ...]
    offset: int  # sample of the window at which the voice begins; may be negative
    gain_db: float  # against a voice with gain 0
    fake: bool
    chain: bool = False  # heard through another recording chain


@dataclass(frozen=True)
class Recipe:
    """One clip: all that `render` needs beside the recordings."""

    id: str
    num_samples: int
    voices: tuple[Voice, ...]  # none: a clip of noise
    snr_db: float  # active level of the voices against the noise
    noise: str | None  # segment of the noise bank or recording of noise; None: coloured noise alone
    noise_colour: float  # exponent a of the coloured noise's power spectrum f^-a
    noise_blend_db: float  # coloured noise against the texture of the segment
    hum_db: float | None  # mains hum against the rest of the noise
    room: tuple[float, float] | None  # (t60_s, drr_db) of a computed room
    codec: str | None  # one of app.config.CODECS
    band_stop: tuple[float, float] | None  # (low_hz, high_hz)
    level_dbfs: float  # RMS of the finished clip
    seed: int  # of all that is drawn while rendering
    noise_start: int | None = None  # sample from which `noise` is heard as it is; None: a texture is grown from it
    response: str | None = None  # id of a recorded room response, in place of a computed room

    @property
    def labels(self) -> tuple[int, int]:
        """(fake, real): which kinds of voice the clip holds, by OR."""
        return int(any(v.fake for v in self.voices)), int(any(not v.fake for v in self.voices))

    def to_row(self) -> dict[str, Cell]:
        """A flat row of strings and numbers for a CSV; None is an empty cell. `from_row` undoes it exactly."""
        t60_s, drr_db = self.room or ("", "")
        low_hz, high_hz = self.band_stop or ("", "")
        return {
            "id": self.id,
            "num_samples": int(self.num_samples),
            "voices": _voices_to_json(self.voices),
            "snr_db": float(self.snr_db),
            "noise": self.noise or "",
            "noise_start": "" if self.noise_start is None else int(self.noise_start),
            "noise_colour": float(self.noise_colour),
            "noise_blend_db": float(self.noise_blend_db),
            "hum_db": _number_or_empty(self.hum_db),
            "room_t60_s": _number_or_empty(t60_s),
            "room_drr_db": _number_or_empty(drr_db),
            "response": self.response or "",
            "codec": self.codec or "",
            "band_stop_low_hz": _number_or_empty(low_hz),
            "band_stop_high_hz": _number_or_empty(high_hz),
            "level_dbfs": float(self.level_dbfs),
            "seed": int(self.seed),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Recipe":
        """The recipe of a row, its cells strings (as csv.DictReader gives them) or numbers.

        Columns that are not the recipe's are passed over. Raises KeyError for
        a missing column and ValueError for a cell that cannot be read.
        """
        hum_db = str(row["hum_db"])
        return cls(
            id=str(row["id"]),
            num_samples=int(row["num_samples"]),
            voices=_voices_from_json(str(row["voices"])),
            snr_db=float(row["snr_db"]),
            noise=str(row["noise"]) or None,
            noise_start=int(row["noise_start"]) if str(row["noise_start"]) else None,
            noise_colour=float(row["noise_colour"]),
            noise_blend_db=float(row["noise_blend_db"]),
            hum_db=float(hum_db) if hum_db else None,
            room=_pair(row["room_t60_s"], row["room_drr_db"]),
            response=str(row["response"]) or None,
            codec=str(row["codec"]) or None,
            band_stop=_pair(row["band_stop_low_hz"], row["band_stop_high_hz"]),
            level_dbfs=float(row["level_dbfs"]),
            seed=int(row["seed"]),
        )


def _voices_to_json(voices: tuple[Voice, ...]) -> str:
    plain = [
        {
            "fake": bool(v.fake),
            "offset": int(v.offset),
            "gain_db": float(v.gain_db),
            "pieces": [[p.clip, int(p.start), int(p.length)] for p in v.pieces],
            "chain": bool(v.chain),
        }
        for v in voices
    ]
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _voices_from_json(text: str) -> tuple[Voice, ...]:
    return tuple(
        Voice(tuple(Piece(*piece) for piece in v["pieces"]), v["offset"], v["gain_db"], v["fake"], v["chain"])
        for v in json.loads(text)
    )


def _number_or_empty(value: float | str | None) -> Cell:
    return "" if value is None or value == "" else float(value)


def _pair(first: Any, second: Any) -> tuple[float, float] | None:
    return None if str(first) == "" else (float(first), float(second))
