"""What is noted of a model's making: the commit of a real repository, the packages that are there."""

import importlib.metadata
import json
import subprocess

from app.runtime import made
from app.runtime.made import commit, made_here, note_made


def git(folder, *words):
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *name, "-C", folder, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_that_of_our_own_checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("MOKSORI_COMMIT", raising=False)
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) is None  # nothing in it yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path) == head
    (tmp_path / "unknown").write_text("runs and data lie in a checkout too")
    assert commit(tmp_path) == head
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == f"{head}+"
    inner = tmp_path / "copied here"
    inner.mkdir()
    assert commit(inner) is None  # the repository around it is somebody's own
    monkeypatch.setenv("MOKSORI_COMMIT", "abc")
    assert commit(inner) == "abc"


def test_packages_and_machine_are_those_that_are_here():
    here = made_here()
    assert here["packages"]["torch"] == importlib.metadata.version("torch") and len(here["packages"]) > 20
    assert here["machine"]["cores"] >= 1 and here["machine"]["cpu"] and here["machine"]["memory_gb"] > 0
    assert here["machine"]["gpus"] == [] and made_here(["H100"])["machine"]["gpus"] == ["H100"]


def test_where_it_goes_on_elsewhere_both_are_noted(tmp_path, monkeypatch):
    path = tmp_path / "made.json"
    note_made(path, config={"seed": 1})
    note_made(path, config={"seed": 1})
    assert len(json.loads(path.read_text())) == 1
    monkeypatch.setattr(made, "usable_cores", lambda: 64)  # another machine
    note_made(path, config={"seed": 1})
    note_made(path, config={"seed": 2})
    entries = json.loads(path.read_text())
    assert [entry["machine"]["cores"] for entry in entries][1:] == [64, 64] and entries[-1]["config"] == {"seed": 2}
    assert all(entry["since"] for entry in entries)
