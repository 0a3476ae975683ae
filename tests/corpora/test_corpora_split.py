"""Whole speakers, engines, parents and clusters lie in one split, whatever the corpus looks like."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from corpora_rows import random_corpus

from app.corpora.layouts.contest import read_contest
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.split import Group, engine_of, groups_of, sources_of, split_groups
from app.errors import UserError

SPLITS = {"train", "select", "calibrate"}


def keys_of(row, clusters):
    """All that ties a recording to others."""
    yield "parent", row["parent"] or row["id"]
    yield "parent", row["id"]
    if row["speaker"]:
        yield "speaker", row["speaker"]
    if row["attack"] and row["attack"] != BONAFIDE:
        yield "attack", row["attack"]
    if row["id"] in clusters:
        yield "cluster", clusters[row["id"]]


def assert_nothing_leaks(rows, clusters, splits):
    assert splits.keys() == {row["id"] for row in rows}
    places = defaultdict(set)
    for row in rows:
        for key in keys_of(row, clusters):
            places[key].add(splits[row["id"]])
    assert {key: found for key, found in places.items() if len(found) > 1} == {}
    held = Counter((splits[row["id"]], "fake" if row["fake"] else "real") for row in rows)
    assert set(held) == {(split, label) for split in SPLITS for label in ("fake", "real")}


@pytest.mark.parametrize("seed", range(16))
def test_no_speaker_attack_parent_cluster_or_engine_is_in_two_splits(seed):
    rows, clusters = random_corpus(seed)
    splits = split_groups(groups_of(rows, clusters), 0.3, seed, draws=300)
    assert_nothing_leaks(rows, clusters, splits)
    engines = defaultdict(set)
    for row in rows:
        if (engine_of(row["attack"]) or "").startswith("tts"):  # those with voices of their own
            engines[engine_of(row["attack"])].add(splits[row["id"]])
    assert {engine: found for engine, found in engines.items() if len(found) > 1} == {}


@pytest.mark.parametrize("valid_fraction", [0.3, 0.4])
def test_the_demo_corpus_is_split_without_leaks(demo, valid_fraction):
    rows = [row for row in read_contest(demo).rows if row["split"] == "train"]
    splits = split_groups(groups_of(rows, {}), valid_fraction, 20261122, draws=1000)
    assert_nothing_leaks(rows, {}, splits)
    engines = defaultdict(set)
    for row in rows:
        if row["fake"]:
            engines[engine_of(row["attack"])].add(splits[row["id"]])
    # the vocoders copied all three real speakers; all others speak for themselves
    torn = {engine for engine, found in engines.items() if len(found) > 1}
    assert torn == {"world", "lpcnet", "griffinlim"}
    per_half = {half: {e for e, found in engines.items() if found == {half}} for half in ("select", "calibrate")}
    assert all(per_half.values())  # each half holds an engine that no other split has heard


@pytest.mark.parametrize("engines", [0, 12])
@pytest.mark.parametrize("valid_fraction", [0.2, 0.5])
def test_the_fractions_are_near_those_wanted_where_groups_are_small(engines, valid_fraction):
    rng = np.random.default_rng(0)
    groups = [Group((f"r{n}",), 0, int(rng.integers(1, 20)), frozenset()) for n in range(60)]
    for n in range(engines or 60):
        groups.append(Group((f"f{n}",), int(rng.integers(1, 20)), 0, frozenset({f"tts{n}"} if engines else ())))
    splits = split_groups(groups, valid_fraction, 0, draws=1000)
    for label in ("fake", "real"):
        clips = Counter()
        for group in groups:
            clips[splits[group.ids[0]]] += getattr(group, label)
        for half in ("select", "calibrate"):
            assert clips[half] / clips.total() == pytest.approx(valid_fraction / 2, rel=0.3 if engines else 0.1)


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    rows, clusters = random_corpus(3)
    splits = split_groups(groups_of(rows, clusters), 0.3, 1, draws=300)
    assert split_groups(groups_of(rows, clusters), 0.3, 1, draws=300) == splits
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert split_groups(groups_of(shuffled, clusters), 0.3, 1, draws=300) == splits
    renamed = {id: f"another name of {name}" for id, name in clusters.items()}
    assert split_groups(groups_of(shuffled, renamed), 0.3, 1, draws=300) == splits
    assert any(split_groups(groups_of(rows, clusters), 0.3, seed, draws=300) != splits for seed in (2, 3, 4))


def clip(id, fake, speaker=None, attack=None, parent=None):
    label = (1, 0) if fake else (0, 1)
    return recording(id=id, path="", label=label, split="train", speaker=speaker, attack=attack, parent=parent)


def group_ids(rows, clusters=None):
    return sorted(group.ids for group in groups_of(rows, clusters or {}))


def test_a_copy_stays_with_its_parents_speaker_though_it_names_none():
    rows = [clip("a", 0, "kim"), clip("b", 0, "kim"), clip("copy", 1, attack="vc/x", parent="a"), clip("c", 0, "lee")]
    assert group_ids(rows) == [("a", "b", "copy"), ("c",)]
    assert group_ids(rows[::-1]) == [("a", "b", "copy"), ("c",)]


def test_two_copies_of_one_parent_stay_together_though_it_is_not_in_the_corpus():
    rows = [clip("x", 1, parent="elsewhere"), clip("y", 1, parent="elsewhere"), clip("z", 1)]
    assert group_ids(rows) == [("x", "y"), ("z",)]


def test_bonafide_is_no_attack_that_ties_real_voices():
    assert group_ids([clip("a", 0, "kim", BONAFIDE), clip("b", 0, "lee", BONAFIDE)]) == [("a",), ("b",)]


def test_voices_of_one_engine_stay_together_unless_they_clone_real_speakers():
    rows = [clip("a", 1, "tts/1", "tts/1"), clip("b", 1, "tts/2", "tts/2"), clip("c", 1, "other/1", "other/1")]
    assert group_ids(rows) == [("a", "b"), ("c",)]
    rows = [clip("a", 0, "kim"), clip("b", 1, "kim", "vc/kim"), clip("c", 0, "lee"), clip("d", 1, "lee", "vc/lee")]
    assert group_ids(rows) == [("a", "b"), ("c", "d")]


def test_an_engine_is_whole_though_it_shares_a_voice_with_another():
    rows = [
        clip("a", 1, "one voice", "tts1/x"),
        clip("b", 1, "one voice", "tts2/x"),
        clip("c", 1, "tts2/y", "tts2/y"),
        clip("d", 1, "tts1/z", "tts1/z"),
        clip("e", 1, "tts3/z", "tts3/z"),
    ]
    assert group_ids(rows) == [("a", "b", "c", "d"), ("e",)]


def test_groups_count_their_clips_and_engines():
    (group,) = groups_of([clip("a", 0, "kim"), clip("b", 1, "kim", "vc/kim"), clip("c", 1, "kim", "vc2/kim")], {})
    assert (group.fake, group.real, group.engines) == (2, 1, {"vc", "vc2"})


@pytest.mark.parametrize("label", ["fake", "real"])
def test_too_few_groups_are_told(label):
    rows = [clip(f"{speaker}{n}", speaker < 2, f"s{speaker}") for speaker in range(6) for n in range(9)]
    if label == "real":
        rows = [clip(row["id"], row["real"], row["speaker"]) for row in rows]
    with pytest.raises(UserError, match=f"only 2 independent groups hold {label} clips") as caught:
        split_groups(groups_of(rows, {}), 0.3, 0)
    assert "speakers or engines" in caught.value.fix and "meta.csv" in caught.value.fix


def test_three_groups_of_each_label_are_enough():
    rows = [clip(f"{label}{speaker}", label, f"{label}{speaker}") for label in (0, 1) for speaker in range(3)]
    assert_nothing_leaks(rows, {}, split_groups(groups_of(rows, {}), 0.3, 0, draws=300))
    rows = [clip(f"{label}{speaker}", label, f"{speaker}") for label in (0, 1) for speaker in range(3)]
    assert_nothing_leaks(rows, {}, split_groups(groups_of(rows, {}), 0.3, 0, draws=300))


def test_equal_audio_under_two_names_is_one_group():
    rows = [
        {"id": id, "fake": 0, "real": 1, "speaker": id, "attack": "bonafide", "parent": None} for id in ("a", "b", "c")
    ]
    groups = groups_of(rows, {}, {"a": "same", "b": "same", "c": "other"})
    assert sorted(group.ids for group in groups) == [("a", "b"), ("c",)]


def test_all_real_voices_of_a_source_lie_in_one_split_with_their_copies():
    rows = []
    for studio in "abcdefgh":
        for speaker in range(3):
            for take in range(4):
                known = {"speaker": f"{studio}{speaker}", "attack": BONAFIDE, "source": f"studio {studio}"}
                real = recording(id=f"{studio}{speaker}{take}", path="r.ogg", label=(0, 1), split="train", **known)
                copy = {"attack": f"vocoder/{studio}{speaker}{take}", "parent": real["id"], "source": "the vocoder"}
                rows += [real, recording(id=f"{real['id']}c", path="f.ogg", label=(1, 0), split="train", **copy)]
    apart = split_groups(groups_of(rows, {}), 0.3, 0, draws=500)
    assert any(len({apart[f"{studio}{speaker}0"] for speaker in range(3)}) > 1 for studio in "abcdefgh")
    splits = split_groups(groups_of(rows, sources_of(rows)), 0.3, 0, draws=500)
    for studio in "abcdefgh":
        assert len({split for id, split in splits.items() if id.startswith(studio)}) == 1
    assert set(splits.values()) == SPLITS


def test_to_hold_out_sources_some_must_be_known():
    row = recording(id="a", path="a.ogg", label=(0, 1), split="train", speaker="kim")
    with pytest.raises(UserError, match="no real voice tells its source"):
        sources_of([row])
