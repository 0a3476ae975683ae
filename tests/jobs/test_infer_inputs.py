"""infer for everybody: a file, a folder, a list, a pipe; in words, JSON, CSV and pictures; whatever the recording."""

import csv
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.hostile import RATE, make_all, sound
from tests.jobs.road import CONFIG, DEMO, ROOT, call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a small model of the demo."""
    folder = tmp_path_factory.mktemp("inputs")
    config = folder / "road.yaml"
    config.write_text(CONFIG + "infer: {model: crnn}\n")
    for job in ("prepare", "denoise", "mix", "extract", "train"):
        done = call(job, config, DEMO, folder / "runs")
        assert done.returncode == 0, done.stderr
    return folder


def infer(folder, given, **env):
    done = call("infer", folder / "road.yaml", DEMO, folder / "runs", INPUT=str(given), **env)
    return done


def bare(folder, *words, stdin=b""):
    """python -m jobs.infer --model, as somebody calls it who has nothing but the model."""
    model = folder / "runs/road/models/crnn"
    return subprocess.run(
        [sys.executable, "-m", "jobs.infer", "--model", str(model), *map(str, words)],
        cwd=ROOT, input=stdin, capture_output=True, check=False,
    )  # fmt: skip


def wav(seconds, rate=RATE):
    data = io.BytesIO()
    soundfile.write(data, sound(seconds, rate), rate, format="WAV", subtype="PCM_16")
    return data.getvalue()


def test_the_bare_command_says_in_words_what_it_heard_and_how_sure_it_is(trained):
    done = bare(trained, DEMO / "test" / "TEST_00000.ogg")
    said = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "TEST_00000.ogg" in said and "fake voice:" in said and "real voice:" in said
    assert any(word in said for word in ("likely", "uncertain"))
    assert "They are independent" in said and "24 validation clips" in said and "by chance alone" in said
    assert re.search(r"yes from \d+% on for a fake voice and \d+% on for a real voice", said)
    assert not (trained / "runs/road/scores/input").exists()  # it leaves nothing


def test_the_bare_command_and_the_job_give_the_same_numbers(trained, tmp_path):
    for path in sorted((DEMO / "test").glob("*.ogg"))[:6]:
        shutil.copy(path, tmp_path)
    soundfile.write(tmp_path / "long.wav", sound(17.0, 44100), 44100)
    done = infer(trained, tmp_path, JSON="1")
    assert done.returncode == 0, done.stderr
    by_job = {file["file"]: file for file in json.loads(done.stdout)["files"]}
    by_hand = json.loads(bare(trained, "--json", tmp_path).stdout)
    assert len(by_job) == len(by_hand["files"]) == 7
    for file in by_hand["files"]:
        other = by_job[Path(file["file"]).name]
        assert len(other["windows"]) == len(file["windows"])
        for a, b in zip(other["windows"], file["windows"], strict=True):
            assert a["start_s"] == pytest.approx(b["start_s"])
            assert (a["p_fake"], a["p_real"]) == pytest.approx((b["p_fake"], b["p_real"]), abs=1e-5)
    long = by_job["long.wav"]
    assert [w["start_s"] for w in long["windows"]] == [0.0, 2.5, 5.0, 7.5, 10.0, 12.0]
    assert long["p_fake"] == max(w["p_fake"] for w in long["windows"])


def test_a_folder_of_hostile_recordings_is_scored_or_counted_each_of_them(trained, tmp_path):
    cases = make_all(tmp_path / "hostile")
    (tmp_path / "hostile" / "notes.md").write_text("not a recording")
    done = infer(trained, tmp_path / "hostile", JSON="1")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    there = {case.name: case.cause for case in cases.values() if case.name != "missing.wav"}
    assert {file["file"] for file in said["files"]} == {name for name, cause in there.items() if not cause}
    failed = {row["file"]: row["why"].split(":")[0] for row in said["failed"]}
    assert failed == {name: cause for name, cause in there.items() if cause}
    values = [value for file in said["files"] for value in (file["p_fake"], file["p_real"])]
    assert all(0 <= value <= 1 for value in values)


def test_a_list_names_recordings_from_its_own_folder(trained, tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.wav", "b.wav"):
        soundfile.write(tmp_path / name, sound(), RATE)
    (tmp_path / "some.txt").write_text("# two of them\nsub/a.wav\n\nb.wav\nb.wav\nnot-there.wav\n")
    done = infer(trained, tmp_path / "some.txt", CSV="1")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["id"] for row in rows] == ["sub/a.wav", "b.wav"] and 0 <= float(rows[0]["fake"]) <= 1
    assert "not-there.wav: missing" in done.stderr
    assert "some.txt: names no recording" in _with(trained, tmp_path, "some.txt", "# nothing\n")


def _with(trained, folder, name, text):
    (folder / name).write_text(text)
    done = infer(trained, folder / name)
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize("open_end", [False, True])
def test_a_wav_from_a_pipe_is_scored_even_if_its_header_knows_no_length(trained, open_end):
    data = bytearray(wav(2.0))
    if open_end:  # as ffmpeg writes into a pipe
        data[4:8] = data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    done = bare(trained, "--json", "-", stdin=bytes(data))
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert file["file"] == "stdin" and len(file["windows"]) == 1
    assert "the pipe was empty" in bare(trained, "-").stderr.decode()


def test_pictures_over_time(trained, tmp_path):
    soundfile.write(tmp_path / "talk.wav", sound(20.0), RATE)
    done = infer(trained, tmp_path / "talk.wav", PLOT="1")
    assert done.returncode == 0 and "the highest of 7 windows" in done.stdout, done.stderr
    (picture,) = (trained / "runs/road/scores/input/talk.wav.pictures").glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    import matplotlib.image

    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 300 and pixels[..., :3].std() > 0.02  # something is drawn
    windows = (trained / "runs/road/scores/input/talk.wav.windows.csv").read_text().splitlines()
    assert windows[0] == "file,start_s,fake,real" and len(windows) == 8


def test_many_recordings_become_a_table_with_what_the_numbers_mean_below(trained, tmp_path):
    for number in range(5):
        soundfile.write(tmp_path / f"{number}.wav", sound(), RATE)
    done = infer(trained, tmp_path)
    assert done.returncode == 0 and "p fake" in done.stderr + done.stdout and "They are independent" in done.stderr


def test_what_is_not_there_or_no_yes_or_no_is_told(trained, tmp_path):
    assert "no such file or folder" in infer(trained, tmp_path / "nowhere.wav").stderr
    assert "JSON=yes is neither 0 nor 1" in infer(trained, DEMO / "test", JSON="yes").stderr
    (tmp_path / "empty").mkdir()
    assert "holds no recording" in infer(trained, tmp_path / "empty").stderr
    done = bare(trained, tmp_path / "nowhere.wav")
    assert done.returncode == 2 and b"no such file or folder" in done.stderr


KOREAN = b"\xb0\xa1.wav"  # a name as Korean Windows has it


def test_names_that_are_not_utf8_or_would_run_in_a_spreadsheet(trained, tmp_path):
    """The first are counted and told, the second are written so that nothing runs."""
    data = wav(1.0)
    for name in (b"good.wav", b"=cmd().wav", KOREAN, b"new\nline.wav"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(data)
    (tmp_path / "talk.m4a").write_bytes(b"x")
    done = infer(trained, tmp_path, CSV="1")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in csv.reader(done.stdout.splitlines())] == ["id", "./=cmd().wav", "good.wav"]
    assert "1 other files are passed over (1 .m4a)" in done.stderr
    assert "new\\nline.wav: unreadable: its name is not UTF-8" in done.stderr and "\\udcb0" in done.stderr
    table = trained / "runs/road/scores/input" / f"{tmp_path.name}.windows.csv"
    assert {row[0] for row in csv.reader(table.open(newline=""))} == {"file", "./=cmd().wav", "good.wav"}
    done = bare(trained, "--json", tmp_path)
    assert done.returncode == 2 and len(json.loads(done.stdout)["failed"]) == 2


def test_one_argument_that_is_not_there_keeps_no_other_from_its_answer(trained, tmp_path):
    (tmp_path / "good.wav").write_bytes(wav(1.0))
    done = bare(trained, "--csv", tmp_path / "good.wav", tmp_path / "gone.wav")
    assert done.returncode == 2 and b"gone.wav: no such file" in done.stderr
    assert [row.split(",")[0] for row in done.stdout.decode().splitlines()] == ["id", str(tmp_path / "good.wav")]


def test_most_of_a_folder_may_be_broken_and_the_rest_is_scored(trained, tmp_path):
    for n in range(25):
        (tmp_path / f"bad{n}.wav").write_bytes(b"no audio at all")
    (tmp_path / "good.wav").write_bytes(wav(1.0))
    for _ in range(2):  # and again, when it is done already
        done = infer(trained, tmp_path, JSON="1")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert [file["file"] for file in said["files"]] == ["good.wav"] and len(said["failed"]) == 25


def test_a_name_that_stands_twice_in_a_list_is_told(trained, tmp_path):
    (tmp_path / "good.wav").write_bytes(wav(1.0))
    (tmp_path / "list.txt").write_text("good.wav\ngood.wav\n")
    done = bare(trained, "--csv", tmp_path / "list.txt")
    assert done.returncode == 0 and b"1 lines name what stands above them already" in done.stderr


def test_another_python_is_told_which_to_take(tmp_path):
    """As somebody types it who has not entered the virtual environment."""
    words = ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", sys.executable, "-I", "-S", "-c"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import jobs"
    done = subprocess.run([*words, code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "fix: .venv/bin/python -m jobs" in done.stderr and "Traceback" not in done.stderr


def test_two_pipes_of_one_run_do_not_meet(trained):
    model = [sys.executable, "-m", "jobs.infer", "--config", str(trained / "road.yaml"), "--data", str(DEMO)]
    env = {**os.environ, "INPUT": "-", "CSV": "1", "DEVICE": "cpu"}
    both = [
        subprocess.Popen([*model, "--runs", str(trained / "runs")], cwd=ROOT, env=env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    for seconds, process in zip((1.0, 2.0), both, strict=True):
        process.stdin.write(wav(seconds))
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    values = [out.decode().splitlines()[1] for out, _ in answers]
    assert all(value.startswith("stdin,") for value in values) and values[0] != values[1]
    assert not list((trained / "runs/road/scores/input").glob(".piped-*"))


def test_a_model_of_another_version_and_a_picture_where_a_file_lies_are_told(trained, tmp_path):
    copy = tmp_path / "mine"
    shutil.copytree((trained / "runs/road/models/crnn").resolve(), copy)
    told = json.loads((copy / "model.json").read_text())
    told["config"]["train"]["new_key"] = 1
    (copy / "model.json").write_text(json.dumps(told))
    words = [sys.executable, "-m", "jobs.infer", "--model", str(copy), str(DEMO / "test/TEST_00001.ogg")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "another version of Moksori, which has a key train.new_key" in done.stderr
    done = bare(trained, "--plot", DEMO / "train.csv", DEMO / "test/TEST_00001.ogg")
    assert done.returncode == 2 and b"train.csv: not a folder" in done.stderr


def test_a_folder_without_a_model_names_those_that_are_near(trained):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.infer", "--model", str(trained / "runs/road"), "x.wav"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "no model" in done.stderr and "models/crnn" in done.stderr


def test_a_copy_of_the_model_scores_anywhere_and_a_torn_one_is_told(trained, tmp_path):
    copy = tmp_path / "mine"
    shutil.copytree((trained / "runs/road/models/crnn").resolve(), copy)
    assert "runtime" not in json.loads((copy / "model.json").read_text())["config"]  # nobody's command goes along
    words = [sys.executable, "-m", "jobs.infer", "--model", str(copy), "--csv", str(DEMO / "test/TEST_00001.ogg")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("id,fake,real\n")
    weights = copy / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "not the weights" in done.stderr


def test_three_hours_are_scored_in_memory_that_stays(trained, tmp_path):
    """The peak of resident memory, of 10 minutes and of 3 hours, at 8 kHz."""
    minute = (np.tile(sound(1.0, 8000), 60) * 0.5).astype(np.float32)
    peaks = []
    for minutes in (10, 180):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16", format="FLAC") as file:
            for _ in range(minutes):
                file.write(minute)
        code = (
            "import resource, sys\nfrom jobs.single import main\ncode = main(sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\nsys.exit(code)"
        )
        words = ["--model", str(trained / "runs/road/models/crnn"), "--csv", str(path)]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stderr.split()[-1]) / 1024)
        path.unlink()
    assert peaks[1] < peaks[0] + 30, peaks
