"""make ladder and make leaderboard on the demo: within a budget, ranked, and comparable."""

import json
import shutil
import subprocess
import sys

import pytest

from app.errors import UserError
from app.learning.timing import training_seconds
from app.runtime.asked import seconds
from app.runtime.status import read_status
from tests.jobs.road import CONFIG, DEMO, ROOT, call

WINDOW = "mix: {train_clips: 96, valid_clips: 48, shard_clips: 60, window_s: 1.5, voice_s: [0.8, 1.5]}"


PROBE = (
    "import sys, torch; from pathlib import Path; from app.config import load_config;"
    "from app.learning.probing import step_seconds; from app.models.registry import build;"
    "torch.set_num_threads(2); c = load_config(Path(sys.argv[1]));"
    "print(step_seconds(build(sys.argv[2], c), c, torch.device('cpu'), 'waves'))"
)


def step_seconds(config, name: str) -> float:
    words = [sys.executable, "-c", PROBE, str(config), name]
    return float(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """(config, runs, what it said): a ladder that had what the steps of aasist_like would take, for all of them."""
    base = tmp_path_factory.mktemp("ladder")
    config, runs = base / "road.yaml", base / "runs"
    lines = [line for line in CONFIG.splitlines() if line and not line.startswith("mix")]
    config.write_text("\n".join([*lines, WINDOW, "infer: {overlap_s: 0.5}"]))
    for job in ("prepare", "denoise", "mix"):
        assert call(job, config, DEMO, runs).returncode == 0
    # on any machine the others take about half of it; the quickest of some looks, for others may use it meanwhile
    budget = round(6 * 2 * min(step_seconds(config, "aasist_like") for _ in range(3)))
    done = call("ladder", config, DEMO, runs, TORCH_HOME=str(base / "no weights"), BUDGET=f"{budget}s")
    assert done.returncode == 0, done.stderr
    return config, runs, done.stderr


def board(runs, *words):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.leaderboard", "--runs", runs, *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done


def test_the_quick_ones_are_trained_and_the_others_say_what_they_would_take(climbed):
    _, runs, said = climbed
    trained = {path.name for path in (runs / "road/models").iterdir() if path.is_symlink()}
    assert {"pooled_logistic", "pooled_boosting", "pooled_mlp", "crnn"} <= trained
    assert "ssl_head: not trained: train.ssl_weights: no weights of WAV2VEC2_XLSR_300M" in said
    assert "aasist_like: not trained: " in said and "at most, " in said and "aasist_like" not in trained
    table = said[said.index("By score on 24 validation clips of mix-") :]
    assert "not trained" in table and "aasist_like" in table and "is what `make infer` takes now" in table


def test_what_it_takes_is_foretold_about_right(climbed):
    """Of a network that is trained meanwhile: asked before and after, and wide, for others may come and go."""
    config, runs, _ = climbed
    more = ["--set", "train.models=[lfcc_lcnn]", "--run", "timed"]
    (runs / "timed").mkdir()
    for name in ("corpus.json", "stages.json"):
        shutil.copy(runs / "road" / name, runs / "timed" / name)
    assert call("extract", config, DEMO, runs, *more).returncode == 0  # where this machine was too busy for the budget
    told = [step_seconds(config, "lfcc_lcnn") * 6 * 2]
    assert call("train", config, DEMO, runs, *more).returncode == 0
    told.append(step_seconds(config, "lfcc_lcnn") * 6 * 2)
    took = training_seconds((runs / "timed/models/lfcc_lcnn").resolve())
    assert 0.05 * took < max(told) and min(told) < 20 * took, (told, took)


def test_called_again_it_keeps_what_is_there_and_has_nothing_left(climbed):
    config, runs, _ = climbed
    again = call("ladder", config, DEMO, runs, BUDGET="0s")
    assert again.returncode == 0, again.stderr
    assert "train crnn  done already" in again.stderr and "the budget of 0s is used up" in again.stderr


def test_models_of_other_settings_are_none_of_its_table(climbed):
    config, runs, _ = climbed
    mine = next(path.parent for path in (runs / "road/models").glob("crnn-*/model.json"))
    other = mine.with_name("crnn-ffffffffffff")
    shutil.copytree(mine, other)
    told = json.loads((mine / "model.json").read_text())
    told["select"]["select_score"], told["config"]["train"]["batch_clips"] = -0.777, 5
    (other / "model.json").write_text(json.dumps(told))
    again = call("ladder", config, DEMO, runs, BUDGET="0s")
    shutil.rmtree(other)
    assert again.returncode == 0 and "0.777" not in again.stderr and "batch_clips" not in again.stderr, again.stderr


def test_infer_takes_the_best_of_them_although_the_config_names_others(climbed):
    config, runs, _ = climbed
    best = json.loads(board(runs, "--json").stdout)[0]
    done = call("extract", config, DEMO, runs)
    assert done.returncode == 0, done.stderr
    done = call("infer", config, DEMO, runs)
    assert done.returncode == 0, done.stderr
    assert f"infer  by {best['model']}, select score {best['score']:.4f}" in done.stderr


def test_the_board_ranks_by_validation_and_tells_what_differs(climbed):
    config, runs, _ = climbed
    done = call("train", config, DEMO, runs, "--set", "train.models=[pooled_mlp]", "--set", "train.epochs=1")
    assert done.returncode == 0, done.stderr
    found = json.loads(board(runs, "--json").stdout)
    scores = [entry["score"] for entry in found]
    assert scores == sorted(scores) and len({entry["folder"] for entry in found}) == len(found) >= 5
    one = next(entry for entry in found if entry["model"] == "pooled_mlp" and entry["epochs"] == 1)
    assert one["differs"]["train.epochs"] == [1, 2] and one["parameters"] > 1000 and one["clips_per_s"] > 1
    assert one["score"] == pytest.approx(0.5 * (1 - one["auc"]) + 0.25 * one["brier"] + 0.25 * one["ece"])
    boosting = next(entry for entry in found if entry["model"] == "pooled_boosting")
    assert boosting["differs"] == {} and boosting["parameters"] == 0
    shown = board(runs).stderr
    assert "train.epochs 1" in shown and "trees" in shown and "clips of mix-" in shown


def test_other_clips_have_a_table_of_their_own(climbed, tmp_path):
    config, runs, _ = climbed
    more = ["--set", "mix.train_clips=64", "--set", "train.models=[pooled_logistic]"]
    for job in ("mix", "extract", "train"):
        assert call(job, config, DEMO, runs, *more).returncode == 0
    found = json.loads(board(runs, "--json").stdout)
    assert len({entry["plan"] for entry in found}) == 2 and found[-1]["plan"] != found[0]["plan"]
    assert "differs" in found[1] and found[-1]["differs"] == {}  # the best one, of its own plan
    assert board(runs).stderr.count("validation clips of mix-") == 2


def test_what_is_not_there_is_told(tmp_path):
    (tmp_path / "runs").mkdir()
    done = board(tmp_path / "runs")
    assert done.returncode == 2 and "no trained model" in done.stderr and "make train" in done.stderr
    none = tmp_path / "road.yaml"
    none.write_text(CONFIG)
    done = call("ladder", none, DEMO, tmp_path / "runs", BUDGET="soon")
    assert done.returncode == 2 and "BUDGET=soon is no time" in done.stderr and "30m" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0)]
)
def test_times_are_read(text, expected, monkeypatch):
    monkeypatch.setenv("BUDGET", text)
    assert seconds("BUDGET") == expected


