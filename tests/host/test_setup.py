"""What is missing on a bare machine is said with the command that mends it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """setup.py as if it lay in a fresh checkout."""
    spec = importlib.util.spec_from_file_location("setup", ROOT / "app/host/setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("VENV_DIR", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "take_up", lambda path: None)  # what doctor found here is not the test's
    monkeypatch.setattr(sys, "argv", ["setup.py"])
    monkeypatch.delenv("CUDA", raising=False)
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
    assert not Path(setup.venv_folder()).exists()


def ready(setup, pin, *names):
    venv = Path(setup.venv_folder())
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    for program in ("python", "uv"):
        (venv / "bin" / program).touch()
    for name in names:
        Path(setup._stamp(str(venv), name)).write_text(setup._digest(pin, name))


def steps_of(setup, monkeypatch):
    """What setup would run."""
    steps = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(setup.subprocess, "run", lambda words, **kwargs: steps.append(words) or done)
    assert setup.main() == 0
    return steps


def test_a_venv_that_is_ready_is_left_alone_whatever_python_calls(setup, monkeypatch):
    ready(setup, "cu130", "run", "dev")
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    assert steps_of(setup, monkeypatch) == []


def test_another_pin_is_put_in_place_of_the_last_and_tests_keep_their_tools(setup, monkeypatch):
    ready(setup, "cu130", "run", "dev")
    monkeypatch.setenv("CUDA", "cu117")
    (sync,) = steps_of(setup, monkeypatch)
    assert sync[1:3] == ["pip", "sync"] and "--require-hashes" in sync
    assert [Path(word).name for word in sync if word.endswith(".txt")] == ["cu117.txt", "dev.txt"]
    assert steps_of(setup, monkeypatch) == []


def test_a_pin_that_is_none_is_told(setup, monkeypatch, capsys):
    monkeypatch.setenv("CUDA", "cu999")
    assert setup.main() == 2 and "cu117, cu128, cu130" in capsys.readouterr().err


def test_the_oldest_pin_asks_for_the_python_that_its_torch_has(setup, monkeypatch, capsys):
    monkeypatch.setenv("CUDA", "cu117")
    monkeypatch.setattr(setup.sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    assert setup.main() == 2 and "Python 3.12 is not 3.11, which cu117 needs" in capsys.readouterr().err


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


def packages(lock: str) -> set[str]:
    text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
    return {line.split(" --hash")[0].strip() for line in text.splitlines() if "==" in line}


@pytest.mark.parametrize("pin", ["cu117", "cu128", "cu130"])
def test_a_pin_has_its_torch_and_its_prep_part_is_a_part_of_it(pin):
    import json

    wanted = json.loads((ROOT / "requirements/pins.json").read_text())[pin]
    whole, prep = packages(f"{pin}.txt"), packages(f"{pin}-prep.txt")
    assert f"torch=={wanted['torch']}" in whole
    assert prep < whole and not any(name.startswith(("torch", "nvidia-cu", "triton")) for name in prep)
    assert not {name.split("==")[0] for name in whole} & {name.split("==")[0] for name in packages("dev.txt")}


def test_a_larger_pin_asks_for_more_room(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 9e9}))
    monkeypatch.setenv("CUDA", "cu128")
    assert setup.main() == 2 and "9.0 GB free" in (said := capsys.readouterr().err) and "need 10" in said
