"""Recorded noise and rooms as they are published: no voices among the noise, no room in two splits."""

import shutil
from collections import Counter, defaultdict

import miniatures
import numpy as np
import pytest
from corpora_rows import RATE, voices_and_bank

from app.config import Augmentations, MixConfig
from app.corpora.backgrounds import MOST, backgrounds_of
from app.corpora.plan import Planner
from app.errors import UserError


def found(data, noise=(), rooms=(), seed=1):
    return backgrounds_of(data, tuple(noise), tuple(rooms), 0.3, seed)


def homes(rows, key="group"):
    places = defaultdict(set)
    for row in rows:
        places[row["kind"], row[key]].add(row["split"])
    return places


def test_musan_gives_its_noise_and_music_without_vocals_and_no_speech(tmp_path):
    rows, notes = found(miniatures.musan(tmp_path), noise=["musan"])
    names = {row["path"].rsplit("/", 1)[1] for row in rows}
    assert {name for name in names if name.startswith("noise-")} == {f"noise-free-sound-{n:04d}.wav" for n in range(8)}
    assert {name for name in names if name.startswith("music-")} == {f"music-fma-{n:04d}.wav" for n in (0, 2, 4, 6)}
    assert not any("speech" in row["path"] for row in rows)
    assert "3 of music with vocals" in notes[0] and "1 of music without an annotation" in notes[0]
    assert "8 recordings of speech are left out" in notes[1]
    assert {row["group"] for row in rows if "music" in row["path"]} == {"Musician_0", "Musician_1"}


def test_rirs_noises_gives_rooms_and_noise_by_its_lists(tmp_path):
    miniatures.rirs_noises(tmp_path)
    rows, _ = found(tmp_path, noise=["RIRS_NOISES"], rooms=["RIRS_NOISES"])
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"noise": 4, "room": 19}
    assert {row["group"] for row in rows if row["kind"] == "room"} == {
        *(f"{size}-Room{n:03d}" for size in ("smallroom", "mediumroom") for n in (1, 2, 3)), "RVB_large1",
    }  # fmt: skip
    assert all((tmp_path / row["path"]).is_file() for row in rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_room_a_musician_and_a_recording_in_two_corpora_lie_in_one_split(tmp_path, seed):
    miniatures.rirs_noises(miniatures.musan(tmp_path))
    rows, _ = found(tmp_path, noise=["musan", "RIRS_NOISES"], rooms=["RIRS_NOISES"], seed=seed)
    assert all(len(places) == 1 for places in homes(rows).values())
    twice = Counter(row["group"] for row in rows if row["kind"] == "noise")
    assert twice["noise-free-sound-0000"] == 2  # MUSAN's, and its copy
    for kind in ("noise", "room"):
        assert {row["split"] for row in rows if row["kind"] == kind} == {"train", "select", "calibrate"}
    assert rows == found(tmp_path, noise=["musan", "RIRS_NOISES"], rooms=["RIRS_NOISES"], seed=seed)[0]


def test_any_folder_of_recordings_will_do_and_of_many_some_are_taken_by_lot(tmp_path, monkeypatch):
    for number in range(30):
        miniatures.noise(tmp_path / "street" / f"{number}.wav", 0.6)
    rows, notes = found(tmp_path, noise=["street"])
    assert len(rows) == 30 and notes == ["30 recordings of noise in street"]
    assert Counter(row["split"] for row in rows)["train"] == pytest.approx(21, abs=2)
    assert MOST == 5000
    monkeypatch.setattr("app.corpora.backgrounds.MOST", 10)
    rows, notes = found(tmp_path, noise=["street"])
    assert len(rows) == 10 and notes[-1] == "of 30 recordings 10 are taken, by lot"


@pytest.mark.parametrize("gone", ["speech", "speech and noise"])
def test_songs_are_left_out_however_much_of_musan_is_there(tmp_path, gone):
    miniatures.musan(tmp_path)
    for part in gone.split(" and "):
        shutil.rmtree(tmp_path / "musan" / part)
    for named in (["musan"], ["musan/music"]):
        rows, notes = found(tmp_path, noise=named)
        music = {row["path"].rsplit("/", 1)[1] for row in rows if "music" in row["path"]}
        assert music == {f"music-fma-{n:04d}.wav" for n in (0, 2, 4, 6)}
        assert "3 of music with vocals" in notes[0]


def test_a_folder_for_each_place_is_kept_whole(tmp_path):
    """As DEMAND has them, a file a microphone, all places with the same names."""
    for place in range(12):
        for microphone in (1, 2, 3):
            miniatures.noise(tmp_path / "demand" / f"PLACE{place}" / f"ch{microphone:02d}.wav", 0.6)
            miniatures.response(tmp_path / "but" / f"ROOM{place}" / f"{microphone}" / "RIR" / "IR_sweep.wav")
    rows, notes = found(tmp_path, noise=["demand"], rooms=["but"])
    assert len(rows) == 72 and sum("is kept in one split" in note for note in notes) == 2
    assert all(len(splits) == 1 for splits in homes(rows).values()) and len(homes(rows)) == 24
    assert {row["group"] for row in rows} >= {"demand/PLACE3", "but/ROOM11"}
    for kind in ("noise", "room"):
        assert Counter(row["split"] for row in rows if row["kind"] == kind)["train"] == pytest.approx(25, abs=3)


def test_recordings_in_a_few_folders_are_their_own_whatever_they_are_called(tmp_path):
    for kind in ("street", "home"):
        for number in range(12):
            miniatures.noise(tmp_path / "n" / kind / f"{number}.wav", 0.6)
            miniatures.noise(tmp_path / "n" / kind / f"{number}.flac", 0.6)
    rows, _ = found(tmp_path, noise=["n"])
    assert len({row["group"] for row in rows}) == len({row["id"] for row in rows}) == len(rows) == 48


@pytest.mark.parametrize("corpus", [miniatures.plain, miniatures.in_the_wild, miniatures.asvspoof2019_la])
def test_a_corpus_of_voices_is_no_noise(tmp_path, corpus):
    corpus(tmp_path / "voices")
    for how in ({"noise": ["voices"]}, {"rooms": ["voices"]}):
        with pytest.raises(UserError, match="voices is a corpus of voices .layout"):
            found(tmp_path, **how)


def test_a_folder_with_nothing_or_too_little_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="mix.noise_dirs: .*empty holds no noise"):
        found(tmp_path, noise=["empty"])
    miniatures.noise(tmp_path / "few" / "a.wav")
    with pytest.raises(UserError, match="only 1 independent recordings"):
        found(tmp_path, noise=["few"])
    with pytest.raises(UserError, match="mix.rir_dirs: no such folder"):
        found(tmp_path, rooms=["nowhere"])
    with pytest.raises(UserError, match="does not lie below DATA"):
        found(tmp_path, rooms=["../elsewhere"])


