"""Imports point one way, and each file keeps to one idea."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    "errors",
    "config",
    "driver",
    "compat",
    "runtime",
    "audio",
    "corpora",
    "features",
    "models",
    "scoring",
    "learning",
    "jobs",
]
FILES = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("jobs/*.py")])


def layer_of(parts: tuple[str, ...]) -> str | None:
    if parts[0] == "jobs":
        return "jobs"
    return parts[1].removesuffix(".py") if parts[0] == "app" and len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    mine = layer_of(path.relative_to(ROOT).parts)
    for name in imported(path):
        theirs = layer_of(tuple(name.split(".")))
        if theirs is None:
            continue
        if mine == "host":
            assert theirs == "host", f"{path}: host runs before anything is installed, it may not import {name}"
        else:
            assert LAYERS.index(theirs) <= LAYERS.index(mine), f"{path} ({mine}) imports {name} ({theirs})"


def test_the_rule_itself_would_find_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from app.learning.loop import Trainer\n")
    assert any(LAYERS.index(layer_of(tuple(name.split(".")))) > LAYERS.index("audio") for name in imported(bad))


def test_host_needs_the_standard_library_alone():
    import sys

    for path in ROOT.glob("app/host/*.py"):
        # "app": app.host itself, which the rule above sees to
        assert {name.split(".")[0] for name in imported(path)} <= {*sys.stdlib_module_names, "app"}
        ast.parse(path.read_text(), feature_version=(3, 8))
