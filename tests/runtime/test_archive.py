"""An archive is, byte for byte, what the table at its head says, or it is refused."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from app.errors import UserError
from app.runtime import archive
from app.runtime.archive import Differs, archive_bytes, header, read_archive, read_table, write_archive

LONG = "소리" * 35 + ".csv"  # 214 bytes of UTF-8
CONTENT = {
    "run/config.yaml": b"seed: 1\n",
    f"run/scores/input/{LONG}": b"id,fake,real\n",
    "stages/mix-012345678901/shards/00000/empty": b"",
    "stages/mix-012345678901/shards/00000/plan.csv": bytes(range(256)) * 5000,
    "stages/mix-012345678901/stage.json": b"x" * 512,
}


def quiet(count: int) -> None:
    pass


def table_of(content: dict[str, bytes], links: dict[str, str] | None = None) -> dict:
    files = {n: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in content.items()}
    total = sum(len(data) for data in content.values())
    return {"format": 1, "run": "run", "made_on": {}, "bytes": total, "links": links or {}, "files": files}


def write(path: Path, content: dict[str, bytes], table: dict | None = None) -> Path:
    """As `make pack` does, but for what the table says."""
    sources = {}
    for number, (name, data) in enumerate(content.items()):
        sources[name] = path.with_name(f"{path.name}.{number}")
        sources[name].write_bytes(data)
    with path.open("wb", buffering=0) as file:
        write_archive(file, table or table_of(content), sources, quiet)
    return path


def read(path: Path, to: Path) -> dict:
    return read_archive(path, lambda name: to / name, quiet)


@pytest.fixture
def whole(tmp_path):
    return write(tmp_path / "whole.tar", CONTENT)


def test_what_goes_in_comes_out(whole, tmp_path):
    table = read(whole, tmp_path / "out")
    assert table == table_of(CONTENT) == read_table(whole)
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in tmp_path.glob("out/**/*") if p.is_file()}
    assert found == CONTENT
    assert whole.stat().st_size == archive_bytes(table)


def test_the_same_files_make_the_same_bytes(whole, tmp_path):
    assert write(tmp_path / "again.tar", CONTENT).read_bytes() == whole.read_bytes()


def test_other_programs_read_it(whole, tmp_path):
    with tarfile.open(whole) as tar:
        for name, data in CONTENT.items():
            assert tar.extractfile(name).read() == data
        assert {(m.mtime, m.uid, m.gid, m.mode) for m in tar.getmembers()} == {(0, 0, 0, 0o644)}
    if shutil.which("tar"):
        subprocess.run(["tar", "xf", whole, "-C", tmp_path], check=True)
        assert (tmp_path / "run/scores/input" / LONG).read_bytes() == b"id,fake,real\n"


def test_a_header_tells_of_more_than_8_GiB():
    assert tarfile.TarInfo.frombuf(header("a", 9 << 30), "utf-8", "strict").size == 9 << 30
    assert tarfile.TarInfo.frombuf(header("a", (8 << 30) - 1), "utf-8", "strict").size == (8 << 30) - 1


def places(whole: Path) -> list[int]:
    """A byte of each kind: heads, names, the table, data, padding, the seal, the end."""
    with tarfile.open(whole) as tar:
        found = [0, 130, 511]
        for member in tar.getmembers():
            found += [member.offset, member.offset + 511, member.offset_data, member.offset_data + member.size]
    size = whole.stat().st_size
    return sorted({place for place in [*found, *range(17, size, size // 60), size - 1024, size - 1] if place < size})


def test_a_flipped_bit_anywhere_is_noticed(whole, tmp_path):
    good = whole.read_bytes()
    spots = places(whole)
    assert len(spots) > 70
    for spot in spots:
        for bit in (0, 6):
            bad = bytearray(good)
            bad[spot] ^= 1 << bit
            whole.write_bytes(bad)
            with pytest.raises(UserError, match="no archive of|damaged"):
                read(whole, tmp_path / f"out{spot}-{bit}")


def test_a_cut_or_longer_archive_is_noticed(whole, tmp_path):
    good = whole.read_bytes()
    for size in [0, 100, 511, 512, 600, *places(whole)[5::4], len(good) - 1]:
        whole.write_bytes(good[:size])
        with pytest.raises(UserError, match="no archive of|ends too early|its table tells of"):
            read(whole, tmp_path / f"out{size}")
    whole.write_bytes(good + bytes(512))
    with pytest.raises(UserError, match=f"it has {len(good) + 512} bytes, its table tells of {len(good)}"):
        read(whole, tmp_path / "longer")


DATA = b"harm"
HOSTILE = {
    "absolute": ({"/etc/passwd": DATA}, {}, "no name for a file"),
    "up": ({"stages/../../x": DATA}, {}, "no name for a file"),
    "up in the run": ({"run/../x": DATA}, {}, "no name for a file"),
    "dot": ({"run/./x": DATA}, {}, "no name for a file"),
    "empty part": ({"run//x": DATA}, {}, "no name for a file"),
    "hidden": ({"stages/mix-0/shards/.draft@a/x": DATA}, {}, "no name for a file"),
    "another run": ({"other/config.yaml": DATA}, {}, "no name for a file"),
    "a stage that is a file": ({"stages/mix-0": DATA}, {}, "no name for a file"),
    "control": ({"run/a\x1b[2J": DATA}, {}, "no name for a file"),
    "nul": ({"run/a\0b": DATA}, {}, "no name for a file"),
    "too long": ({"run/" + "a" * 256: DATA}, {}, "no name for a file"),
    "file and folder": ({"run/a": DATA, "run/a/b": DATA}, {}, "a file and a folder"),
    "link and folder": (
        {"run/models/a/x": DATA, "run/models/b/x": DATA}, {"run/models/a": "b"}, "a file and a folder or link",
    ),
    "link out": ({}, {"run/models/a": "../../../etc"}, "out of the archive"),
    "absolute link": ({}, {"run/models/a": "/etc"}, "out of the archive"),
    "stage link out": ({"stages/x-0/a": DATA}, {"run/stages/a": "../../../stages/x-0"}, "out of the archive"),
    "link to nothing": ({}, {"run/stages/a": "../../stages/x-0"}, "out of the archive"),
    "link elsewhere": ({"run/models/b/x": DATA}, {"run/logs/a": "b"}, "no link of ours"),
    "link deep": ({"run/models/b/x": DATA}, {"run/models/../a": "b"}, "no link of ours|out of the archive"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_table_that_could_do_harm_is_refused(case, tmp_path):
    files, links, words = HOSTILE[case]
    content = {"run/config.yaml": b"", **files}
    path = write(tmp_path / "bad.tar", content, table_of(content, links))
    with pytest.raises(UserError, match=words):
        read(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"run": "stages"}, "no name for a run"),
        ({"run": "../run"}, "no name for a run"),
        ({"run": ["run"]}, "cannot be used"),
        ({"bytes": 1}, "it tells of 1"),
        ({"files": [1]}, "cannot be used"),
        ({"files": {}}, "no run/config.yaml"),
        ({"files": {"run/config.yaml": {"bytes": -1, "sha256": "0" * 64}}}, "no size"),
        ({"files": {"run/config.yaml": {"bytes": 1.0, "sha256": "0" * 64}}}, "no size"),
        ({"files": {"run/config.yaml": {"bytes": 1, "sha256": "Z" * 64}}}, "no size"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(change, words, tmp_path):
    text = json.dumps({**table_of(CONTENT), **change}, indent=1).encode() + b"\n"
    path = tmp_path / "bad.tar"
    path.write_bytes(header(archive.TABLE, len(text)) + text + bytes(-len(text) % 512) + bytes(10240))
    with pytest.raises(UserError, match=words):
        read(path, tmp_path / "out")


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, io.BytesIO(data)


GOOD = {"run/config.yaml": b"seed: 1\n", "run/x": b"harmless"}
FORGED = {
    "a link to outside": [member("run/config.yaml", kind=tarfile.SYMTYPE, link="/etc/passwd")],
    "a hard link": [member("run/config.yaml", kind=tarfile.LNKTYPE, link="/etc/passwd")],
    "a device": [member("run/config.yaml", kind=tarfile.CHRTYPE)],
    "a pipe": [member("run/config.yaml", kind=tarfile.FIFOTYPE)],
    "not in the table": [member("run/config.yaml", b"seed: 1\n"), member("run/more", b"harm")],
    "twice": [member("run/config.yaml", b"seed: 1\n"), member("run/config.yaml", b"seed: 2\n")],
    "larger": [member("run/config.yaml", b"seed: 1\n" * 1000)],
    "up": [member("run/../../config.yaml", b"seed: 1\n")],
    "other bytes": [member("run/config.yaml", b"seed: 2\n"), member("run/x", b"harmless")],
}


@pytest.mark.parametrize("case", FORGED)
def test_members_other_than_the_table_tells_are_refused(case, tmp_path):
    path, text = tmp_path / "forged.tar", json.dumps(table_of(GOOD), indent=1).encode() + b"\n"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in [member(archive.TABLE, text), *FORGED[case]]:
            tar.addfile(info, data)
    told = archive_bytes(table_of(GOOD))
    # as long as it should be, so that the length alone does not give it away
    path.write_bytes(path.read_bytes()[:told].ljust(told, b"\0"))
    with pytest.raises(UserError, match="damaged, or not made by"):
        read(path, tmp_path / "out")
    left = [p for p in tmp_path.rglob("*") if p.is_symlink() or (p.exists() and not p.is_file() and not p.is_dir())]
    assert not left and not (tmp_path / "config.yaml").exists()


def test_no_archive_at_all_is_told(tmp_path):
    for data in (b"", b"PK\x03\x04" * 1000, bytes(5000), header("other", 10) + bytes(1024)):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(UserError, match="no archive of `make pack`"):
            read_table(tmp_path / "x")


@pytest.mark.parametrize("data", [b"seed: 2\n", b"seed: 1", b"seed: 1\n\n", b"", None])
def test_a_source_that_is_not_what_the_table_says_is_named(data, tmp_path):
    source = tmp_path / "source"
    if data is not None:
        source.write_bytes(data)
    content = {"run/config.yaml": b"seed: 1\n"}
    with (tmp_path / "x").open("wb", buffering=0) as file, pytest.raises(Differs, match="run/config.yaml"):
        write_archive(file, table_of(content), {"run/config.yaml": source}, quiet)


def test_a_stop_is_heard_within_a_file(whole, tmp_path):
    class Leave(Exception):
        pass

    def leave(count: int) -> None:
        raise Leave

    with pytest.raises(Leave):
        read_archive(whole, lambda name: None, leave)
