"""The plan: states in exact shares, labels by OR, and nothing but the voices knows of either."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corpora_rows import RATE, voices_and_bank
from pytest import approx
from scipy.stats import chi2_contingency, ks_2samp

from app.config import Augmentations, MixConfig, StateShares
from app.corpora.manifest import by_split
from app.corpora.plan import STATES, Planner
from app.runtime.files import fingerprint

RATES = Augmentations(chain=0.6, room=0.4, codec=0.3, band_stop=0.2)
LABELS = {  # (fake, real)
    "none": (0, 0),
    "real": (0, 1),
    "fake": (1, 0),
    "real_real": (0, 1),
    "fake_fake": (1, 0),
    "real_fake": (1, 1),
}


def planner(split="train", cfg=MixConfig(), rows=None, seed=1):
    voices, bank = rows or voices_and_bank(split)
    return Planner(split, voices, bank, cfg, RATE, seed)


def only(state):
    return MixConfig(states=StateShares(**{name: float(name == state) for name in STATES}))


@pytest.fixture(scope="module")
def plan():
    return list(planner().draw(4000, RATES))


@pytest.fixture(scope="module")
def clips():
    return {row["id"]: row for row in voices_and_bank()[0]}


# states and labels


@pytest.mark.parametrize("count", [1, 2, 7, 100, 601])
@pytest.mark.parametrize("shares", [StateShares(), StateShares(none=0, real_fake=3), StateShares(none=1, real=1e-3)])
def test_states_come_in_the_exact_shares(count, shares):
    states = [state for state, _ in planner(cfg=MixConfig(states=shares)).draw(count, RATES)]
    wanted = {state: share * count / sum(dict(shares).values()) for state, share in dict(shares).items()}
    counts = Counter(states)
    assert counts.total() == count
    assert all(np.floor(wanted[state]) <= counts[state] <= np.ceil(wanted[state]) for state in STATES)
    # largest remainders: whoever was rounded up had no smaller a remainder than who was rounded down
    up = [wanted[state] % 1 for state in STATES if counts[state] > wanted[state]]
    down = [wanted[state] % 1 for state in STATES if counts[state] < wanted[state]]
    assert not (up and down) or min(up) >= max(down) - 1e-9


def test_states_are_shuffled():
    states = [state for state, _ in planner().draw(600, RATES)]
    assert all(Counter(states[:300])[state] == approx(Counter(states)[state] / 2, rel=0.5) for state in STATES)


def test_labels_by_or_match_the_state(plan, clips):
    assert {state for state, _ in plan} == set(STATES)
    for state, recipe in plan:
        assert recipe.labels == LABELS[state]
        assert sorted(voice.fake for voice in recipe.voices) == sorted(STATES[state])
        for voice in recipe.voices:
            assert {clips[piece.clip]["fake"] for piece in voice.pieces} == {int(voice.fake)}


def test_either_voice_may_come_first(plan):
    first = Counter(recipe.voices[0].fake for state, recipe in plan if state == "real_fake")
    assert first[True] / first.total() == approx(0.5, abs=0.05)


def test_a_row_of_the_plan_tells_what_the_clip_is_made_of(plan, clips):
    mine = planner()
    for state, recipe in plan[:300]:
        row = mine.row(state, recipe)
        pieces = [clips[piece.clip] for voice in recipe.voices for piece in voice.pieces]
        assert (row["fake"], row["real"]) == LABELS[state] and row["split"] == "train"
        noise = [recipe.noise.split("@")[0]] if recipe.noise else []
        assert row["sources"] == [piece["id"] for piece in pieces] + noise
        assert set((row["speaker"] or "").split("+")) - {""} == {piece["speaker"] for piece in pieces}
        assert row["state"] == state.replace("_", "+") and row["language"] == ("ko" if pieces else None)


# pieces


def test_every_piece_lies_within_its_clip_and_every_voice_within_the_window(plan, clips):
    for _, recipe in plan:
        assert recipe.num_samples == 5 * RATE
        for voice in recipe.voices:
            assert 1 <= len(voice.pieces) <= 3
            for piece in voice.pieces:
                assert 0 <= piece.start < piece.start + piece.length <= clips[piece.clip]["num_samples"]
            assert 0 <= voice.offset <= recipe.num_samples - sum(piece.length for piece in voice.pieces)


@pytest.mark.parametrize("length", [RATE // 3, 5 * RATE - 1, 5 * RATE, 5 * RATE + 1])
def test_clips_about_as_long_as_the_window_or_hardly_a_word_fit(length):
    voices, bank = voices_and_bank(clips=1)
    voices = [{**row, "num_samples": length, "active": "9" * (length // 1600)} for row in voices]
    for window_s, voice_s in ((5.0, (1.0, 4.5)), (1.0, (1.0, 1.0)), (5.0, (5.0, 5.0))):
        cfg = MixConfig(window_s=window_s, voice_s=voice_s)
        for _, recipe in planner(cfg=cfg, rows=(voices, bank)).draw(40, RATES):
            for voice in recipe.voices:
                assert 1 <= len(voice.pieces) <= 3  # one clip a speaker: joined with itself
                for piece in voice.pieces:
                    assert 0 <= piece.start < piece.start + piece.length <= length
                assert 0 <= voice.offset <= recipe.num_samples - sum(piece.length for piece in voice.pieces)


def test_length_and_joins_of_a_voice_do_not_tell_a_source_of_one_clip_from_one_of_many():
    many, bank = voices_and_bank(clips=9)
    one, _ = voices_and_bank(clips=1)
    rows = [{**row, "num_samples": RATE, "active": "9" * 10} for row in many if row["fake"]]
    rows += [{**row, "num_samples": RATE, "active": "9" * 10} for row in one if row["real"]]
    lengths, joins = {True: [], False: []}, {True: [], False: []}
    for _, recipe in planner(rows=(rows, bank)).draw(1500, RATES):
        for voice in recipe.voices:
            lengths[voice.fake].append(sum(piece.length for piece in voice.pieces))
            joins[voice.fake].append(len(voice.pieces))
    for values in (lengths, joins):
        assert ks_2samp(values[True], values[False]).pvalue > 0.001


def test_the_pieces_of_a_voice_are_of_one_speaker(plan, clips):
    joined = 0
    for _, recipe in plan:
        for voice in recipe.voices:
            speakers = {(clips[piece.clip]["speaker"], clips[piece.clip]["attack"]) for piece in voice.pieces}
            assert len(speakers) == 1
            joined += len(voice.pieces) > 1
    assert joined > 1000


@pytest.mark.parametrize("state", ["real_real", "fake_fake", "real_fake"])
@pytest.mark.parametrize("few", [1, 40])
def test_two_voices_are_of_two_speakers_where_there_are_two(state, few):
    """Even where one speaker has nearly all the clips."""
    voices, bank = voices_and_bank(speakers=2, clips=40)
    voices = [row for row in voices if "0-" in row["id"] or int(row["id"].rsplit("-", 1)[1]) < few]
    speaker = {row["id"]: row["speaker"] for row in voices}
    for _, recipe in planner(cfg=only(state), rows=(voices, bank)).draw(200, RATES):
        first, second = ({speaker[piece.clip] for piece in voice.pieces} for voice in recipe.voices)
        assert first.isdisjoint(second)


def test_one_speaker_alone_speaks_twice():
    rows = voices_and_bank(speakers=1)
    for _, recipe in planner(cfg=only("real_real"), rows=rows).draw(20, RATES):
        assert len(recipe.voices) == 2


def test_without_metadata_the_cluster_is_the_speaker():
    voices, bank = voices_and_bank(speakers=3)
    clusters = {row["id"]: row["speaker"] for row in voices}
    nameless = [{**row, "speaker": None, "attack": None, "cluster": clusters[row["id"]]} for row in voices]
    for _, recipe in planner(cfg=only("fake_fake"), rows=(nameless, bank)).draw(100, RATES):
        first, second = ({clusters[piece.clip] for piece in voice.pieces} for voice in recipe.voices)
        assert len(first) == len(second) == 1 and first != second


def test_small_engines_are_heard_more_than_their_share():
    voices, bank = voices_and_bank(speakers=2, clips=64)
    voices = [row for row in voices if "0-" in row["id"] or int(row["id"].rsplit("-", 1)[1]) < 4]
    drawn = Counter()
    for _, recipe in planner(cfg=only("fake"), rows=(voices, bank)).draw(2000, RATES):
        drawn["engine1" in recipe.voices[0].pieces[0].clip] += 1
    assert drawn[True] / drawn.total() == approx(2 / (2 + 8), abs=0.03)  # by the square root of 4 and 64 clips


def test_a_piece_of_a_clip_with_a_long_pause_avoids_it():
    """A second of speech, three of pause, a second of speech; pieces of a second."""
    voices, bank = voices_and_bank(clips=1)
    active = "9" * 10 + "0" * 30 + "9" * 10
    voices = [{**row, "num_samples": 5 * RATE, "active": active} for row in voices]
    cfg = only("real").model_copy(update={"voice_s": (1.0, 1.0)})

    def share_in_the_pause(rows):
        starts = [r.voices[0].pieces[0].start / RATE for _, r in planner(cfg=cfg, rows=(rows, bank)).draw(800, RATES)]
        return np.mean([1.0 <= start <= 3.0 for start in starts])

    assert share_in_the_pause([{**row, "active": "9" * 50} for row in voices]) == approx(0.5, abs=0.05)
    assert share_in_the_pause(voices) < 0.1  # 0.5 ** 4


# splits


def test_no_recording_of_voice_or_noise_is_in_two_splits():
    parts = [voices_and_bank(split, seed=n) for n, split in enumerate(("train", "select", "calibrate"))]
    voices, bank = ([row for part in parts for row in part[kind]] for kind in (0, 1))
    sounds = {row["id"]: row for row in voices}
    heard = {}
    for split in ("train", "select", "calibrate"):
        mine = planner(split, rows=(by_split(voices, split), by_split(bank, split)))
        rows = [mine.row(*drawn) for drawn in mine.draw(500, RATES)]
        assert {row["split"] for row in rows} == {split}
        heard[split] = {source for row in rows for source in row["sources"]}
        assert {sounds[source]["split"] for source in heard[split]} == {split}
        assert len(heard[split]) > 80  # of 96
    assert (
        not heard["train"] & heard["select"]
        | heard["train"] & heard["calibrate"]
        | heard["select"] & heard["calibrate"]
    )


# what is blind to the state


def blind(recipe):
    return replace(recipe, voices=())


@pytest.mark.parametrize("state", STATES)
def test_all_but_the_voices_is_the_same_whatever_the_state(state, plan):
    for (_, recipe), (found, other) in zip(plan, planner(cfg=only(state)).draw(300, RATES)):
        assert found == state
        assert blind(other) == blind(recipe)


def tables_of(plan):
    """What a clip sounds like beside its voices: names with few values, and numbers."""
    rows = voices_and_bank()[1]
    origin = {row["id"]: row["fake"] for row in rows}
    names, numbers = [], []
    for _, r in plan:
        names.append(
            {
                "recorded noise": r.noise is not None,
                "label of the noise's recording": origin.get(r.noise),
                "segment": r.noise,
                "hum": r.hum_db is not None,
                "room": r.room is not None,
                "codec": r.codec,
                "band-stop": r.band_stop is not None,
            }
        )
        (t60_s, drr_db), (low, high) = r.room or (None, None), r.band_stop or (None, None)
        numbers.append(
            {
                "snr": r.snr_db,
                "colour": r.noise_colour,
                "blend": r.noise_blend_db,
                "level": r.level_dbfs,
                "hum": r.hum_db,
                "t60": t60_s,
                "drr": drr_db,
                "low": low,
                "width": None if low is None else high / low,
            }
        )
    return names, numbers


@pytest.mark.parametrize("target", ["state", "fake", "real"])
def test_nothing_beside_the_voices_tells_the_label_by_more_than_chance(plan, target):
    """Of 4,000 clips: the smallest p of 7 chi-square tests and of 9 Kolmogorov-Smirnov tests a state is over 1e-4."""
    told = [state if target == "state" else LABELS[state][target == "real"] for state, _ in plan]
    names, numbers = tables_of(plan)
    for key in names[0]:
        counts = Counter(zip((row[key] for row in names), told, strict=True))
        values, targets = (sorted({pair[n] for pair in counts}, key=str) for n in (0, 1))
        table = np.array([[counts[value, of] for of in targets] for value in values])
        assert chi2_contingency(table).pvalue > 1e-4, key
    for key in numbers[0]:
        for of in set(told):
            mine, others = (
                [
                    row[key]
                    for row, its in zip(numbers, told, strict=True)
                    if row[key] is not None and (its == of) == same
                ]
                for same in (True, False)
            )
            assert ks_2samp(mine, others).pvalue > 1e-4, (key, of)


def test_noise_comes_as_often_from_real_recordings_as_from_fakes(plan):
    bank = voices_and_bank()[1]
    assert sum(row["real"] for row in bank) >= 2 * sum(row["fake"] for row in bank)  # though the bank is not balanced
    origin = {row["id"]: row["fake"] for row in bank}
    found = Counter(origin[recipe.noise] for _, recipe in plan if recipe.noise)
    assert found[1] / found.total() == approx(0.5, abs=4 * 0.5 / np.sqrt(found.total()))
    assert {recipe.noise for _, recipe in plan} - {None} == set(origin)


def test_a_bank_of_one_label_or_of_nothing_is_used_as_it_is():
    voices, bank = voices_and_bank()
    real = [row for row in bank if row["real"]]
    assert sum(r.noise is not None for _, r in planner(rows=(voices, real)).draw(400, RATES)) == approx(200, abs=40)
    assert all(r.noise is None for _, r in planner(rows=(voices, [])).draw(50, RATES))


@pytest.mark.parametrize(
    ("name", "wanted"), [("noise", 0.5), ("hum_db", 0.2), ("room", 0.4), ("codec", 0.3), ("band_stop", 0.2)]
)
def test_augmentations_come_as_often_as_asked(plan, name, wanted):
    share = np.mean([getattr(recipe, name) is not None for _, recipe in plan])
    assert share == approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / len(plan)))


def test_voices_go_through_a_chain_each_by_its_own_lot_whoever_speaks(plan):
    for fake in (False, True):
        chains = [voice.chain for _, recipe in plan for voice in recipe.voices if voice.fake == fake]
        assert np.mean(chains) == approx(0.6, abs=4 * np.sqrt(0.6 * 0.4 / len(chains)))
    both = Counter(tuple(voice.chain for voice in recipe.voices) for _, recipe in plan if len(recipe.voices) == 2)
    assert both[True, False] / both.total() == approx(0.24, abs=0.05)


def test_a_chain_changes_nothing_else_of_a_plan():
    without = [recipe for _, recipe in planner().draw(200, RATES.model_copy(update={"chain": 0.0}))]
    assert without == [
        replace(recipe, voices=tuple(replace(voice, chain=False) for voice in recipe.voices))
        for _, recipe in planner().draw(200, RATES)
    ]


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_never_and_always_are_meant(rate):
    cfg = MixConfig(noise_bank=rate, hum=rate)
    for _, r in planner(cfg=cfg).draw(100, Augmentations(chain=rate, room=rate, codec=rate, band_stop=rate)):
        assert {voice.chain for voice in r.voices} <= {rate == 1.0}
        assert {x is not None for x in (r.noise, r.hum_db, r.room, r.codec, r.band_stop)} == {rate == 1.0}


def test_numbers_fill_the_ranges_of_the_config(plan):
    cfg = MixConfig()
    for found, (low, high) in {
        "snr": ([r.snr_db for _, r in plan], cfg.snr_db),
        "level": ([r.level_dbfs for _, r in plan], cfg.level_dbfs),
        "colour": ([r.noise_colour for _, r in plan], cfg.noise_colour),
        "t60": ([r.room[0] for _, r in plan if r.room], cfg.room_t60_s),
        "drr": ([r.room[1] for _, r in plan if r.room], cfg.room_drr_db),
        "second voice": ([r.voices[1].gain_db for _, r in plan if len(r.voices) > 1], cfg.second_voice_db),
    }.values():
        assert low <= min(found) and max(found) <= high
        assert min(found) < low + 0.02 * (high - low) and max(found) > high - 0.02 * (high - low)
        assert np.mean(found) == approx((low + high) / 2, abs=0.03 * (high - low))
    assert {voice.gain_db for _, r in plan for voice in r.voices[:1]} == {0.0}
    assert {r.codec for _, r in plan} - {None} == set(cfg.codecs)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 32000])
def test_a_stopped_band_lies_below_half_the_rate(sample_rate):
    voices, bank = voices_and_bank()
    rates = Augmentations(band_stop=1.0)
    bands = [r.band_stop for _, r in Planner("train", voices, bank, MixConfig(), sample_rate, 1).draw(500, rates)]
    assert all(100 < low < high < sample_rate / 2 for low, high in bands)
    # where half the rate cuts a band off it is narrower
    assert all(high / low <= 2**0.8 + 1e-9 for low, high in bands)


# the same plan again


def as_bytes(plan):
    return json.dumps([(state, recipe.to_row()) for state, recipe in plan]).encode()


def test_a_plan_is_the_same_bytes_again_whatever_the_order_of_the_rows():
    voices, bank = voices_and_bank()
    assert as_bytes(planner(rows=(voices[::-1], bank[::-1])).draw(400, RATES)) == as_bytes(planner().draw(400, RATES))


def test_a_clip_does_not_change_with_the_number_of_clips_unless_its_state_does(plan):
    same = 0
    for (state, recipe), (other_state, other) in zip(plan, planner().draw(700, RATES)):
        assert blind(other) == blind(recipe)
        if state == other_state:
            assert other == recipe
            same += 1
    assert same > 100


def test_another_seed_or_split_is_another_plan(plan):
    other = planner(seed=2).draw(100, RATES)
    assert all(blind(a) != blind(b) for (_, a), (_, b) in zip(plan, other))
    voices, bank = voices_and_bank()
    select = Planner("select", voices, bank, MixConfig(), RATE, 1).draw(100, RATES)
    assert not {r.seed for _, r in plan} & {r.seed for _, r in select}


def test_ids_and_render_seeds_are_unique(plan):
    assert [recipe.id for _, recipe in plan] == [f"train-{n:06d}" for n in range(4000)]
    assert len({recipe.seed for _, recipe in plan}) == 4000


def test_the_plan_has_not_changed():
    """Golden: where this changes on purpose, raise the version of mix in jobs/chain.py."""
    cells = [
        {key: round(cell, 6) if isinstance(cell, float) else cell for key, cell in recipe.to_row().items()}
        for _, recipe in planner().draw(20, RATES)
    ]
    for row in cells:
        row["voices"] = [{**v, "gain_db": round(v["gain_db"], 6)} for v in json.loads(row["voices"])]
    assert fingerprint(cells) == "e6937cbb149e"


# several corpora


def of_corpora():
    """Voices of a large corpus and a small one, which has real voices alone."""
    voices, bank = voices_and_bank(speakers=8)
    known = []
    for row in voices:
        small = row["speaker"].endswith(("speaker0", "speaker1"))
        known.append({**row, "corpus": "small" if small else "large"})
    return known, bank


@pytest.mark.parametrize(("weights", "share"), [({}, 0.5), ({"small": 3.0}, 0.75), ({"large": 4.0}, 0.2)])
def test_each_corpus_is_heard_as_often_as_its_weight_says_however_big_it_is(weights, share):
    rows, bank = of_corpora()
    corpus = {row["id"]: row["corpus"] for row in rows}
    drawn = planner(cfg=MixConfig(corpus_weights=weights), rows=(rows, bank)).draw(3000, RATES)
    heard = Counter(corpus[v.pieces[0].clip] for _, recipe in drawn for v in recipe.voices[:1] if not v.fake)
    assert heard["small"] / heard.total() == approx(share, abs=0.04)


def test_a_corpus_without_a_label_leaves_its_share_of_it_to_the_others():
    rows, bank = of_corpora()
    corpus = {row["id"]: row["corpus"] for row in rows}
    drawn = planner(cfg=MixConfig(corpus_weights={"small": 3.0}), rows=(rows, bank)).draw(500, RATES)
    assert {corpus[v.pieces[0].clip] for _, recipe in drawn for v in recipe.voices if v.fake} == {"large"}


def test_no_voice_is_made_of_two_persons_that_two_corpora_call_alike():
    voices, bank = voices_and_bank("train")
    twice = [{**row, "id": f"{name}:{row['id']}", "corpus": name} for name in ("a", "b") for row in voices]
    plan = Planner("train", twice, bank, MixConfig(voice_s=(4.0, 4.5)), RATE, 1)
    several = 0
    for _, recipe in plan.draw(200, Augmentations()):
        for voice in recipe.voices:
            corpora = {piece.clip.split(":")[0] for piece in voice.pieces}
            several += len(voice.pieces) > 1
            assert len(corpora) == 1
    assert several > 20
