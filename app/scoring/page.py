"""Pages from the templates that lie here; what they are given is shown as text, never as markup."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.scoring.table import duration, number

SCALE_END = 0.5  # right end of the score scale; what scores worse sits at it


def page(template: str, **values: Any) -> str:
    """The page as a string."""
    return _environment().get_template(template).render(**values)


def part(template: str, macro: str, **values: Any) -> str:
    """What a macro of a template makes."""
    made: str = getattr(_environment().get_template(template).module, macro)(**values)
    return str(made)


@lru_cache(1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "duration": duration, "percent": _percent}
    return environment


def _percent(score: float) -> str:
    """Place of a score on its scale, in percent of the width."""
    return f"{100 * min(max(score, 0.0), SCALE_END) / SCALE_END:.2f}"
