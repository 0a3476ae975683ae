"""A wrong config stops before any work and says where and what."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app.config import Asked, Config, leaves_of, load_config, origins_of, read_config
from app.config.cluster import ClusterConfig, read_cluster
from app.errors import UserError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def told(tmp_path, text: str) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(path)
    return str(error.value)


RUNS = [path for path in sorted(CONFIGS.glob("*.yaml")) if path.name != "cluster.yaml"]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_shipped_configs_load(path):
    load_config(path)


def test_cluster_yaml_holds_every_key_at_its_default():
    shipped = ClusterConfig.model_validate_json(json.dumps(yaml.safe_load((CONFIGS / "cluster.yaml").read_text())))
    for job in ("prepare", "denoise", "mix", "extract", "evaluate"):
        assert shipped.of(job) == {**ClusterConfig().of(job), "sbatch": ()}, job
    assert shipped.of("train")["gpus"] == 1 and shipped.of("train")["memory_gb"] == 16
    assert shipped.of("infer")["tasks"] == 1 and shipped.model_dump(include={"warn_s", "requeues", "gpus_by"}) == (
        ClusterConfig().model_dump(include={"warn_s", "requeues", "gpus_by"})
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("every: {partitoin: gpu}", "every.partitoin: unknown key; did you mean 'partition'?"),
        ("train: {gpus: -1}", "train.gpus: out of range, it is at least 0"),
        ("every: {time: 8:00:00}", "every.time: a time is wanted in quotes"),
        ("runtime: appptainer", "did you mean 'apptainer'?"),
    ],
)
def test_a_wrong_cluster_file_is_told_with_its_line(tmp_path, text, words):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_cluster(path)
    assert f"{path}:1: " in str(error.value) and words in str(error.value)


def test_default_yaml_holds_every_key_at_its_default():
    assert yaml.safe_load((CONFIGS / "default.yaml").read_text()) == Config().model_dump(mode="json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mix:\n  snr: [5, 20]\n", ["run.yaml:2: mix.snr: unknown key", "did you mean 'snr_db'?"]),
        ("mixx:\n  window_s: 5\n", ["run.yaml:1: mixx: unknown key", "did you mean 'mix'?"]),
        ("train:\n  spec_augment: 'no'\n", ["run.yaml:2: train.spec_augment", "true or false, without quotes", "'no'"]),
        ("train:\n  spec_augment: maybe\n", ["run.yaml:2: train.spec_augment", "valid boolean", "'maybe'"]),
        ("train:\n  epochs: '3'\n", ["run.yaml:2: train.epochs", "valid integer", "without quotes", "'3'"]),
        ("train:\n  epochs: 1.5\n", ["run.yaml:2: train.epochs", "valid integer", "1.5"]),
        ("train:\n  models: crnn\n", ["run.yaml:2: train.models", "found 'crnn'"]),
        ("train:\n  epochs: 0\n", ["run.yaml:2: train.epochs: out of range, it is above 0 (found 0)"]),
        ("mix:\n  hum: 1.2\n", ["run.yaml:2: mix.hum: out of range, it lies in [0, 1] (found 1.2)"]),
        ("evaluate:\n  ece_bins: 1\n", ["run.yaml:2: evaluate.ece_bins: out of range, it lies in [2, 100] (found 1)"]),
        ("extract:\n  roll_off: 1.0\n", ["run.yaml:2: extract.roll_off: out of range, it lies in (0, 1) (found 1.0)"]),
        ("runtime:\n  workers: -1\n", ["run.yaml:2: runtime.workers: out of range, it is 0 or more (found -1)"]),
        ("mix:\n  train:\n    room: 2\n", ["run.yaml:3: mix.train.room: out of range, it lies in [0, 1] (found 2)"]),
        ("prepare:\n  adapter: asvspoof\n", ["run.yaml:2: prepare.adapter", "did you mean 'asvspoof5'?"]),
        ("prepare:\n  table: {lable: x}\n", ["run.yaml:2: prepare.table.lable: unknown key; did you mean 'label'?"]),
        ("test: wild\n", ["run.yaml:1: test"]),
        ("mix:\n  snr_db: [20, 5]\n", ["run.yaml:1: mix: snr_db", "first number"]),
        ("mix:\n  codecs: [mp4]\n", ["run.yaml:2: mix.codecs.0", "'mp3'"]),
        ("seed: 1\nseed: 2\n", ["run.yaml:2: seed: given twice"]),
        ("mix: [1\n", ["not valid YAML"]),
        ("- a\n", ["a mapping of sections"]),
        ("prepare:\n  corpora: {la: {data: x, adpater: folder}}\n", [":2: prepare.corpora.la.adpater", "'adapter'"]),
        ("test:\n  data: x\n  table: {labl: x}\n", ["run.yaml:3: test.table.labl: unknown key; did you mean 'label'?"]),
        (
            "prepare:\n  corpora:\n    la:\n      data: x\n      table: {labl: x}\n",
            ["run.yaml:5: prepare.corpora.la.table.labl: unknown key; did you mean 'label'?"],
        ),
        ("mix:\n  corpus_weights: {a.b: 1}\n", ["mix.corpus_weights.a.b"]),
        ("prepare:\n  corpora: {on: {data: x}}\n", [":2: prepare.corpora.on: YAML does not read this as a name"]),
        ("extract:\n  f0_hz: [0, 600]\n", ["extract.f0_hz.0: out of range, it is above 0"]),
        ("extract:\n  f0_hz: [-100, 600]\n", ["extract.f0_hz.0"]),
        ("mix:\n  band_stop_hz: [0, 600]\n", ["mix.band_stop_hz.0"]),
        ("mix:\n  room_t60_s: [0, 1]\n", ["mix.room_t60_s.0"]),
        ("a: &a [*a]\n", ["holds itself"]),
        ("a: &a {b: *a}\n", ["holds itself"]),
        ("prepare:\n  table: {real: ['1'], fake: ['1']}\n", ["prepare.table: '1' stands in both real and fake"]),
        ("prepare:\n  table: {train: [a, b], test: [b]}\n", ["prepare.table: 'b' stands in both train and test"]),
        ("test:\n  corpus: folder\n", ["test: corpus tells of the corpus in test.data, which is not given"]),
        ("runtime:\n  gpu_hours: '25:00-08:00'\n", [":2: runtime.gpu_hours: hours from and to are wanted"]),
        ("extract: {frame_s: 64, hop_s: 10}\n", ["extract.frame_s: out of range, it lies in (0, 1]", "extract.hop_s"]),
        ("train: {learning_rate: 1e-3}\n", ["a point in such a number: 1.0e-3"]),
        ("mix.train_clips: 3\n", ["unknown key; a dot is for --set, here it is mix: {train_clips: ...}"]),
        ("mix: {noise_dirs: musan}\n", ["mix.noise_dirs: a list is wanted: [musan]"]),
        ("prepare:\n  corpora: {la: LA}\n", ["prepare.corpora.la: keys are wanted", "{data: ...}"]),
        ("sample_rate: 16000\n", ["extract.mel_hz", "half of sample_rate"]),
        ("sweep: {space: {seed: {choice: [1, 2]}}}\n", ["sweep.space", "space.seed: luck is no setting"]),
        ("sweep: {space: {models: {choice: [[crnn]]}}}\n", ["train.models shapes no model", "dropout"]),
        ("sweep: {space: {dropout: {uniform: [0, 1.5]}}}\n", ["space.dropout: 1.5 is no train.dropout"]),
        ("sweep: {space: {dropout: {choice: [0, 0.0]}}}\n", ["space.dropout: 0.0 stands in choice twice"]),
        ("sweep: {space: {dropout: {}}}\n", ["one of these is wanted: uniform: [low, high]"]),
        ("sweep: {space: {dropout: {choice: [0], log: [0.1, 0.2]}}}\n", ["one of these is wanted"]),
        ("sweep: {space: {rnn_hidden: {choice: [16.5]}}}\n", ["space.rnn_hidden: 16.5 is no train.rnn_hidden"]),
        ("mix:\n  states: {none: 0, real: 0, fake: 0, real_real: 0, fake_fake: 0, real_fake: 0}\n", ["share above 0"]),
    ],
)
def test_a_wrong_config_is_told_with_its_place(tmp_path, text, words):
    message = told(tmp_path, text)
    for word in words:
        assert word in message


def test_all_errors_are_told_at_once(tmp_path):
    message = told(tmp_path, "mix:\n  snr: [1, 2]\ntrain:\n  epochs: none\n  batchclips: 3\n")
    assert ":2: mix.snr" in message and ":4: train.epochs" in message and ":5: train.batchclips" in message


def test_choices_of_a_sweep_are_as_train_holds_them(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("sweep: {space: {dropout: {choice: [0, 0.2]}, batch_clips: {choice: [16.0, 32]},\n"
                    "  learning_rate: {choice: [null, 0.001]}, cnn_channels: {choice: [[8, 16]]}}}\n")  # fmt: skip
    space = load_config(path).sweep.space
    found = {key: json.dumps(domain.choice) for key, domain in space.items()}
    assert found == {
        "dropout": "[0.0, 0.2]",
        "batch_clips": "[16, 32]",
        "learning_rate": "[null, 0.001]",
        "cnn_channels": "[[8, 16]]",
    }


def test_a_missing_config_names_those_that_are_there(tmp_path):
    (tmp_path / "dacon.yaml").write_text("")
    with pytest.raises(UserError, match=r"dacon\.yaml"):
        load_config(tmp_path / "dacom.yaml")


def test_a_range_that_only_a_default_breaks_has_no_line(tmp_path):
    message = told(tmp_path, "sample_rate: 16000\n")
    assert message.startswith(f"{tmp_path / 'run.yaml'}: extract.mel_hz")


def test_a_whole_number_is_a_float_and_overrides_win(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mix:\n  window_s: 6\n  snr_db: [1, 2]\n")
    config = load_config(path, {"mix.snr_db": [3, 4], "runtime.workers": 7})
    assert config.mix.window_s == 6.0 and config.mix.snr_db == (3.0, 4.0) and config.runtime.workers == 7


def test_what_the_command_line_asks_for_is_told_in_its_words(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mix: {snr: [1, 2]}\n")
    with pytest.raises(UserError) as caught:
        read_config(path, {"runtime.workers": Asked(-2, "WORKERS=-2"), "mix.hums": Asked(1, "--set mix.hums=1")})
    said = caught.value.what.splitlines()
    assert "WORKERS=-2: runtime.workers: out of range, it is 0 or more (found -2)" in said
    assert "--set mix.hums=1: mix.hums: unknown key; did you mean 'hum'?" in said
    assert f"{path}:1: mix.snr: unknown key; did you mean 'snr_db'?" in said


def test_every_value_has_an_origin(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed: 7\nmix:\n  train: {room: 0.5}\n  snr_db: [1, 2]\nprepare:\n  corpora:\n    a: {data: x}\n")
    asked = {"runtime.workers": Asked(4, "WORKERS=4"), "mix.snr_db": Asked([3, 4], "--set mix.snr_db=[3,4]")}
    config = read_config(path, asked)
    origins = origins_of(config, path, asked)
    assert set(origins) == set(leaves_of(config.model_dump(mode="json")))
    assert {key: origin for key, origin in origins.items() if origin != "default"} == {
        "seed": f"{path}:1",
        "mix.train.room": f"{path}:3",
        "mix.snr_db": "--set mix.snr_db=[3,4]",
        "prepare.corpora.a.data": f"{path}:7",
        "runtime.workers": "WORKERS=4",
    }


def test_a_value_that_came_with_others_has_their_origin(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mix:\n  train: &rates\n    room: 0.5\n    codec: 0.2\n  valid:\n    <<: *rates\n    codec: 0.3\n")
    asked = {"mix.states": Asked({"none": 1.0}, "--set mix.states={none: 1.0}")}
    config = read_config(path, asked)
    origins = origins_of(config, path, asked)
    assert (config.mix.valid.room, config.mix.valid.codec) == (0.5, 0.3)
    assert {key: origin for key, origin in origins.items() if origin != "default"} == {
        "mix.states.none": "--set mix.states={none: 1.0}",
        "mix.train.room": f"{path}:3",
        "mix.train.codec": f"{path}:4",
        "mix.valid.room": f"{path}:3",
        "mix.valid.codec": f"{path}:7",
    }


def test_make_config_prints_a_config_that_comes_to_the_same(tmp_path):
    path, again = tmp_path / "run.yaml", tmp_path / "again.yaml"
    path.write_text("mix:\n  window_s: 6\ntest: {labels: null}\nruntime: {notify: 'echo \"a: b\" # c'}\n")
    env = {k: v for k, v in os.environ.items() if k not in ("CONFIG", "RUN", "DATA", "DEVICE", "GPU", "GPUS")}
    done = subprocess.run(
        [sys.executable, "-m", "jobs.config", "--config", str(path), "--runs", str(tmp_path / "runs")],
        env={**env, "WORKERS": "3"}, cwd=CONFIGS.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not list((tmp_path / "runs").iterdir())  # it only tells
    lines = {line.split("#")[0].strip(): line.split("  # ")[-1] for line in done.stdout.splitlines()}
    assert lines["window_s: 6.0"] == f"{path}:2" and lines["workers: 3"] == "WORKERS=3"
    assert lines["seed: 20261122"] == "default"
    again.write_text(done.stdout)
    assert load_config(again) == load_config(path, {"runtime.workers": 3})
    assert "4 keys are given" in done.stderr
