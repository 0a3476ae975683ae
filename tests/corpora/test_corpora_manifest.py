"""A corpus is named by its bytes, and a clip's seed by its name: wherever, whenever and in whatever order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from corpora_rows import write_corpus

from app.corpora.manifest import name_of, with_digests
from app.runtime.files import sha256_of
from app.runtime.seeds import seed_of

PATHS = ["train.csv", "train/a.ogg", "train/b.ogg"]
ROOT = Path(__file__).resolve().parents[2]


def named(folder, paths=PATHS, **known):
    return name_of(with_digests(folder, [{"path": path, **known} for path in paths], 2))


@pytest.fixture
def folder(tmp_path):
    write_corpus(tmp_path / "here")
    (tmp_path / "here/train").mkdir()
    (tmp_path / "here/train/a.ogg").write_bytes(b"Ogg of a")
    (tmp_path / "here/train/b.ogg").write_bytes(b"Ogg of b")
    return tmp_path / "here"


def test_a_corpus_that_moves_keeps_its_fingerprint(folder):
    before = named(folder)
    there = folder.rename(folder.with_name("there"))
    os.utime(there / "train/a.ogg", (0, 0))
    assert named(there) == before
    assert named(there, PATHS[::-1]) == before  # the order does not count
    assert named(there, speaker="kim") != before  # what is known of a recording does


@pytest.mark.parametrize("path", PATHS)
def test_one_changed_byte_is_another_corpus_even_at_the_same_size_and_time(folder, path):
    before, file = named(folder), folder / path
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert named(folder) != before
    file.write_bytes(content)
    assert named(folder) == before


def test_swapped_renamed_and_missing_files_are_other_corpora(folder):
    names = [named(folder), named(folder, PATHS[:2])]
    a, b = folder / "train/a.ogg", folder / "train/b.ogg"
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    names.append(named(folder))
    b.unlink()
    names.append(named(folder))
    b.write_text("missing")  # what the file says is not what its absence says
    names.append(named(folder))
    assert len(set(names)) == len(names)


def test_digests_come_in_the_order_of_the_rows_however_many(folder):
    rows = [{"path": PATHS[n % 3], "n": n} for n in range(1000)]
    found = list(with_digests(folder, iter(rows), 3))
    assert [row["n"] for row in found] == list(range(1000))
    assert {(row["path"], row["sha256"]) for row in found} == {(p, sha256_of(folder / p)) for p in PATHS}


def test_a_folder_in_place_of_a_file_counts_as_missing(folder):
    (folder / "train/b.ogg").unlink()
    before = named(folder)
    (folder / "train/b.ogg").mkdir()
    assert named(folder) == before


def test_seeds_have_not_changed():
    """Golden: with other values every planned clip would be another, and all stages computed anew."""
    assert seed_of(0) == 2033344993903900207
    assert seed_of(20261122, "mix", "train-000000") == 5888368828456549624
    assert seed_of(20261122, "render", "목소리") == 2589128025611263858


def test_a_seed_depends_on_each_of_its_parts():
    seeds = [seed_of(1), seed_of(2), seed_of(1, "a"), seed_of(1, "b"), seed_of(1, "a", "b"), seed_of(1, "b", "a")]
    seeds += [seed_of(1, "ab"), seed_of(11), seed_of(1, 1), seed_of(1, "a", "")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_does_not_depend_on_the_process():
    script = "from app.runtime.seeds import seed_of; print(seed_of(7, 'mix', 'train-000001', 3))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert said == {f"{seed_of(7, 'mix', 'train-000001', 3)}\n"}
