"""Several processes train one model: the same batches, the same weights, and all leave together."""

import json
import multiprocessing as mp
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
import torch
from feature_stages import CPU, feature_stage, how, silent, small_crnn, trainer
from safetensors.torch import load_file

from app.errors import Stopped
from app.learning.checkpoint import progress_in
from app.learning.gradients import _summed
from app.learning.world import Group, lost_peer

PROCESSES = mp.get_context("forkserver")
PROCESSES.set_forkserver_preload(["app.learning.loop"])  # with torch, which is dear to import
FILES = ("last.safetensors", "best.safetensors", "metrics.jsonl")
LEARNING = 12  # calls of `stop` in learning the inputs: two passes over six batches, which each process reads whole


def member(rank: int, size: int, port: int, stage: Path, trainings: list[tuple], ends: mp.Queue) -> None:
    """Each training in turn: folder, keys, stops; stops: {rank: at which call of `stop` it is told to leave}."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    world = Group(CPU)
    for folder, keys, stops in trainings:
        calls = iter(range(1, 10000))
        world.any(False)  # the first one has saved
        try:
            keyed(stage, folder, keys, world=world).run(
                lambda told=stops.get(rank), calls=calls: "SIGTERM" if next(calls) == told else None, silent
            )
            ends.put("done")
        except Stopped:
            ends.put("stopped")
    world.close()


def late_member(rank: int, size: int, port: int, stage: Path, folder: Path, shown: Path, ends: mp.Queue) -> None:
    """The second one's disk shows the checkpoint 2 s late, as that of a network may."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    if rank:
        threading.Timer(2.0, shutil.copy, (folder / "last.safetensors", shown)).start()
    world = Group(CPU)
    made = keyed(stage, shown if rank else folder, {}, world=world)
    ends.put(made.progress.step)
    made.run(silent, silent)
    world.close()


def keyed(stage: Path, folder: Path, keys: dict, **more):
    keys = dict(keys)
    dropout, seed = keys.pop("dropout", 0.2), keys.pop("weights", 0)
    return trainer(stage, folder, how(**keys), model=small_crnn(seed, dropout), **more)


def together(stage: Path, size: int, *trainings: tuple) -> list[str]:
    """How each ended in each process: ["done", "done", "stopped", "stopped"] for two trainings of a pair."""
    ends = in_processes(size, member, stage, trainings)
    return [ends.get(timeout=10) for _ in range(size * len(trainings))]


def in_processes(size: int, target, *args) -> mp.Queue:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ends = PROCESSES.Queue()
    members = [PROCESSES.Process(target=target, args=(rank, size, port, *args, ends)) for rank in range(size)]
    for process in members:
        process.start()
    for process in members:
        process.join(120)
        assert process.exitcode == 0
    return ends


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


CALLS = (3, LEARNING + 2, LEARNING + 6, LEARNING + 7, LEARNING + 14)  # learning the inputs, steps, a validation
CUTS = [(rank, call) for rank in (0, 1) for call in CALLS]


@pytest.fixture(scope="module")
def pairs(stage, tmp_path_factory):
    """Trainings of two processes: whole, again, and for each of CUTS one that was told there and then went on."""
    folder = tmp_path_factory.mktemp("pairs")
    trainings = [(folder / name, {}, {}) for name in ("whole", "again")]
    for rank, call in CUTS:
        trainings += [(folder / f"cut-{rank}-{call}", {}, stops) for stops in ({rank: call}, {})]
    ends = together(stage, 2, *trainings)
    assert sorted(ends) == ["done"] * (2 * 2 + 2 * len(CUTS)) + ["stopped"] * (2 * len(CUTS))
    return folder


@pytest.mark.parametrize("name", ["again", *(f"cut-{rank}-{call}" for rank, call in CUTS)])
def test_a_pair_comes_to_the_same_bytes_whichever_of_them_was_told_to_leave_and_when(pairs, name):
    for file in FILES:
        assert (pairs / name / file).read_bytes() == (pairs / "whole" / file).read_bytes(), file
    cuts = len((pairs / name / "timing.jsonl").read_text().splitlines())
    assert cuts == 3 + ("-" in name and not name.endswith("-3"))  # one save more, but where nothing was to be saved


