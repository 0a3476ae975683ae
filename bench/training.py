"""What a training step costs, where its time goes, and how far it is from what the machine could do.

    make bench-train            # some twelve minutes
    python -m bench.training [--rounds 5] [--device cpu] [--models crnn,lfcc_lcnn] [--json FILE]

Random features, waveforms and front end of the default shapes (5 s, 32 kHz), for no value changes what a step computes.
Ways take turns within each round; medians are told. On a CPU one thread, on one core, but for the pair of processes;
models whose step would take long there are measured on the few clips that go through at once, and less often.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from safetensors.torch import save_file
from torch import multiprocessing, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from app.compat import device_for
from app.config import Config
from app.config.ladder import LADDER
from app.errors import Stopped
from app.features.at_once import clips_for
from app.features.extract import channel_names
from app.features.store import STORES, Features
from app.learning.loop import Trainer
from app.learning.precision import Precision
from app.learning.world import Alone, Group
from app.models.pretrained import FRONTS
from app.models.registry import NAMES, build
from app.runtime.shards import commit
from app.runtime.steps import taken_steps
from bench.facts import about_this_machine
from jobs.terminal import table

CLIPS, FRAMES, SAMPLES = 256, 501, 160_000
STEPS, LONGEST_S = 8, 15.0  # of a round, and how long it may take
CONFIG = Config()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--models", default=",".join(NAMES), help="of the ladder, with commas between")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/training.json"))
    args = parser.parse_args()
    device = device_for(args.device)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-train-") as scratch:
        stage = made_up_stage(Path(scratch) / "stage")
        machine = about_this_machine(Path(scratch))
        found: dict[str, Any] = {"machine": machine, "device": str(device), "torch": torch.__version__}
        pair = None
        if device.type == "cpu":
            if len(cores) > 1:
                pair = pairs(stage, Path(scratch), args.rounds, cores)
            os.sched_setaffinity(0, cores[:1])
            torch.set_num_threads(1)
        names = [name for name in args.models.split(",") if "epochs" in LADDER[name].keys]
        found |= {"models": [of_model(name, stage, Path(scratch), device, args.rounds) for name in names]}
        found |= {"rnn": rnn(stage, device, args.rounds), "pair": pair}
    show(found)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def made_up_stage(stage: Path) -> Path:
    """CLIPS training clips and a few of *select*, as extract leaves them: features and waveforms in one stage."""
    rng, how = np.random.default_rng(0), CONFIG.extract
    channels = len(channel_names(how))
    for number, (split, clips) in enumerate({"train": CLIPS, "select": 16}.items()):
        with commit(stage / "shards", f"{number:05d}") as out:
            for clip in range(clips):
                fake, real = (int(label) for label in rng.integers(0, 2, 2))
                id = f"{split}{clip}"
                out.done({"id": id, "recording": id, "split": split, "fake": fake, "real": real})
            np.save(out.path / "mel.npy", rng.normal(-40, 10, (clips, how.mels, FRAMES)).astype(np.float16))
            np.save(out.path / "temporal.npy", rng.uniform(0.05, 1, (clips, channels, FRAMES)).astype(np.float32))
            np.save(out.path / "frames.npy", np.full(clips, FRAMES, np.int32))
            np.save(out.path / "wave.npy", rng.normal(0, 3000, (clips, SAMPLES)).astype(np.int16))
            np.save(out.path / "samples.npy", np.full(clips, SAMPLES, np.int32))
    return stage


def trainer(name: str, stage: Path, folder: Path, device: torch.device, world: Alone | None = None) -> Trainer:
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    config = CONFIG
    if name == "ssl_head":
        weights = random_front(CONFIG.train.ssl, folder / "front.safetensors")
        config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"ssl_weights": str(weights)})})
    model = build(name, config)
    clips = clips_for(model, config.train.batch_clips, device)
    how = config.train.model_copy(update={"batch_clips": clips})
    train, select = (STORES[LADDER[name].reads](stage, (split,)) for split in ("train", "select"))
    made = Trainer(folder, model, train, select, how, 1, device, world=world)
    made._learn_inputs(lambda: None)
    return made


def random_front(name: str, path: Path) -> Path:
    """Weights that nobody has trained: they take as long."""
    network = getattr(torchaudio.models, FRONTS[name].factory)()
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def steps_of(one: Trainer, count: int) -> float:
    """Seconds of so many steps, as a training does them, batches waited for and all."""
    taken: list[int] = []

    def enough() -> None:
        taken.append(1)
        if len(taken) == count:
            raise Stopped

    began = time.perf_counter()
    try:
        one.keeping.save = lambda: None  # type: ignore[method-assign]
        one._train_epoch(enough, lambda *_: None)
    except Stopped:
        pass
    _wait(one.device)
    one.progress.step = 0  # the same steps again
    return time.perf_counter() - began


def of_model(name: str, stage: Path, scratch: Path, device: torch.device, rounds: int) -> dict[str, Any]:
    """Seconds a step of a whole batch, the share of it that waits for data, and floating-point operations."""
    one = trainer(name, stage, scratch / name, device)
    print(f"bench-train  {name}", file=sys.stderr)
    whole = CONFIG.train.batch_clips / one.cfg.batch_clips
    count = max(1, min(STEPS, round(LONGEST_S / steps_of(one, 1))))
    taken_steps()
    steps, peaks, waits = [], [], []
    for _ in range(rounds):
        seconds = steps_of(one, count)
        spent = taken_steps()
        steps.append(whole * seconds / count)
        waits.append(spent["wait for a batch"] / seconds)
        peaks.append(peak_flops(device, one.learner.precision))
    batch, _ = next(iter(one.supply.batches(0, 0)))
    with FlopCounterMode(display=False) as counter:
        nn.functional.binary_cross_entropy_with_logits(one.learner.model(batch), batch.targets).backward()
    flops = whole * counter.get_total_flops()
    return {
        "model": name,
        "parameters": sum(p.numel() for p in one.learner.model.parameters()),
        "measured_clips": one.cfg.batch_clips,
        "step_s": statistics.median(steps),
        "spread": (max(steps) - min(steps)) / statistics.median(steps),
        "waits": statistics.median(waits),
        "flops": flops,
        "peak_flops": statistics.median(peaks),
        "floor_s": flops / statistics.median(peaks),
    }


def peak_flops(device: torch.device, precision: Precision) -> float:
    """Operations a second of a large matrix product, in what the model computes in, on the same cores."""
    size = 1024 if device.type == "cpu" else 8192
    left = torch.randn(size, size, device=device)
    with precision.autocast():
        left = left @ left  # in half, where a product is
        left @ left
        _wait(device)
        began = time.perf_counter()
        for _ in range(4):
            left @ left
        _wait(device)
    return 4 * 2 * size**3 / (time.perf_counter() - began)


def rnn(stage: Path, device: torch.device, rounds: int) -> dict[str, float]:
    """Forward and backward of the crnn's RNN: turned within each clip's length, and packed. Clips of many lengths."""
    torch.manual_seed(0)
    model: Any = build("crnn", CONFIG).to(device)
    packed = nn.GRU(CONFIG.train.rnn_hidden, CONFIG.train.rnn_hidden, batch_first=True, bidirectional=True).to(device)
    full = Features(stage, ("train",)).batch(np.arange(CONFIG.train.batch_clips)).to(device)
    lengths = torch.from_numpy(np.random.default_rng(0).integers(FRAMES // 3, FRAMES + 1, len(full.targets)))
    batch = full._replace(frames=lengths.to(device), padded=True)
    with torch.no_grad():
        model.learn(lambda: [batch])
        _, temporal, mask = model.inputs(batch)
    there = mask[..., ::4]

    def steps() -> Any:
        near = model.near(temporal, mask[..., ::2])
        return model.far(near, there)

    def ours() -> None:
        model.both_directions(steps(), there).sum().backward()

    def theirs() -> None:
        values = steps().transpose(1, 2)
        held = pack_padded_sequence(values, there.sum((1, 2)).long().cpu(), batch_first=True, enforce_sorted=False)
        both, _ = pad_packed_sequence(packed(held)[0], batch_first=True, total_length=values.shape[1])
        (both.transpose(1, 2) * there).sum().backward()

    return timed({"masked": ours, "packed": theirs}, device, rounds)


def timed(ways: dict[str, Callable[[], None]], device: torch.device, rounds: int) -> dict[str, float]:
    """Median seconds of each, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            _wait(device)
            began = time.perf_counter()
            way()
            _wait(device)
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def pairs(stage: Path, scratch: Path, rounds: int, cores: list[int]) -> dict[str, float]:
    """Seconds a step of one process on one core, and of two on one each, by turns; the batch is the same.

    apart: of two that know nothing of each other, with a batch of their own: what the machine lets two do at all.
    """
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = context.Queue()
    turn = context.Barrier(2)
    args = (stage, scratch / "pair", rounds, cores, port, turn, answers)
    both = [context.Process(target=_of_pair, args=(rank, *args)) for rank in (0, 1)]
    for process in both:
        process.start()
    found: dict[str, float] = answers.get()
    for process in both:
        process.join()
    return found


