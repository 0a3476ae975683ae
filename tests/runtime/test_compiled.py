"""Machine code is kept, and never older than its source, be it in the file of a loop or in that of one it calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.runtime.compiled import kept_in

ROOT = Path(__file__).resolve().parents[2]
HEAD = "from app.runtime.compiled import compiled\n\n\n@compiled\n"
INNER = HEAD + "def inner(x):\n    return x + {}\n"
OUTER = "from a_loops import inner\n" + HEAD + "def outer(x):\n    return inner(x)\n"
ASKS = """
import sys
from pathlib import Path
import numba
from app.runtime import compiled
numba.config.CACHE_DIR = str(compiled.kept_in(Path(sys.argv[1])))
sys.path.insert(0, sys.argv[1])
from b_loops import outer
print(outer(1), outer.stats.cache_hits and sum(outer.stats.cache_hits.values()))
"""


def ask(folder):
    done = subprocess.run(
        [sys.executable, "-c", ASKS, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_changed_loop_is_compiled_anew_in_those_that_call_it(tmp_path):
    (tmp_path / "a_loops.py").write_text(INNER.format(1))
    (tmp_path / "b_loops.py").write_text(OUTER)
    assert ask(tmp_path)[0] == "2"
    assert ask(tmp_path) == ["2", "1"]  # kept
    (tmp_path / "a_loops.py").write_text(INNER.format(40))
    assert ask(tmp_path)[0] == "41"


def test_it_lies_where_it_was_asked_for_or_may_be_written(tmp_path, monkeypatch):
    app = tmp_path / "app"
    app.mkdir()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert kept_in(app).parent == app / "__pycache__"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "asked"))
    assert kept_in(app).parent == tmp_path / "asked"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (app / "__pycache__").rmdir()
    (app / "__pycache__").write_text("no folder can be made here")
    assert kept_in(app).parent == tmp_path / "home" / "moksori"


@pytest.mark.parametrize("text", ["", "x = 1\n"])
def test_each_state_of_the_sources_has_a_folder_of_its_own(tmp_path, text):
    before = kept_in(tmp_path)
    (tmp_path / "some_loops.py").write_text(text + "y = 2\n")
    assert kept_in(tmp_path) != before


def test_who_has_no_home_may_work_too(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert kept_in(tmp_path).parent == tmp_path / "__pycache__"


def test_what_an_image_has_compiled_is_brought_and_never_overwrites(tmp_path, monkeypatch):
    from app.runtime import compiled

    monkeypatch.setenv("MOKSORI_LOOPS", str(tmp_path / "image"))
    compiled._bring(tmp_path / "here" / "loops-1")  # the image has none of this source
    assert not (tmp_path / "here").exists()
    (tmp_path / "image" / "loops-1").mkdir(parents=True)
    (tmp_path / "image" / "loops-1" / "code").write_text("machine code")
    (tmp_path / "here").mkdir()
    compiled._bring(tmp_path / "here" / "loops-1")
    (tmp_path / "here" / "loops-1" / "code").write_text("newer")
    compiled._bring(tmp_path / "here" / "loops-1")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["loops-1"]
    assert (tmp_path / "here" / "loops-1" / "code").read_text() == "newer"
