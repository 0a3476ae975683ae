"""Rounds made into rows: medians, the spread of the rounds without us, and whether the target is met."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """A neighbour who came in one way; shares of 1."""

    scene: str
    way: str
    slower: float  # he was, from his first moment on
    target: float
    later: float  # slower, his first seconds left out
    spread: float  # of his rounds alone: (highest - lowest) / median
    kept: float | None  # of our one-core rate, by us
    keep: float | None  # target
    ours: float  # our clips a second beside him

    @property
    def met(self) -> bool:
        return self.slower <= self.target and (self.kept is None or self.keep is None or self.kept >= self.keep)

    @property
    def verdict(self) -> str:
        if self.spread > self.target:
            return ("met" if self.met else "missed") + ", but his rounds alone differ by more than the target"
        return "met" if self.met else "MISSED"


@dataclass(frozen=True)
class Outcome:
    """All rounds of a scene: way -> one dict a round, with rate, later_rate and ours."""

    name: str
    rounds: dict[str, list[dict[str, float]]]
    slower: float
    keeps: float | None = None

    def rows(self) -> list[Row]:
        alone = [x["rate"] for x in self.rounds["alone"]]
        one_core = self._median("ours alone", "ours") if "ours alone" in self.rounds else None
        return [
            Row(
                scene=self.name,
                way=way,
                slower=1 - self._median(way, "rate") / median(alone),
                target=self.slower,
                later=1 - self._median(way, "later_rate") / self._median("alone", "later_rate"),
                spread=(max(alone) - min(alone)) / median(alone),
                kept=self._median(way, "ours") / one_core if one_core else None,
                keep=self.keeps,
                ours=self._median(way, "ours"),
            )
            for way in self.rounds
            if way in ("session", "cgroup")
        ]

    def _median(self, way: str, key: str) -> float:
        return median(x[key] for x in self.rounds[way])


def print_table(rows: list[Row], notes: list[str]) -> bool:
    """Prints the rows with target and verdict; returns whether all targets are met."""
    form = "{:17} {:9} {:>9} {:>7} {:>12} {:>13} {:>13}  {}"
    print(form.format("neighbour", "in another", "slower by", "target", "after 3 s", "spread alone", "ours keeps", ""))
    for row in rows:
        kept = "" if row.kept is None else f"{row.kept:.0%} (>={row.keep:.0%})"
        print(
            form.format(
                row.scene, row.way, f"{row.slower:.1%}", f"{row.target:.0%}", f"{row.later:.1%}", f"{row.spread:.1%}",
                kept, row.verdict,
            )
        )  # fmt: skip
    for note in notes:
        print(note)
    return all(row.met for row in rows)
