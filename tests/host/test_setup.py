"""What is missing on a bare machine is said with the command that mends it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup(tmp_path):
    """setup.py as if it lay in a fresh checkout."""
    spec = importlib.util.spec_from_file_location("setup", ROOT / "app/host/setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VENV = str(tmp_path / ".venv")
    return module


def test_a_python_too_old_is_told(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    assert setup.main() == 2
    assert "Python 3.9 is not between" in (error := capsys.readouterr().err) and "apt-get install python3.11" in error


def test_another_python_that_would_do_is_named(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup.shutil, "which", lambda name: name if name == "python3.12" else None)
    assert setup.main() == 2 and "make PYTHON=python3.12" in capsys.readouterr().err


def test_a_missing_venv_module_is_told(setup, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # as Debian has it without python3-venv
    assert setup.main() == 2 and f"apt-get install python3.{sys.version_info[1]}-venv" in capsys.readouterr().err


def test_a_full_disk_is_told_before_anything_is_fetched(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2e9}))
    assert setup.main() == 2 and "2.0 GB free" in capsys.readouterr().err
    assert not Path(setup.VENV).exists()


def test_a_venv_that_is_ready_is_left_alone_whatever_python_calls(setup, monkeypatch):
    Path(setup.VENV).mkdir()
    for name, lock in setup.LOCKS.items():
        Path(setup._stamp(name)).write_text(setup._digest(lock))
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup.subprocess, "run", None)  # nothing is run
    assert setup.main() == 0


def test_every_locked_package_has_a_hash_and_no_index_is_named():
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "http" not in text
        for block in text.replace("\\\n", " ").splitlines():
            if block.strip() and not block.strip().startswith("#"):
                assert "--hash=sha256:" in block and "==" in block, f"{lock}: {block[:60]}"


def test_make_alone_shows_every_target_in_flow_order():
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    jobs = ["prepare", "denoise", "mix", "extract", "train", "infer", "evaluate"]
    named = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [name for name in named if name in jobs] == jobs
    assert {"demo", "all", "status", "test", "lint", "lock"} <= set(named)
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines() if line.startswith("  "))


def test_no_python_at_all_is_told():
    done = subprocess.run(
        ["make", "-s", "PYTHON=no-such-python", "setup"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "apt-get install python3" in done.stdout