def test_a_list_that_leads_out_of_its_folder_is_refused_with_its_line(tmp_path):
    root = miniatures.rirs_noises(tmp_path / "data") / "RIRS_NOISES" / "pointsource_noises"
    with (root / "noise_list").open("a") as file:
        file.write("--noise-id 9 RIRS_NOISES/../../secret.wav\n")
    with pytest.raises(UserError, match=r"noise_list:5: path .* leaves the corpus folder"):
        found(tmp_path / "data", noise=["RIRS_NOISES"])
    text = (root / "noise_list").read_text().splitlines()[:4]
    (root / "noise_list").write_text("\n".join([*text, "--noise-id 9 /mnt/x/RIRS_NOISES/a.wav"]))
    with pytest.raises(UserError, match=r"noise_list:5: path .* is absolute"):
        found(tmp_path / "data", noise=["RIRS_NOISES"])


# in the plan


def planner(split="train", known=(), **cfg):
    voices, bank = voices_and_bank(split)
    return Planner(split, voices, bank, MixConfig(**cfg), RATE, 1, known)


def known_backgrounds(split="train"):
    noises = [{"id": f"n{n}", "kind": "noise", "split": split, "num_samples": (2 + 4 * n) * RATE} for n in range(4)]
    return [*noises, *({"id": f"r{n}", "kind": "room", "split": split, "num_samples": 4000} for n in range(3))]


RATES = Augmentations(room=0.5, codec=0.3, band_stop=0.2)


def test_recorded_noise_and_rooms_are_drawn_and_the_rest_of_a_plan_stays():
    without = [recipe for _, recipe in planner().draw(400, RATES)]
    rooms = [row for row in known_backgrounds() if row["kind"] == "room"]
    with_rooms = [recipe for _, recipe in planner(known=rooms).draw(400, RATES)]
    recorded = [(a, b) for a, b in zip(without, with_rooms, strict=True) if b.response]
    heard = [recipe for recipe in without if recipe.room]
    assert len(recorded) == pytest.approx(len(heard) / 2, rel=0.25)
    for a, b in zip(without, with_rooms, strict=True):
        assert (a.voices, a.noise, a.snr_db, a.codec, a.seed) == (b.voices, b.noise, b.snr_db, b.codec, b.seed)
        assert bool(a.room) == bool(b.room or b.response) and not (b.room and b.response)


def test_a_recording_longer_than_a_clip_is_heard_from_some_place_and_a_short_one_becomes_a_texture():
    plan = [recipe for _, recipe in planner(known=known_backgrounds(), noise_bank=1.0).draw(600, RATES)]
    lengths = {row["id"]: row["num_samples"] for row in known_backgrounds()}
    drawn = [recipe for recipe in plan if recipe.noise in lengths]
    assert len(drawn) == pytest.approx(200, rel=0.25)  # real recordings, fakes, and these: a third each
    for recipe in drawn:
        spare = lengths[recipe.noise] - recipe.num_samples
        assert (recipe.noise_start is None) == (spare <= 0)
        assert recipe.noise_start is None or 0 <= recipe.noise_start < spare
    assert len({recipe.noise_start for recipe in drawn}) > 50


def test_noise_and_room_know_nothing_of_the_labels():
    plan = [(state, recipe) for state, recipe in planner(known=known_backgrounds()).draw(3000, RATES)]
    for of in (lambda r: r.response, lambda r: r.noise and r.noise.startswith("n")):
        share = {fake: np.mean([bool(of(r)) for _, r in plan if r.labels[0] == fake]) for fake in (0, 1)}
        assert abs(share[0] - share[1]) < 0.05


def test_a_row_names_the_recording_of_its_noise_as_a_source():
    plan = planner(known=known_backgrounds(), noise_bank=1.0)
    rows = [plan.row(state, recipe) for state, recipe in plan.draw(100, RATES)]
    assert any("n2" in row["sources"] for row in rows)
