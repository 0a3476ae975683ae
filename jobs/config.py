"""Prints what a config comes to: every key, its value, and where that comes from. On stdout, a config in itself."""

import sys
from typing import Any

import yaml

from app.config import origins_of
from app.runtime.run import Run, open_run
from jobs.pack import guarded

WIDEST = 60  # values longer than this do not move the column of origins


def main() -> None:
    run = open_run("config", __doc__ or "", None, leaves_config=False)
    print(told(run), end="")
    changed = sum(origin != "default" for origin in origins_of(run.config, run.config_path, run.asked).values())
    print(f"config  {run.config_path}: {changed} keys are given, all others are defaults", file=sys.stderr)


def told(run: Run) -> str:
    """The merged config as YAML, with the origin of each value as a comment."""
    values = run.config.model_dump(mode="json")
    origins = origins_of(run.config, run.config_path, run.asked)
    lines = list(_lines(values, origins, "", 0))
    width = min(WIDEST, max(len(text) for text, origin in lines if origin))
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def _lines(values: dict[str, Any], origins: dict[str, str], above: str, depth: int) -> Any:
    for name, value in values.items():
        key, indent = f"{above}{name}", "  " * depth
        if key in origins:
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).strip()
            yield f"{indent}{name}: {text.removesuffix('...').strip()}", origins[key]
        else:
            yield f"{indent}{name}:", ""
            yield from _lines(value, origins, f"{key}.", depth + 1)


if __name__ == "__main__":
    sys.exit(guarded("config", main))
