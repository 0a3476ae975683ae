"""Where every engine faked every speaker, both are held out at once, and nothing crosses over."""

from collections import Counter

import numpy as np
import pytest

from app.corpora.crossed import UNUSED, split_crossed, split_rows
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.split import SPLITS, balanced, groups_of, split_groups
from app.errors import UserError


def crossed_corpus(speakers=20, engines=6, fakes=8, reals=12, seed=0):
    """As ASVspoof 2019 LA: each speaker real, and faked by each engine."""
    rng, rows = np.random.default_rng(seed), []
    for speaker in range(speakers):
        for n in range(reals):
            id = f"r{speaker}-{n}"
            rows.append(recording(id=id, path=id, label=(0, 1), split="train", speaker=f"s{speaker}", attack=BONAFIDE))
        for engine in range(engines):
            for n in range(fakes):
                id = f"f{speaker}-{engine}-{n}"
                known = {"speaker": f"s{speaker}", "attack": f"A{engine:02d}"}
                rows.append(recording(id=id, path=id, label=(1, 0), split="train", **known))
    return [rows[i] for i in rng.permutation(len(rows))]


def digests(rows):
    return {row["id"]: row["id"] for row in rows}


def test_one_group_of_all_cannot_be_split_and_crossed_it_can():
    rows = crossed_corpus()
    with pytest.raises(UserError, match="only 1 independent groups"):
        split_groups(groups_of(rows, {}, digests(rows)), 0.3, 0)
    assert split_crossed(rows, {}, digests(rows), 0.3, 0)


def test_where_neither_way_works_the_first_complaint_is_told():
    rows = crossed_corpus(speakers=2)
    with pytest.raises(UserError, match="only 1 independent groups hold fake clips"):
        split_rows(rows, {}, digests(rows), 0.3, 0)


@pytest.mark.parametrize("seed", range(5))
def test_no_speaker_and_no_engine_is_in_two_splits(seed):
    rows = crossed_corpus(seed=seed)
    places = split_crossed(rows, {}, digests(rows), 0.3, seed)
    for key in ("speaker", "attack"):
        homes = {}
        for row in rows:
            if row[key] != BONAFIDE and places[row["id"]] != UNUSED:
                homes.setdefault(row[key], set()).add(places[row["id"]])
        assert all(len(places) == 1 for places in homes.values())
        assert {place for places in homes.values() for place in places} == set(SPLITS)


def test_real_voices_are_all_kept_and_half_of_the_fakes_at_least():
    rows = crossed_corpus()
    places = split_crossed(rows, {}, digests(rows), 0.3, 0)
    count = Counter((places[row["id"]], row["fake"]) for row in rows)
    assert count[UNUSED, 0] == 0
    fakes = sum(row["fake"] for row in rows)
    assert count[UNUSED, 1] < 0.55 * fakes
    for split, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert count[split, 0] == pytest.approx(share * (len(rows) - fakes), rel=0.35)
        assert count[split, 1] > 0
    again, said = split_rows(rows, {}, digests(rows), 0.3, 0)
    assert again == places and f"{count[UNUSED, 1]} recordings ({count[UNUSED, 1]} fake, 0 real)" in said


def test_the_same_seed_gives_the_same_split_in_any_order_of_rows():
    rows = crossed_corpus()
    assert split_crossed(rows, {}, digests(rows), 0.3, 1) == split_crossed(rows[::-1], {}, digests(rows), 0.3, 1)


def test_what_has_too_few_speakers_or_engines_is_none():
    for how in ({"engines": 2}, {"speakers": 2}):
        rows = crossed_corpus(**how)
        assert split_crossed(rows, {}, digests(rows), 0.3, 0) is None


def test_a_parent_and_equal_audio_tie_speakers_together():
    rows = crossed_corpus()
    twins = {**digests(rows), "r0-0": "one", "r1-0": "one"}
    for seed in range(4):
        places = split_crossed(rows, {}, twins, 0.3, seed)
        assert places["r0-0"] == places["r1-0"]


def test_a_giant_group_beside_small_ones_is_not_balanced():
    rows = crossed_corpus()
    for n in range(3):
        for label, attack in (((0, 1), BONAFIDE), ((1, 0), f"other{n}")):
            id = f"extra{n}-{attack}"
            known = {"speaker": f"extra{n}", "attack": attack}
            rows.append(recording(id=id, path=id, label=label, split="train", **known))
    groups = groups_of(rows, {}, digests(rows))
    assert not balanced(groups, split_groups(groups, 0.3, 0), 0.3)
    assert split_crossed(rows, {}, digests(rows), 0.3, 0)


def test_whole_groups_are_kept_where_crossing_gains_little():
    """A crossed block, and persons with an engine each: whole groups give a split that loses nothing."""
    rows = crossed_corpus(speakers=12, engines=4, fakes=20, reals=20)
    for person in range(6):
        for label, count in (((0, 1), 10), ((1, 0), 7)):
            for n in range(count):
                id = f"w{person}-{label[0]}-{n}"
                attack = f"w{person}" if label[0] else BONAFIDE
                known = {"speaker": f"w{person}", "attack": attack}
                rows.append(recording(id=id, path=id, label=label, split="train", **known))
    groups = groups_of(rows, {}, digests(rows))
    whole = split_groups(groups, 0.3, 0)
    assert not balanced(groups, whole, 0.3)
    places, said = split_rows(rows, {}, digests(rows), 0.3, 0)
    assert places == whole and said == "" and UNUSED not in places.values()
    crossed = split_crossed(rows, {}, digests(rows), 0.3, 0)
    fewest = [
        min(Counter((found[row["id"]], row["fake"]) for row in rows)[split, 1] for split in ("select", "calibrate"))
        for found in (whole, crossed)
    ]
    assert fewest[0] * 1.5 >= fewest[1]
