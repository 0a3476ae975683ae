"""Does something that is not the voice tell the label? A model would learn it, and fail where it does not hold.

Every fact is tried alone, by the AUC of (fake against real) that it reaches by itself.
"""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from app.corpora.manifest import Row

NUMBERS = {
    "seconds": "length",
    "rms_dbfs": "level",
    "bandwidth_hz": "bandwidth",
    "leading_silence_s": "leading silence",
    "sample_rate": "sample rate",
    "channels": "number of channels",
}
TELLS = 0.60  # an AUC above this, and far beyond chance, is called a shortcut
Z = 3.0
HALVINGS = 10


@dataclass(frozen=True)
class Shortcut:
    fact: str
    auc: float  # 0.5 to 1: how well it tells fake from real, whichever way round
    real: str  # what is typical of each
    fake: str
    found: bool


@dataclass(frozen=True)
class Audit:
    clips: int
    fake: int
    real: int
    failed: dict[str, int]  # cause -> clips
    duplicates: list[list[str]] = field(default_factory=list)  # ids of equal audio
    shortcuts: list[Shortcut] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def audit_of(rows: list[Row], facts: dict[str, dict[str, Any]], failed: list[Row]) -> Audit:
    """rows: training recordings with labels; facts: id -> clip_facts and the file's rate and channels."""
    rows = [row for row in rows if row["id"] in facts]
    fake = np.array([row["fake"] for row in rows])
    shortcuts = []
    for key, name in NUMBERS.items():
        values = np.array([facts[row["id"]][key] for row in rows], float)
        typical = [f"{np.median(values[fake == label]):.4g}" for label in (0, 1)]
        auc = float(roc_auc_score(fake, values)) if np.ptp(values) > 0 else 0.5
        shortcuts.append(_shortcut(name, max(auc, 1 - auc), fake, *typical))
    for key in ("language", "corpus"):
        names = np.array([row.get(key) or "" for row in rows])
        if len(set(names)) > 1:
            common = [_common(names[fake == label]) for label in (0, 1)]
            shortcuts.append(_shortcut(key, _auc_of_names(names, fake), fake, *common))
    twins: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        twins[facts[row["id"]]["digest"]].append(row)
    doubled = [group for group in twins.values() if len(group) > 1]
    causes = dict(Counter(row["cause"] for row in failed))
    sentences = [
        f"{s.fact} alone tells the label: AUC {s.auc:.2f} (real {s.real}, fake {s.fake})" for s in shortcuts if s.found
    ]
    if doubled:
        sentences.append(
            f"{sum(map(len, doubled))} clips are copies of another ({', '.join(r['id'] for r in doubled[0])}, ...)"
        )
    clash = [group for group in doubled if len({row["fake"] for row in group}) > 1]
    if clash:
        sentences.append(
            f"{len(clash)} recordings are labelled both real and fake: {', '.join(r['id'] for r in clash[0])}"
        )
    for cause, number in causes.items():
        sentences.append(f"{number} clips are left out: {cause} ({_some(failed, cause)}); all are in failed.jsonl")
    ids = [[row["id"] for row in group] for group in doubled]
    return Audit(len(rows), int(fake.sum()), int((1 - fake).sum()), causes, ids, shortcuts, sentences)


def _some(failed: list[Row], cause: str) -> str:
    names = [row["id"] for row in failed if row["cause"] == cause]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _shortcut(name: str, auc: float, fake: np.ndarray, real_typical: str, fake_typical: str) -> Shortcut:
    # the spread of a chance AUC (Mann and Whitney 1947)
    n_fake, n_real = fake.sum(), len(fake) - fake.sum()
    spread = np.sqrt((len(fake) + 1) / (12 * n_fake * n_real))
    return Shortcut(name, round(auc, 4), real_typical, fake_typical, bool(auc >= TELLS and auc - 0.5 > Z * spread))


def _common(names: np.ndarray) -> str:
    most = Counter(names.tolist()).most_common(3)
    return ", ".join(f"{count / len(names):.0%} {name or 'unknown'}" for name, count in most)


def _auc_of_names(names: np.ndarray, fake: np.ndarray) -> float:
    """What a name's share of fakes in one half of the clips tells of the other half: the mean over HALVINGS.

    Shares of the very clips that they are tried on would tell too much, and those of
    all clips but one too little: the clip left out is missing from its own label.
    """
    _, codes = np.unique(names, return_inverse=True)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(HALVINGS):
        half = rng.permutation(len(names)) % 2 == 0
        for known, tried in ((half, ~half), (~half, half)):
            clips = np.bincount(codes[known], minlength=codes.max() + 1)
            fakes = np.bincount(codes[known], fake[known], minlength=codes.max() + 1)
            shares = (fakes + fake.mean()) / (clips + 1)  # one pseudo-clip keeps small names near the overall share
            if 0 < fake[tried].sum() < tried.sum():
                found.append(roc_auc_score(fake[tried], shares[codes[tried]]))
    return max(0.5, float(np.mean(found))) if found else 0.5
