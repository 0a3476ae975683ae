"""Renews the locks from the .in files and pins.json: make lock. Exact versions, with hashes.

cuXXX.txt        what all jobs need, with the torch, and so the CUDA, of this pin
cuXXX-prep.txt   the part of it that does without torch
dev.txt          what tests and lint need beside any of them (installed with --no-deps)
uv.txt           the installer
"""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
UV = Path(sys.executable).parent / "uv"


def main() -> int:
    pins = json.loads((HERE / "pins.json").read_text())
    for name, pin in pins.items():
        line = ".".join(pin["torch"].split(".")[:2])  # torchaudio is built for one of torch's
        wanted = f"torch=={pin['torch']}\ntorchaudio=={line}.*\nnumpy{pin['numpy']}\n"
        if compiled("moksori.in", f"{name}.txt", ["-c", "-"], wanted):
            return 2
        if compiled("prep.in", f"{name}-prep.txt", ["-c", f"{name}.txt"]):
            return 2
    newest = list(pins)[-1]
    there = [word for line in names(f"{newest}.txt") for word in ("--no-emit-package", line)]
    return compiled("uv.in", "uv.txt") or compiled("dev.in", "dev.txt", ["-c", f"{newest}.txt", *there])


def compiled(source: str, lock: str, words: list[str] | None = None, fed: str = "") -> int:
    command = [UV, "pip", "compile", "-q", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", source, "-o", lock, *(words or [])]
    print(f"lock: {lock}", file=sys.stderr)
    return subprocess.run(command, cwd=HERE, input=fed, text=True, check=False).returncode


def names(lock: str) -> list[str]:
    """The packages of a lock."""
    return sorted(set(re.findall(r"(?m)^([a-z0-9][\w.-]*)==", (HERE / lock).read_text())))


if __name__ == "__main__":
    sys.exit(main())
