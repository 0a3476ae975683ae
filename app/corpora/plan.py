"""The plan of every training and validation clip: what a test clip may be, drawn anew from known voices.

States come in exactly the configured shares. Everything else of a clip is drawn from a
generator seeded by (seed, clip id). Noise, room, codec, band-stop and level know nothing
of the state or of the labels, so that none of them can tell real from fake.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from sys import intern
from typing import NamedTuple

import numpy as np

from app.audio.recipe import Piece, Recipe, Voice
from app.config import Augmentations, Config, MixConfig
from app.corpora.manifest import Row, by_split
from app.corpora.sounds import Sounds
from app.corpora.split import engine_of
from app.runtime.seeds import seed_of
from app.runtime.shards import rows_of

STATES = {  # -> voices, True for a fake one
    "none": (),
    "real": (False,),
    "fake": (True,),
    "real_real": (False, False),
    "fake_fake": (True, True),
    "real_fake": (False, True),
}
MOST_PIECES = 3
BLEND_DB = (-12.0, 6.0)  # computed noise against the recorded
ACTIVE_STEP_S = 0.1  # a digit of `active` in the denoise manifest: 0 a pause, 9 speech all through
MOST_SPEECH_OF = 4  # places are drawn for a piece, the one with the most speech is taken
HUM_DB = (-20.0, -3.0)  # hum against the rest of the noise


class Clip(NamedTuple):
    """What a plan must know of a voice's recording; there are many, and all are in memory."""

    id: str
    fake: int
    speaker: str | None
    attack: str | None
    language: str | None
    cluster: str | None
    corpus: str | None
    num_samples: int
    active: str  # a digit each ACTIVE_STEP_S

    @property
    def who(self) -> tuple[object, ...]:
        """What makes a voice another voice; without metadata the cluster must do, else each recording is its own."""
        return (self.fake, self.speaker or self.cluster or self.id, self.attack)

    @property
    def mates(self) -> tuple[object, ...]:
        """Whose clips may be joined: speaker 1 of two corpora may be one person, and may be two."""
        return (self.corpus, *self.who)


def planner_of(split: str, denoised: Path, backgrounds: Path | None, config: Config) -> "Planner":
    """Of one split's voices and noise. denoised, backgrounds: the stages where they lie, the latter None without."""
    voices, bank = Sounds(denoised), Sounds(denoised, "noise")
    known = by_split(rows_of(backgrounds), split) if backgrounds else ()
    of_split = by_split(voices.rows, split), by_split(bank.rows, split)
    return Planner(split, *of_split, config.mix, config.sample_rate, config.seed, known)