@pytest.mark.parametrize("text", ["30", "m", "-1h", "1 h", "30min", "1m1h"])
def test_what_is_no_time_is_told(text, monkeypatch):
    monkeypatch.setenv("BUDGET", text)
    with pytest.raises(UserError, match="is no time"):
        seconds("BUDGET")


def test_nothing_given_is_no_limit(monkeypatch):
    monkeypatch.delenv("BUDGET", raising=False)
    assert seconds("BUDGET") is None


def test_what_was_never_extracted_counts_in_the_budget(climbed):
    """Only its plan is there: a few clips are rendered to know what all of them take."""
    config, runs, _ = climbed
    more = ["--set", "extract.mels=20"]
    done = call("ladder", config, DEMO, runs, *more, BUDGET="8s")
    assert done.returncode == 0, done.stderr
    for name in ("pooled_logistic", "pooled_boosting", "crnn"):
        assert f"ladder  {name}: not trained: " in done.stderr
    assert "at most, " in done.stderr and "extract  " not in done.stderr


def test_where_nothing_could_be_trained_the_user_has_to_act(climbed):
    config, runs, _ = climbed
    more = ["--set", "extract.mels=20", "--set", "train.batch_clips=7"]
    done = call("ladder", config, DEMO, runs, *more, BUDGET="1s")
    assert done.returncode == 2 and "Nothing was trained" in done.stderr, done.stderr
    assert "ladder: no model was trained; the last one, aasist_like: not trained: " in done.stderr
    assert done.stderr.count("fix: a larger BUDGET") == 2  # once, and at the end
    [status] = read_status(runs / "road/ladder")
    assert (status["state"], status["done"], status["total"]) == ("failed", 7, 7)


def test_one_that_fails_leaves_the_others(climbed):
    config, runs, _ = climbed
    wild = ["--set", "train.learning_rate=1.0e+30", "--set", "train.clip_norm=1.0e+30"]
    done = call("ladder", config, DEMO, runs, *wild, BUDGET="200s")
    assert done.returncode == 0, done.stderr
    assert "pooled_mlp: " in done.stderr and "diverged" in done.stderr and "lfcc_lcnn: " in done.stderr
    assert "pooled_boosting is what `make infer` takes now" in done.stderr or "pooled_logistic is what" in done.stderr


def test_a_model_of_an_older_version_is_named_itself(climbed, tmp_path):
    """Of two with one name, to the newer one of which leads the link."""
    _, runs, _ = climbed
    models = tmp_path / "runs/road/models"
    new = next(path for path in (runs / "road/models").glob("crnn-*") if (path / "model.json").exists())
    shutil.copytree(new, models / "crnn-aaaa")
    shutil.copytree(new, models / "crnn-bbbb")
    (models / "crnn").symlink_to("crnn-aaaa")
    told = json.loads((models / "crnn-bbbb/model.json").read_text())
    del told["plan"]
    (models / "crnn-bbbb/model.json").write_text(json.dumps(told))
    done = board(tmp_path / "runs")
    assert f"{models}/crnn-bbbb: from an older Moksori" in done.stderr and "crnn-aaaa: from" not in done.stderr
