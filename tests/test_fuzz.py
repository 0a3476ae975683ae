"""A short `make fuzz`; its mutations as hypothesis strategies, so that a failure shrinks; and the fuzzer itself."""

import json
import os
import random
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.audio.io import load_clip
from app.audio.open import BadClip
from app.audio.survey import clip_facts
from app.corpora.labels import read_labels
from app.corpora.layouts.contest import read_contest
from app.corpora.tables import MOST_COLUMNS, brief, read_table
from app.errors import UserError
from tests.fuzz import fuzz
from tests.fuzz_jobs import RUN, Ran, unaccounted, watched
from tests.fuzz_recordings import CONTAINERS, ODDITIES, encode, odd, piece, recording
from tests.fuzz_tables import ROWS, TABLES, TEXT, WORDS, spoiled_tables, verdict, write_tables
from tests.fuzz_tally import Tally, report
from tests.mutations import FIELDS, KINDS, Step, draw, spoil
from tests.ogg_pages import seal

LIMITS = {"min_seconds": 0.3, "max_seconds": 60.0, "silent_dbfs": -70.0}
WHOLE = {
    name: encode(*piece(3), *name.split(" ")) for name in ("WAV PCM_16", "OGG VORBIS", "FLAC PCM_16", "AIFF FLOAT")
}
steps = st.lists(
    st.builds(
        Step, st.sampled_from(sorted(KINDS)), st.integers(0, 1 << 20), st.integers(0, 4096), st.integers(0, 1 << 16)
    ),
    min_size=1,
    max_size=4,
)
repeatable = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=200
)


@repeatable
@given(begun_as=st.sampled_from([*WHOLE, *sorted(ODDITIES)]), steps=steps)
def test_a_spoiled_recording_is_sound_or_has_a_cause(tmp_path_factory, begun_as, steps):
    path = tmp_path_factory.getbasetemp() / "spoiled"
    path.write_bytes(spoil(WHOLE.get(begun_as) or odd(begun_as), steps))
    try:
        clip = load_clip(path, 16000, **LIMITS)
    except BadClip as bad:
        assert bad.cause and bad.detail
        return
    assert np.isfinite(clip.samples).all() and 0 < np.abs(clip.samples).max() <= 1
    assert len(clip.samples) <= 60 * 16000
    facts = clip_facts(clip.samples, 16000)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


@repeatable
@given(table=st.sampled_from(TABLES), steps=steps, word=st.sampled_from(WORDS) | st.text(), at=st.integers(0, 1 << 16))
def test_spoiled_tables_give_rows_or_a_complaint_that_names_one(tmp_path_factory, demo, table, steps, word, at):
    folder = tmp_path_factory.getbasetemp() / "tables"
    folder.mkdir(exist_ok=True)
    tables = {name: (demo / name).read_bytes() for name in TABLES}
    at %= len(tables[table])
    tables[table] = spoil(tables[table][:at] + word.encode() + tables[table][at:], steps[:-1])
    write_tables(tables, folder)
    how, said = verdict(folder)
    assert how in ("rows", "refused"), said


def test_a_short_fuzz_finds_nothing(tmp_path):
    """The real jobs, as `make fuzz` runs them, on fewer numbers."""
    tally = fuzz(20261122, 0, 220, None, tmp_path)
    assert tally.findings == []
    assert (tally.recordings, tally.tables) == (198, 22)
    known = sum(tally.decoded.values())
    assert known + sum(tally.causes.values()) == 198  # all counted
    assert known > 40 and len(tally.causes) > 3  # neither all broken nor all sound
    assert tally.verdicts["rows"] and tally.verdicts["refused"]
    assert tally.peak_mb > 50 and report(tally, 1.0)["recordings"] == 198


def test_a_number_is_the_same_recording_every_time():
    for n in range(40):
        assert recording(5, n) == recording(5, n)
        assert spoiled_tables(5, n) == spoiled_tables(5, n)
    assert recording(5, 1) != recording(6, 1)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_mutation_changes_bytes_and_fits_any_content(kind):
    changed = 0
    for at in range(20):
        step = Step(kind, at * 997, 50 + at, at + 2)
        changed += spoil(WHOLE["WAV PCM_16"], [step]) != WHOLE["WAV PCM_16"]
        for content in (b"", b"R", b"OggS", b"OggS" + b"\xff" * 30, b"RIFFfmt "):
            assert isinstance(spoil(content, [step]), bytes)
    assert changed >= 15


def test_sealed_pages_of_an_ogg_file_are_believed(tmp_path):
    whole = WHOLE["OGG VORBIS"]
    assert seal(whole) == whole  # our checksum is theirs
    cheated = bytearray(whole)
    at = whole.find(b"\x01vorbis") + 12
    cheated[at : at + 4] = (12345).to_bytes(4, "little")  # Hz
    (tmp_path / "sealed.ogg").write_bytes(seal(bytes(cheated)))
    assert soundfile.info(tmp_path / "sealed.ogg").samplerate == 12345


