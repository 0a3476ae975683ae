"""A shard is there whole or not at all, and every clip is accounted for."""

import os

import pytest

from app.runtime.files import clear_torn, fingerprint, here, read_json, replacing, sha256_of, write_json
from app.runtime.part import Part
from app.runtime.shards import Shard, clear_all_drafts, clear_drafts, commit, cut, receipt_of, rows_of


def test_a_committed_shard_has_its_rows_files_and_receipt(tmp_path):
    with commit(tmp_path / "shards", "00000") as out:
        (out.path / "audio.npy").write_bytes(b"12345")
        out.done({"id": "a"})
        out.fail({"id": "b", "path": "b.ogg"}, "silent", "-90 dBFS")
    receipt = receipt_of(tmp_path / "shards", "00000")
    assert (receipt["clips"], receipt["failed"]) == (1, 1)
    for name, facts in receipt["files"].items():
        path = tmp_path / "shards" / "00000" / name
        assert facts == {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    assert set(receipt["files"]) == {"audio.npy", "manifest.jsonl", "failed.jsonl"}
    assert [row["id"] for row in rows_of(tmp_path)] == ["a"]
    assert list(rows_of(tmp_path, "failed"))[0]["cause"] == "silent"


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), commit(tmp_path / "shards", "00000") as out:
        out.done({"id": "a"})
        raise ZeroDivisionError
    assert list((tmp_path / "shards").iterdir()) == []


def test_the_second_to_commit_discards_its_copy(tmp_path):
    with commit(tmp_path, "00000") as first:
        first.done({"id": "first"})
        with commit(tmp_path / "elsewhere", "00000") as second:
            second.done({"id": "second"})
        (tmp_path / "elsewhere" / "00000").rename(tmp_path / "00000")
    assert (tmp_path / "00000" / "manifest.jsonl").read_text() == '{"id": "second"}\n'
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".draft")] == []


def test_a_receipt_holds_no_time(tmp_path):
    for name in ("one", "two"):
        with commit(tmp_path / name, "00000") as out:
            out.done({"id": "a"})
    assert (tmp_path / "one/00000/receipt.json").read_bytes() == (tmp_path / "two/00000/receipt.json").read_bytes()


def test_a_lost_clip_is_noticed(tmp_path):
    shard = Shard("00000", ({"id": "a"}, {"id": "b"}))
    with pytest.raises(RuntimeError, match="unaccounted"), commit(tmp_path, "00000") as out:
        out.done({"id": "a"})
        out.account_for(shard)


def test_windows_account_for_their_recording(tmp_path):
    with commit(tmp_path, "00000") as out:
        out.done({"id": "a", "recording": "a"})
        out.done({"id": "a#1", "recording": "a"})
        out.account_for(Shard("00000", ({"id": "a"},)))


def test_drafts_left_on_this_host_are_cleared_by_who_holds_the_lock(tmp_path):
    mine, other = tmp_path / f".draft@{here()}@00000@1-ab", tmp_path / ".draft@elsewhere-1@00000@1-cd"
    mine.mkdir()
    other.mkdir()
    clear_drafts(tmp_path, locked=False)
    assert mine.exists()
    clear_drafts(tmp_path, locked=True)
    assert not mine.exists() and other.exists()
    clear_all_drafts(tmp_path)
    assert not other.exists()


def test_the_torso_of_a_broken_copy_is_set_aside(tmp_path):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "audio.npy").write_bytes(b"half")
    with commit(tmp_path, "00000") as out:
        out.done({"id": "a"})
    assert receipt_of(tmp_path, "00000")["clips"] == 1
    [torso] = tmp_path.glob(".torso@00000@*")
    assert (torso / "audio.npy").read_bytes() == b"half"


def test_windows_count_as_their_recordings(tmp_path):
    with commit(tmp_path, "00000") as out:
        out.done({"id": "a", "recording": "a"})
        out.done({"id": "a#1", "recording": "a"})
    receipt = receipt_of(tmp_path, "00000")
    assert (receipt["clips"], receipt["rows"]) == (1, 2)


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"a": 1} and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_fingerprints_know_values_and_not_their_order():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})


def test_cut_leaves_no_row_behind():
    rows = [{"id": str(n)} for n in range(7)]
    shards = cut(rows, 3)
    assert [shard.name for shard in shards] == ["00000", "00001", "00002"]
    assert [row for shard in shards for row in shard.rows] == rows


def test_a_part_knows_all_shards_and_the_rows_of_its_own():
    rows = [{"id": str(n)} for n in range(11)]
    whole, parts = cut(rows, 3), [cut(iter(rows), 3, Part(number, 2)) for number in range(2)]
    for number, shards in enumerate(parts):
        assert [shard.name for shard in shards] == [shard.name for shard in whole]
        assert [list(one.rows) for one in shards[number::2]] == [list(one.rows) for one in whole[number::2]]
        assert not any(one.rows for one in shards[1 - number :: 2])


def test_drafts_of_small_files_are_cleared_when_their_process_is_gone(tmp_path):
    gone = tmp_path / f".a.json@{here()}@999999999@ab"
    alive, elsewhere = tmp_path / f".a.json@{here()}@{os.getpid()}@ab", tmp_path / ".a.json@elsewhere-1@999999999@ab"
    for path in (gone, alive, elsewhere):
        path.touch()
    clear_torn(tmp_path)
    assert not gone.exists() and alive.exists() and elsewhere.exists()


def test_drafts_of_other_hosts_go_once_they_are_old_where_nobody_else_is_at_work(tmp_path):
    old, young = tmp_path / ".a.json@elsewhere-1@7@ab", tmp_path / ".a.json@elsewhere-1@8@ab"
    link, whole = tmp_path / ".crnn@elsewhere-1@9@ab", tmp_path / "a.json"
    for path in (old, young, whole):
        path.touch()
    link.symlink_to("nowhere")
    for path in (old, link, whole):
        os.utime(path, (0, 0), follow_symlinks=False)
    clear_torn(tmp_path)
    assert old.exists() and link.is_symlink()
    clear_torn(tmp_path, is_ours=True)
    assert sorted(tmp_path.iterdir()) == sorted([young, whole])
