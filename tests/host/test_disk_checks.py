"""Disks are tried; what cannot be made here, a quota and broken renames, is played."""

import os
from pathlib import Path

from app.host import disk_checks

HEAD = "Disk quotas for user kim (uid 1000):\n  Filesystem  blocks  quota  limit  grace  files  quota  limit  grace\n"


def test_a_quota_is_told_also_when_it_is_over_or_soft():
    [row] = disk_checks.quota_rows(HEAD + "/dev/sda1 1000000 90000000 100000000 0 5 0 0 0\n")
    assert row[0] == "ok" and "1.0 of 100.0 GB used on /dev/sda1" in row[2]
    [row] = disk_checks.quota_rows(HEAD + "/dev/sda1 96000000* 90000000 100000000 0 5 0 0 0\n")
    assert row[0] == "note" and "free space" in row[3]
    [row] = disk_checks.quota_rows(HEAD + "/dev/sda1 100000000* 90000000 100000000 0 5 0 0 0\n")
    assert row[0] == "mend"
    [row] = disk_checks.quota_rows(HEAD + "/dev/sda1 1000 9000000 0 0 5 0 0 0\n")
    assert row[0] == "ok" and "of 9.0 GB" in row[2]
    assert not list(disk_checks.quota_rows(HEAD + "/dev/sda1 1000 0 0 0 5 0 0 0\n")) and not list(
        disk_checks.quota_rows("")
    )


def verdicts(place):
    return {what: (verdict, text) for verdict, what, text, _ in disk_checks.tried_rows(str(place))}


def test_what_a_disk_does_is_tried_and_nothing_is_left(tmp_path):
    found = verdicts(tmp_path)
    assert {what: verdict for what, (verdict, _) in found.items()} == {"locks": "ok", "renames": "ok", "clock": "ok"}
    assert not list(tmp_path.iterdir())


def test_a_disk_whose_renames_or_clock_are_wrong_is_told(tmp_path, monkeypatch):
    rename = os.rename

    def onto_anything(source, target):
        if Path(target).exists():
            return
        rename(source, target)

    monkeypatch.setattr(disk_checks.os, "rename", onto_anything)
    monkeypatch.setattr(disk_checks, "_skew", lambda path: 90.0)
    found = verdicts(tmp_path)
    assert found["renames"][0] == "mend" and "onto another one" in found["renames"][1]
    assert found["clock"] == (
        "note",
        "the disk's clock is 90 s ahead of ours: states in `make status` look older or newer than they are",
    )
    monkeypatch.setattr(disk_checks.time, "time", lambda: 1e9)
    assert verdicts(tmp_path)["clock"][0] == "mend"
