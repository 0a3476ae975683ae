"""What a fuzz has done and found so far, and its report."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz_jobs import Ran

LARGEST_MB = 1500  # of one process; some 600 are libraries


@dataclass
class Tally:
    keep: Path | None
    recordings: int = 0
    tables: int = 0
    containers: Counter[str] = field(default_factory=Counter)
    decoded: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)
    peak_mb: float = 0.0  # of a job, all processes together
    largest_mb: float = 0.0  # of one process

    def find(self, what: str, *files: Path, said: str = "") -> None:
        self.findings.append(what)
        print(f"  FOUND {what}\n{said[-3000:]}", flush=True)
        self.hold(*files)
        if self.keep:
            with (self.keep / "findings.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps({"what": what, "said": said}) + "\n")

    def hold(self, *files: Path) -> None:
        for file in files if self.keep else ():
            if file.is_dir():
                shutil.copytree(file, self.keep / file.name, symlinks=True, dirs_exist_ok=True)
            elif file.is_file():
                shutil.copy(file, self.keep / file.name)

    def ran(self, what: str, ran: Ran, codes: tuple[int, ...], corpus: Path) -> bool:
        """Notes how a job went; whether it went as it must."""
        self.peak_mb, self.largest_mb = max(self.peak_mb, ran.peak_mb), max(self.largest_mb, ran.largest_mb)
        problem = ran.problem(codes)
        if problem:
            self.find(f"{what}: {problem}", corpus, said=ran.said)
        if ran.largest_mb > LARGEST_MB:
            self.find(f"{what}: one process took {ran.largest_mb:.0f} MB", corpus)
        return not problem


def report(tally: Tally, seconds: float) -> dict[str, Any]:
    """What was done, in numbers."""
    families: Counter[str] = Counter()
    through: Counter[str] = Counter()
    for container, number in tally.containers.items():
        family = container.split(" ")[0] if container.split(" ")[0].isupper() else "odd"
        families[family] += number
        through[family] += tally.decoded[container]
    return {
        "recordings": tally.recordings,
        "corpora of tables": tally.tables,
        "through both jobs": sum(tally.decoded.values()),
        "containers (made, through)": {name: (n, through[name]) for name, n in families.most_common()},
        "failed, by cause": dict(tally.causes.most_common()),
        "tables": dict(tally.verdicts),
        "peak MB of a job": round(tally.peak_mb),
        "peak MB of one process": round(tally.largest_mb),
        "seconds": round(seconds),
        "files a second": round((tally.recordings + tally.tables) / seconds, 1),
        "decoder crashed or hung, counted": tally.survived,
        "findings": tally.findings,
    }