def test_a_disk_that_shows_one_of_them_the_checkpoint_late_is_waited_for(pairs, stage, tmp_path):
    folder, shown = tmp_path / "folder", tmp_path / "shown"
    assert together(stage, 2, (folder, {}, {0: LEARNING + 6})) == ["stopped", "stopped"]
    step = progress_in(folder / "last.safetensors").step
    shown.mkdir()
    ends = in_processes(2, late_member, stage, folder, shown)
    assert step > 0 and [ends.get(timeout=10) for _ in range(2)] == [step, step]
    for file in FILES:
        assert (folder / file).read_bytes() == (pairs / "whole" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Read error [::1]:1: Connection reset by peer",
            True,
        ),
        ("ncclRemoteError: A call failed possibly due to a network error or a remote process exited\nmore", True),
        ("NCCL error: unhandled cuda error", False),
        ("the stored features have another shape", False),
        ("", False),
    ],
)
def test_a_lost_process_is_told_from_an_error_of_ours(words, gone):
    assert lost_peer(RuntimeError(words)) == (words.splitlines()[0] if gone else "")


EXACT = {"precision": "float64", "dropout": 0.0, "epochs": 4}


@pytest.mark.parametrize("size", [2, 3])
def test_after_20_steps_in_float64_the_weights_are_those_of_one_process(stage, tmp_path, size):
    alone, group = tmp_path / "alone", tmp_path / "group"
    calls = iter(range(1, 10000))
    told = LEARNING + 20 + 3 * 3  # learning the inputs, the steps, and three validations of three batches
    with pytest.raises(Stopped):
        keyed(stage, alone, EXACT).run(lambda: next(calls) == told, silent)
    batches = {2: 2, 3: 1}[size]  # in a share of the validation
    assert together(stage, size, (group, EXACT, {0: LEARNING + 20 + 3 * batches})) == ["stopped"] * size
    assert progress_in(alone / "last.safetensors").step == progress_in(group / "last.safetensors").step == 20
    ours, theirs = (load_file(folder / "last.safetensors") for folder in (group, alone))
    assert ours.keys() == theirs.keys()
    weights = [name for name in ours if name.startswith("model.")]
    start = small_crnn(0, 0.0).double().state_dict()
    assert max(float((theirs[name] - start[name.removeprefix("model.")]).abs().max()) for name in weights) > 0.05
    for name in weights:
        assert ours[name].dtype == torch.float64
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-8, msg=name)


def test_with_dropout_the_score_lies_within_what_other_seeds_give(stage, tmp_path):
    keys = {"epochs": 16, "learning_rate": 0.02}
    scores = []
    for seed in range(5):
        one = keyed(stage, tmp_path / f"alone{seed}", {**keys, "weights": seed})
        one.run(silent, silent)
        scores.append(one.progress.best_score)
    together(stage, 2, (tmp_path / "pair", keys, {}))
    score = progress_in(tmp_path / "pair" / "last.safetensors").best_score
    spread = max(scores) - min(scores)
    assert min(scores) - spread / 2 <= score <= max(scores) + spread / 2 and score < 0.25


def test_what_a_pair_began_one_alone_can_end_and_three_can(stage, tmp_path):
    one, three = tmp_path / "one", tmp_path / "three"
    together(stage, 2, (one, EXACT, {1: LEARNING + 9}), (three, EXACT, {1: LEARNING + 9}))
    assert 0 < progress_in(one / "last.safetensors").step == progress_in(three / "last.safetensors").step < 24
    keyed(stage, one, EXACT).run(silent, silent)
    together(stage, 3, (three, EXACT, {}))
    losses = [
        [json.loads(line)["train_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, three)
    ]
    assert len(losses[0]) == 4 and losses[0] == pytest.approx(losses[1], abs=1e-7)


def summed(rank: int, port: int, found: mp.Queue) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    world = Group(CPU)
    model = small_crnn(seed=rank).to(memory_format=torch.channels_last)
    world.from_first(model.state_dict().values())
    draw = torch.Generator().manual_seed(rank)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    mine = [parameter.grad.clone() for parameter in model.parameters()]
    _summed(model, torch.tensor(1.0 + rank), world)
    alike = all(p.stride() == p.grad.stride() for p in model.parameters())
    numbers = [[value.tolist() for value in model.state_dict().values()], [g.sum().item() for g in mine]]
    found.put((alike, [p.grad.sum().item() for p in model.parameters()], *numbers))
    world.close()


def test_all_begin_with_the_first_ones_numbers_and_sum_gradients_as_parameters_lie(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = PROCESSES.Queue()
    members = [PROCESSES.Process(target=summed, args=(rank, port, found)) for rank in (0, 1)]
    for process in members:
        process.start()
    (alike, sums, begins, mine), (others_alike, others_sums, others_begin, theirs) = (
        found.get(timeout=60) for _ in (0, 1)
    )
    for process in members:
        process.join(60)
    assert alike and others_alike and begins == others_begin and sums == others_sums
    assert begins == [value.tolist() for value in small_crnn(seed=0).state_dict().values()]
    assert sums == pytest.approx([one + other for one, other in zip(mine, theirs, strict=True)], abs=1e-3)
