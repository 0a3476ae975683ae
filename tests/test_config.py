"""A wrong config stops before any work and says where and what."""

from pathlib import Path

import pytest
import yaml

from app.config import Config, load_config
from app.errors import UserError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def told(tmp_path, text: str) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(path)
    return str(error.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_load(path):
    load_config(path)


def test_default_yaml_holds_every_key_at_its_default():
    assert yaml.safe_load((CONFIGS / "default.yaml").read_text()) == Config().model_dump(mode="json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mix:\n  snr: [5, 20]\n", ["run.yaml:2: mix.snr: unknown key", "did you mean 'snr_db'?"]),
        ("mixx:\n  window_s: 5\n", ["run.yaml:1: mixx: unknown key", "did you mean 'mix'?"]),
        ("train:\n  spec_augment: 'no'\n", ["run.yaml:2: train.spec_augment", "valid boolean", "'no'"]),
        ("train:\n  epochs: '3'\n", ["run.yaml:2: train.epochs", "valid integer"]),
        ("train:\n  epochs: 0\n", ["run.yaml:2: train.epochs", "greater than 0"]),
        ("mix:\n  snr_db: [20, 5]\n", ["run.yaml:1: mix: snr_db", "first number"]),
        ("mix:\n  codecs: [mp4]\n", ["run.yaml:2: mix.codecs.0", "'mp3'"]),
        ("seed: 1\nseed: 2\n", ["run.yaml:2: seed: given twice"]),
        ("mix: [1\n", ["not valid YAML"]),
        ("- a\n", ["a mapping of sections"]),
        ("sample_rate: 16000\n", ["extract.mel_hz", "half of sample_rate"]),
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


def test_a_missing_config_names_those_that_are_there(tmp_path):
    (tmp_path / "dacon.yaml").write_text("")
    with pytest.raises(UserError, match=r"dacon\.yaml"):
        load_config(tmp_path / "dacom.yaml")


def test_a_whole_number_is_a_float_and_overrides_win(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mix:\n  window_s: 6\n  snr_db: [1, 2]\n")
    config = load_config(path, {"mix.snr_db": [3, 4], "runtime.workers": 7})
    assert config.mix.window_s == 6.0 and config.mix.snr_db == (3.0, 4.0) and config.runtime.workers == 7
