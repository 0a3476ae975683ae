"""What is handed to Slurm, as far as it needs none; tests/slurm has the rest."""

import pytest

from app.config.cluster import ClusterConfig
from app.errors import UserError
from jobs.submit import Piece, command, options, pieces_of, script

JOBS = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate", "ladder", "sweep", "seeds", "report")


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    for name in ("INPUT", "BUDGET", "N", "RUN", "CONFIG", "DATA", "RUNS", "GPUS", "NODES"):
        monkeypatch.delenv(name, raising=False)


def test_every_job_becomes_one_script_or_an_array_and_who_joins_it(monkeypatch):
    site = ClusterConfig.model_validate_json('{"train": {"gpus": 2}, "infer": {"tasks": 1}}')
    found = {
        job: [(piece.name, piece.how["tasks"], piece.how["gpus"]) for piece in pieces_of(job, site)] for job in JOBS
    }
    assert found["denoise"] == [("denoise", 8, 0), ("denoise-join", 1, 0)] and len(found["extract"]) == 2
    assert found["infer"] == [("infer", 1, 0)] and found["report"] == [("report", 1, 0)]
    assert all(found[job] == [(job, 1, 2)] for job in ("train", "ladder", "sweep", "seeds"))
    assert [one.how["cpus"] for one in pieces_of("extract", site, workers=12)] == [12, 1]
    monkeypatch.setenv("INPUT", "voices")
    assert [piece.name for piece in pieces_of("infer", ClusterConfig())] == ["infer"]
    monkeypatch.setenv("INPUT", "-")
    with pytest.raises(UserError, match="a pipe does not reach"):
        pieces_of("infer", site)


def test_a_script_holds_what_was_asked_and_no_value_breaks_out_of_it(a_run, monkeypatch):
    run, site = a_run(), ClusterConfig(before=("module load cuda/12.8",))
    monkeypatch.setenv("BUDGET", "2h; rm -rf x")
    text = script(run, pieces_of("sweep", site)[0], site)
    assert "export BUDGET='2h; rm -rf x'" in text and "\nmodule load cuda/12.8\n" in text
    assert "-m jobs.sweep" in text and "#SBATCH --cpus-per-task=4" in text and "#SBATCH --mem=16384M" in text
    assert "--set runtime.memory_gb=14.4" in text and "--set runtime.yield_to_others=false" in text
    [array, join] = pieces_of("extract", site)
    assert "#SBATCH --array=0-7" in script(run, array, site) and '--part "$SLURM_ARRAY_TASK_ID/8"' in script(
        run, array, site
    )
    assert "--array" not in script(run, join, site) and "--part" not in script(run, join, site)
    assert "--join" in script(run, join, site) and "--join" not in script(run, array, site)


def test_a_training_over_nodes_is_one_step_of_a_task_each(a_run, monkeypatch):
    run, site = a_run(), ClusterConfig.model_validate_json('{"train": {"gpus": 1, "nodes": 2}}')
    text = script(run, pieces_of("train", site)[0], site)
    assert (
        "#SBATCH --nodes=2" in text
        and "\nsrun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=4 --wait=180 " in text
    )
    assert " --node 2 &" in text and "--gpus-per-node=1" in text
    monkeypatch.setenv("NODES", "3")
    monkeypatch.setenv("GPUS", "4")
    how = pieces_of("train", site)[0].how
    assert (how["nodes"], how["gpus"]) == (3, 4)
    monkeypatch.setenv("GPUS", "none")
    assert pieces_of("train", site)[0].how["gpus"] == 0
    [extract, _] = pieces_of("extract", site)
    assert (extract.how["nodes"], extract.how["gpus"]) == (1, 0) and "--node " not in script(run, extract, site)
    with pytest.raises(ValueError, match="only a training is spread over nodes"):
        ClusterConfig.model_validate_json('{"infer": {"nodes": 2}}')


def test_a_runtime_changes_the_commands_prefix_alone(a_run):
    run, piece = a_run(), Piece("train", "train", {**ClusterConfig().of("train"), "gpus": 2})
    words = {}
    for runtime in ("venv", "apptainer", "podman"):
        site = ClusterConfig(runtime=runtime, image="moksori.sif", mounts=("/scratch",))
        words[runtime] = command(run, piece, site)
        assert "--gpus-per-node=2" in options(run, piece, site)
    tail = words["venv"][1:]
    assert words["apptainer"][:3] == ["apptainer", "exec", "--nv"] and words["podman"][:2] == ["podman", "run"]
    for runtime in ("apptainer", "podman"):
        assert words[runtime][-len(tail) :] == tail and "moksori.sif" in words[runtime]
        assert any("/scratch" in word for word in words[runtime])
    assert "runtime.max_gpus=2" in " ".join(tail)
    with pytest.raises(UserError, match="image: null"):
        command(run, piece, ClusterConfig(runtime="podman"))
