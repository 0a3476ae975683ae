"""From a corpus in one published layout to a score on another: real recordings, all jobs."""

import csv
import json
import shutil

import pytest
import soundfile

from tests.corpora import miniatures
from tests.jobs.road import CONFIG, DEMO, JOBS, call

TESTED_EACH = 10  # recordings of each label that stand apart as In-the-Wild


def known():
    with (DEMO / "train.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    with (DEMO / "meta.csv").open(newline="") as file:
        meta = {row["id"]: row for row in csv.DictReader(file)}
    return [{**meta[row["id"]], **row} for row in labels]


def lay_out(data):
    """The demo's training recordings: those of some speakers as In-the-Wild, the others as plain folders."""
    wild = data / "wild" / "release_in_the_wild"
    wild.mkdir(parents=True)
    lines, taken = ["file,speaker,label"], {"real": 0, "fake": 0}
    for row in known():
        source, label = DEMO / row["path"], row["label"]
        if taken[label] < TESTED_EACH and row["language"] == "en":
            samples, rate = soundfile.read(source)
            name = f"{sum(taken.values())}.wav"
            soundfile.write(wild / name, samples, rate)
            lines.append(f"{name},{row['speaker']},{'bona-fide' if label == 'real' else 'spoof'}")
            taken[label] += 1
        else:
            group = row["speaker"] if label == "real" else row["attack"].split("/")[0]
            place = data / "mine" / label / group / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    (wild / "meta.csv").write_text("\n".join(lines) + "\n")
    (wild / "20.wav").write_bytes(b"this is no recording")
    with (wild / "meta.csv").open("a") as file:
        file.write("20.wav,nobody,spoof\n")


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    lay_out(folder / "data")
    miniatures.rirs_noises(miniatures.musan(folder / "data"))
    config = folder / "cross.yaml"
    text = CONFIG.replace("prepare: {", "prepare: {corpora: {mine: {data: mine}}, ")
    more = "corpus_weights: {mine: 2}, noise_dirs: [musan], rir_dirs: [RIRS_NOISES], noise_bank: 0.8"
    text = text.replace("mix: {", f"mix: {{{more}, ").replace("train_clips", "train: {room: 0.6}, train_clips")
    config.write_text(text + "test: {data: wild}\n")
    said = {}
    for job in JOBS:
        done = call(job, config, folder / "data", folder / "runs", FINAL="1")
        assert done.returncode == 0, done.stdout + done.stderr
        said[job] = done.stdout + done.stderr
    return folder, said


def test_what_was_read_and_whom_to_cite_is_told(road):
    _, said = road
    assert "corpus mine: mine, in the layout folder" in said["prepare"]
    assert "the test is wild" in said["prepare"]


def test_every_recording_of_the_other_corpus_has_a_score_or_a_cause(road):
    folder, said = road
    with (folder / "runs/road/scores").glob("*.csv").__next__().open(newline="") as file:
        scores = {row["id"] for row in csv.DictReader(file)}
    assert scores == {str(n) for n in range(20)}
    assert "in 21 = out 20 + failed 1" in said["extract"]


def test_the_score_on_the_other_corpus_is_by_its_own_labels(road):
    folder, said = road
    metrics = json.loads((folder / "runs/road/metrics.json").read_text())
    test = metrics["data"][0]
    assert test["name"] == "test" and test["clips"] == 21 and 0 < test["score"] < 1
    looks = [json.loads(line) for line in (folder / "runs/test_looks.jsonl").read_text().splitlines()]
    assert len(looks) == 1 and looks[0]["run"] == "road"


def test_the_manifest_keeps_the_corpus_and_shows_no_label_of_the_test(road):
    folder, _ = road
    stages = folder / "runs/road/stages"
    rows = [json.loads(line) for line in (stages / "prepare/shards/manifest/manifest.jsonl").read_text().splitlines()]
    assert {row["corpus"] for row in rows} == {"mine"} and all(row["path"].startswith("mine/") for row in rows)
    tests = [
        json.loads(line) for path in (stages / "prepare-test/shards").glob("*/manifest.jsonl") for line in path.open()
    ]
    assert len(tests) == 21 and all(row["fake"] is None and row["speaker"] is None for row in tests)


def test_noise_and_rooms_of_other_folders_are_heard_whole_groups_in_one_split(road):
    folder, said = road
    stages = folder / "runs/road/stages"
    rows = [
        json.loads(line) for path in (stages / "backgrounds/shards").glob("*/manifest.jsonl") for line in path.open()
    ]
    known = {row["id"]: row for row in rows}
    assert {row["kind"] for row in rows} == {"noise", "room"}
    with (stages / "mix/shards/00000/plan.csv").open(newline="") as file:
        plan = list(csv.DictReader(file))
    heard = {key: [row for row in plan if row[key] in known] for key in ("noise", "response")}
    assert len(heard["noise"]) > 5 and len(heard["response"]) > 5
    assert all(known[row[key]]["split"] == row["split"] for key, found in heard.items() for row in found)
    assert any(row["noise_start"] for row in plan)
    assert "left out, for they hold voices" in said["mix"] and "8 recordings of speech" in said["mix"]


def test_what_was_read_of_noise_and_rooms_is_not_read_again(road):
    folder, _ = road
    done = call("mix", folder / "cross.yaml", folder / "data", folder / "runs")
    assert done.returncode == 0 and "backgrounds  done already" in done.stderr, done.stderr


def test_without_final_the_labels_of_a_protocol_stay_unread(road):
    folder, _ = road
    done = call("evaluate", folder / "cross.yaml", folder / "data", folder / "runs")
    assert done.returncode == 0 and "the test labels were not looked at" in done.stdout + done.stderr


def test_another_label_in_the_protocol_asks_for_prepare_again(road):
    folder, _ = road
    table = folder / "data/wild/release_in_the_wild/meta.csv"
    before = table.read_text()
    try:
        table.write_text(before.replace("spoof", "bona-fide", 1))
        done = call("evaluate", folder / "cross.yaml", folder / "data", folder / "runs", FINAL="1")
        assert done.returncode == 2 and "not the table that run road was prepared from" in done.stderr
    finally:
        table.write_text(before)


# these leave the run with other noise


def test_rooms_that_cannot_be_read_are_not_replaced_by_computed_ones_in_silence(road):
    folder, _ = road
    for number in range(5):
        path = folder / "data" / "broken" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no room response")
    config = folder / "broken.yaml"
    config.write_text((folder / "cross.yaml").read_text().replace("[RIRS_NOISES]", "[broken]"))
    done = call("mix", config, folder / "data", folder / "runs")
    assert (
        done.returncode == 2 and "mix.rir_dirs: none could be read of those for train, select, calibrate" in done.stderr
    )


def test_noise_that_is_there_twice_is_taken_once(road):
    folder, _ = road
    shutil.copytree(folder / "data" / "musan" / "noise", folder / "data" / "again", dirs_exist_ok=True)
    config = folder / "twice.yaml"
    text = (folder / "cross.yaml").read_text()
    config.write_text(text.replace("noise_dirs: [musan], rir_dirs: [RIRS_NOISES]", "noise_dirs: [musan, again]"))
    done = call("mix", config, folder / "data", folder / "runs")
    assert done.returncode == 0 and "mix  8 of them are copies of others, and are left out" in done.stderr, done.stderr


def test_a_recording_of_the_corpus_or_of_its_test_is_no_noise(road):
    folder, _ = road
    (folder / "data" / "mixed").mkdir()
    for number in range(5):
        shutil.copy(folder / "data" / "musan" / "noise" / "free-sound" / f"noise-free-sound-{number:04d}.wav",
                    folder / "data" / "mixed")  # fmt: skip
    voice = next((folder / "data" / "wild").rglob("[0-9].*"))
    shutil.copy(voice, folder / "data" / "mixed" / "pause.wav")
    config = folder / "voices.yaml"
    config.write_text((folder / "cross.yaml").read_text().replace("[musan]", "[mixed]"))
    done = call("mix", config, folder / "data", folder / "runs")
    assert done.returncode == 2, done.stderr
    assert (
        "1 of their recordings are, byte for byte, recordings of this run's corpora or test (mixed:pause.wav)"
        in done.stderr
    )