class Planner:
    """Draws the clips of one split from that split's voices and noise.

    voices, bank: manifest rows of the denoise stage; backgrounds: of the recorded noise and room responses
    from other folders. They are gone through once.
    """

    def __init__(
        self,
        split: str,
        voices: Iterable[Row],
        bank: Iterable[Row],
        cfg: MixConfig,
        sample_rate: int,
        seed: int,
        backgrounds: Iterable[Row] = (),
    ) -> None:
        self.split, self.cfg, self.rate, self.seed = split, cfg, sample_rate, seed
        self.window = round(cfg.window_s * sample_rate)
        self.clips = {clip.id: clip for clip in sorted(map(_clip, voices), key=lambda clip: clip.id)}
        self.voices = {fake: [clip for clip in self.clips.values() if clip.fake == fake] for fake in (0, 1)}
        self.weights = {fake: _weights(clips, cfg.corpus_weights) for fake, clips in self.voices.items()}
        self.mates: dict[tuple[object, ...], list[Clip]] = defaultdict(list)
        for clips in self.voices.values():
            for clip in clips:
                self.mates[clip.mates].append(clip)
        numbers: dict[tuple[object, ...], int] = {}
        for clip in (clip for clips in self.voices.values() for clip in clips):
            numbers.setdefault(clip.who, len(numbers))
        self.who = {fake: np.array([numbers[clip.who] for clip in clips]) for fake, clips in self.voices.items()}
        # as much noise from recordings of real voices as of fakes: its origin tells nothing
        noises: dict[int, list[str]] = {0: [], 1: []}
        for row in bank:
            noises[row["fake"]].append(row["id"])
        self.noises = [sorted(ids) for ids in noises.values() if ids]
        known = sorted(backgrounds, key=lambda row: row["id"])
        self.recorded = {row["id"]: row["num_samples"] for row in known if row["kind"] == "noise"}
        if self.recorded:
            self.noises.append(list(self.recorded))
        self.responses = [row["id"] for row in known if row["kind"] == "room"]

    def with_seed(self, seed: int) -> "Planner":
        """Of the same voices and noise, with other draws."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def draw(self, count: int, rates: Augmentations) -> Iterator[tuple[str, Recipe]]:
        """`count` clips as (state, recipe), ids SPLIT-000000, ..."""
        states = _states(count, self.cfg, np.random.default_rng(seed_of(self.seed, "states", self.split)))
        for n, state in enumerate(states):
            yield state, self._recipe(f"{self.split}-{n:06d}", state, rates)

    def row(self, state: str, recipe: Recipe) -> Row:
        """The manifest line of a clip that was drawn. sources: the recordings of its voices and of its noise."""
        clips = [self.clips[piece.clip] for voice in recipe.voices for piece in voice.pieces]
        fake, real = recipe.labels
        noise = []
        if recipe.noise:
            noise = [recipe.noise if recipe.noise in self.recorded else recipe.noise.rsplit("@", 1)[0]]

        def names(known: Iterable[str | None]) -> str | None:
            return "+".join(dict.fromkeys(name for name in known if name)) or None

        return {
            "id": recipe.id,
            "path": None,
            "sample_rate": self.rate,
            "num_samples": recipe.num_samples,
            "fake": fake,
            "real": real,
            "speaker": names(clip.speaker for clip in clips),
            "attack": names(clip.attack for clip in clips),
            "language": names(clip.language for clip in clips),
            "split": recipe.id.rsplit("-", 1)[0],
            "sources": [clip.id for clip in clips] + noise,
            "state": state.replace("_", "+"),
        }

    def _recipe(self, id: str, state: str, rates: Augmentations) -> Recipe:
        rng = np.random.default_rng(seed_of(self.seed, "mix", id))
        # first all that is blind to the state
        cfg, bank = self.cfg, None
        if self.noises and rng.random() < cfg.noise_bank:
            segments = self.noises[rng.integers(len(self.noises))]
            bank = segments[rng.integers(len(segments))]
        blind = Recipe(
            id=id,
            num_samples=self.window,
            voices=(),
            snr_db=rng.uniform(*cfg.snr_db),
            noise=bank,
            noise_colour=rng.uniform(*cfg.noise_colour),
            noise_blend_db=rng.uniform(*BLEND_DB),
            hum_db=rng.uniform(*HUM_DB) if rng.random() < cfg.hum else None,
            room=(rng.uniform(*cfg.room_t60_s), rng.uniform(*cfg.room_drr_db)) if rng.random() < rates.room else None,
            codec=str(rng.choice(cfg.codecs)) if cfg.codecs and rng.random() < rates.codec else None,
            band_stop=self._band(rng) if rng.random() < rates.band_stop else None,
            level_dbfs=rng.uniform(*cfg.level_dbfs),
            seed=seed_of(self.seed, "render", id),
        )
        blind = self._elsewhere(blind)
        voices: list[Voice] = []
        taken: list[int] = []
        for fake in STATES[state] if rng.random() < 0.5 else STATES[state][::-1]:
            index = self._pick(int(fake), taken, rng)
            taken.append(self.who[fake][index])
            pieces = self._pieces(self.voices[fake][index], rng)
            length = sum(piece.length for piece in pieces)
            offset = int(rng.integers(0, max(0, self.window - length) + 1))
            voices.append(Voice(pieces, offset, 0.0 if not voices else rng.uniform(*cfg.second_voice_db), fake))
        chains = np.random.default_rng(seed_of(self.seed, "chain", id)).random(2) < rates.chain  # whoever speaks
        chained = (replace(voice, chain=chain) for voice, chain in zip(voices, chains.tolist(), strict=False))
        return replace(blind, voices=tuple(chained))

    def _elsewhere(self, blind: Recipe) -> Recipe:
        """With a place in a recording of noise, and a recorded room; drawn apart, so that without them all stays."""
        rng = np.random.default_rng(seed_of(self.seed, "elsewhere", blind.id))
        spare = self.recorded.get(blind.noise or "", 0) - self.window
        if spare > 0:
            blind = replace(blind, noise_start=int(rng.integers(spare)))
        if blind.room and self.responses and rng.random() < self.cfg.rir_share:
            blind = replace(blind, room=None, response=self.responses[rng.integers(len(self.responses))])
        return blind

    def _pick(self, fake: int, taken: list[int], rng: np.random.Generator) -> int:
        """Another speaker for the second voice, where there is one."""
        weights = self.weights[fake] * ~np.isin(self.who[fake], taken)
        if not weights.any():
            weights = self.weights[fake]
        return int(rng.choice(len(weights), p=weights / weights.sum()))

    def _pieces(self, clip: Clip, rng: np.random.Generator) -> tuple[Piece, ...]:
        """A stretch of the clip, or several of the same voice joined to the length drawn.

        A voice of which there is one clip is joined with itself: were it left short, length would tell of the source.
        """
        wanted = min(self.window, round(rng.uniform(*self.cfg.voice_s) * self.rate))
        pieces: list[Piece] = []
        mates = self.mates[clip.mates]
        while wanted > 0 and len(pieces) < MOST_PIECES:
            length = min(wanted, clip.num_samples)
            starts = rng.integers(0, clip.num_samples - length + 1, size=MOST_SPEECH_OF)
            start = max((int(start) for start in starts), key=lambda start: self._speech(clip, start, length))
            pieces.append(Piece(clip.id, start, length))
            wanted -= length
            if wanted < 0.3 * self.rate:
                break
            clip = mates[rng.integers(len(mates))]
        return tuple(pieces)

    def _speech(self, clip: Clip, start: int, length: int) -> float:
        """Mean activity of a piece: a piece of pauses is no voice."""
        step = ACTIVE_STEP_S * self.rate
        digits = clip.active[int(start / step) : max(int(start / step) + 1, round((start + length) / step))]
        return sum(map(int, digits)) / max(1, len(digits))

    def _band(self, rng: np.random.Generator) -> tuple[float, float]:
        top = min(self.cfg.band_stop_hz[1], 0.45 * self.rate)
        centre = float(np.exp(rng.uniform(*np.log([self.cfg.band_stop_hz[0], top]))))
        half = 2 ** (rng.uniform(*self.cfg.band_stop_octaves) / 2)
        return centre / half, min(centre * half, 0.49 * self.rate)


def _states(count: int, cfg: MixConfig, rng: np.random.Generator) -> list[str]:
    """Largest remainders give the exact numbers, then they are shuffled."""
    shares = np.array([getattr(cfg.states, state) for state in STATES], float)
    exact = shares / shares.sum() * count
    numbers = np.floor(exact).astype(int)
    numbers[np.argsort(numbers - exact, kind="stable")[: count - numbers.sum()]] += 1
    states = [state for state, number in zip(STATES, numbers, strict=True) for _ in range(number)]
    return [states[i] for i in rng.permutation(count)]


def _clip(row: Row) -> Clip:
    def name(key: str) -> str | None:
        return intern(row[key]) if row.get(key) else None  # names repeat

    speaker, attack, language, cluster, corpus = map(name, ("speaker", "attack", "language", "cluster", "corpus"))
    return Clip(row["id"], row["fake"], speaker, attack, language, cluster, corpus, row["num_samples"], row["active"])


def _weights(clips: list[Clip], of_corpora: dict[str, float]) -> np.ndarray:
    """A clip of a big source is drawn less often, by the square root of its size: small engines are heard too.

    Of several corpora each is drawn as often as its weight says (1 where none is given), however big it is; one
    without a voice of this label leaves its share to the others.
    """
    if not clips:
        return np.zeros(0)
    source = [engine_of(clip.attack) or clip.speaker or clip.cluster for clip in clips]
    sizes: dict[object, int] = defaultdict(int)
    for name in source:
        sizes[name] += 1
    weights = np.array([sizes[name] ** -0.5 for name in source])
    corpora = np.array([clip.corpus or "" for clip in clips])
    for name in sorted(set(corpora)) if len(set(corpora)) > 1 else []:
        mine = corpora == name
        weights[mine] *= of_corpora.get(name, 1.0) / weights[mine].sum()
    return weights / weights.sum()