def test_what_headers_promise_is_overwritten_in_most_containers():
    """A field of the head is found in each of the containers that corpora come in."""
    for container in ("WAV PCM_16", "OGG VORBIS", "OGG OPUS", "FLAC PCM_16", "AIFF PCM_16", "AU PCM_16", "CAF PCM_16"):
        content = encode(np.zeros(8000), 8000, *container.split(" "))
        assert any(marker in content[:4096] for marker, _, _ in FIELDS), container
    assert len(set(CONTAINERS)) > 45 and len(ROWS) + len(TEXT) > 25


def test_a_thousand_channels_cost_no_more_memory_than_one(tmp_path):
    """Found by fuzzing: 131,072 frames of 1024 channels are half a gigabyte."""
    (tmp_path / "many.wav").write_bytes(odd("1024 channels"))
    tracemalloc.start()
    load_clip(tmp_path / "many.wav", None, **{**LIMITS, "min_seconds": 0.1})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_messages_stay_short_and_spell_out_what_a_terminal_would_act_on(tmp_path):
    """Found by fuzzing: a cell of 200,000 characters came back whole."""
    assert brief("목소리") == "목소리"
    assert brief("\x1b[31m\n") == "\\x1b[31m\\n"
    assert brief("x" * 100) == "x" * 80 + "..."
    (tmp_path / "train.csv").write_text("id,path,label\na,train/a," + "x" * 100_000 + "\n")
    with pytest.raises(UserError, match="unknown value") as caught:
        read_contest(tmp_path)
    assert len(str(caught.value)) < 1000


def test_a_table_that_is_none_is_refused(tmp_path):
    """Found by fuzzing: a pipe was waited for, 100,000 columns filled the memory, deep JSON was a traceback."""
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="not a file"):
        list(read_table(tmp_path / "pipe.csv", ["id"]))
    (tmp_path / "wide.csv").write_text("id," + "x," * MOST_COLUMNS + "\n")
    with pytest.raises(UserError, match="1002 columns"):
        list(read_table(tmp_path / "wide.csv", ["id"]))
    (tmp_path / "twice.csv").write_text("id,parent,parent\na,b,c\n")
    with pytest.raises(UserError, match="'parent' stands twice"):
        list(read_table(tmp_path / "twice.csv", ["id"], ["parent"]))
    for cell in ("[" * 100_000, "[" + "9" * 5000 + "]"):
        (tmp_path / "labels.csv").write_text(f'id,fake,real,voices\na,0,1,"{cell}"\n')
        assert read_labels(tmp_path / "labels.csv")[0]["attack"] is None


def test_the_watch_sees_a_hang_a_crash_and_a_traceback():
    hung = watched([sys.executable, "-c", "import time; time.sleep(600)"], 1.0)
    assert "hung" in hung.problem((0,))
    assert "exit code -11" in watched([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], 60).problem((0,))
    assert "exit code 1" in watched([sys.executable, "-c", "1 / 0"], 60).problem((0, 2))
    assert Ran(0, "Traceback (most recent call last):", 1.0, 1.0, 1.0).problem((0,)) == "a traceback"
    assert "what to do" in Ran(2, "no", 1.0, 1.0, 1.0).problem((0, 2))
    big = watched([sys.executable, "-c", "import time; x = bytearray(300_000_000); time.sleep(2)"], 60)
    assert big.problem((0,)) is None and 300 < big.peak_mb < 400 and big.largest_mb > 300


def test_a_lost_a_doubled_and_a_nameless_clip_are_found(tmp_path):
    shard = tmp_path / "stages" / "prepare-0" / "shards" / "00000"
    shard.mkdir(parents=True)
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "stages.json").write_text('{"prepare": "prepare-0"}')
    (shard / "receipt.json").write_text("{}")

    def problems(manifest: list[dict], failed: list[dict], ids: set[str]) -> list[str]:
        for name, rows in (("manifest", manifest), ("failed", failed)):
            (shard / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return unaccounted(tmp_path, "prepare", ids)[2]

    a, b = {"id": "a", "num_samples": 3}, {"id": "b", "cause": "empty", "detail": ""}
    assert problems([a], [b], {"a", "b"}) == []
    assert "lost or made up: c" in problems([a], [b], {"a", "b", "c"})[0]
    assert "counted twice" in problems([a, a], [b], {"a", "b"})[0]
    assert "without a cause" in problems([a], [{"id": "b"}], {"a", "b"})[0]
    assert "no samples" in problems([{"id": "a", "num_samples": 0}], [b], {"a", "b"})[0]


def test_a_finding_is_kept_with_its_bytes(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "x.ogg").write_bytes(b"bytes")
    (tmp_path / "keep").mkdir()
    tally = Tally(tmp_path / "keep")
    tally.ran("prepare", Ran(1, "said", 1.0, 1.0, 1.0), (0,), tmp_path / "corpus")
    assert tally.findings == ["prepare: exit code 1"]
    assert (tmp_path / "keep" / "corpus" / "x.ogg").read_bytes() == b"bytes"
    assert json.loads((tmp_path / "keep" / "findings.jsonl").read_text())["said"] == "said"


def test_steps_are_drawn_from_all_kinds():
    rng = random.Random(0)
    assert {step.kind for _ in range(500) for step in draw(rng)} == set(KINDS)