def _of_pair(
    rank: int, stage: Path, folder: Path, rounds: int, cores: list[int], port: int, turn: Any, answers: Any
) -> None:
    os.sched_setaffinity(0, {cores[rank]})
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    device = torch.device("cpu")
    world = Group(device)
    alone, together = trainer("crnn", stage, folder, device), trainer("crnn", stage, folder, device, world)
    steps_of(together, 2)
    found: dict[str, list[float]] = {"one": [], "apart": [], "two": []}
    for _ in range(rounds):
        if rank == 0:
            found["one"].append(steps_of(alone, STEPS) / STEPS)
        turn.wait()
        found["apart"].append(steps_of(alone, STEPS) / STEPS)
        turn.wait()
        found["two"].append(steps_of(together, STEPS) / STEPS)
        turn.wait()
    world.close()
    if rank == 0:
        answers.put({name: statistics.median(values) for name, values in found.items()})


def show(found: dict[str, Any]) -> None:
    table(
        f"A step of {CONFIG.train.batch_clips} clips on {found['device']}",
        [
            {
                "model": row["model"],
                "parameters": row["parameters"],
                "steps/s": f"{1 / row['step_s']:.2g}"
                + ("" if row["measured_clips"] == CONFIG.train.batch_clips else f" (by {row['measured_clips']} clips)"),
                "spread": f"{row['spread']:.0%}",
                "waits for data": f"{row['waits']:.1%} (below 5 %: {'met' if row['waits'] < 0.05 else 'MISSED'})",
                "GFLOP": f"{row['flops'] / 1e9:.1f}",
                "floor": f"{1000 * row['floor_s']:.0f} ms",
                "step": f"{1000 * row['step_s']:.0f} ms",
                "of the floor": f"{row['step_s'] / row['floor_s']:.1f} times",
            }
            for row in found["models"]
        ],
    )
    masked, packed = found["rnn"]["masked"], found["rnn"]["packed"]
    print(f"RNN without packing {1000 * masked:.1f} ms, with pack_padded_sequence {1000 * packed:.1f} ms: "
          f"{packed / masked:.2f} times", file=sys.stderr)  # fmt: skip
    if found["pair"]:
        one, two = found["pair"]["one"], found["pair"]["two"]
        verdict = "met" if one / two >= 1.8 else "MISSED"
        print(f"one process on one core {1000 * one:.0f} ms a step, two on one each {1000 * two:.0f} ms: "
              f"{one / two:.2f} times as fast (1.8 times: {verdict}); two that train apart, each beside the other: "
              f"{2 * one / found['pair']['apart']:.2f} times", file=sys.stderr)  # fmt: skip
    print("  ".join(f"{key} {value}" for key, value in found["machine"].items()))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
