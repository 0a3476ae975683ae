"""Trains the models of the ladder, quickest first; keeps the best epoch on *select*, calibrates on *calibrate*."""

import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.config.ladder import LADDER
from app.errors import UserError
from app.learning.timing import training_seconds
from app.runtime.desk import Desk, at_work
from app.runtime.files import point_link, read_json, sha256_of, write_json
from app.runtime.made import note_made
from app.runtime.room import check_room
from app.runtime.run import Run, job_main
from app.runtime.seat import worked_s
from app.runtime.tell import span
from jobs.chain import model_folder, model_spec, stage_of
from jobs.terminal import table
from jobs.training import Sources, processes_for, shared_out, sources_of, trainer_of
from jobs.valid import write_valid


def train(run: Run) -> None:
    """Trains the models of the ladder, quickest first; the best epoch on *select* is kept."""
    from app.scoring.calibration import Calibration

    found = [train_model(run, name) for name in run.config.train.models]
    table(
        "Models, by official score on select (lower is better)",
        [
            {
                "model": m["name"],
                "select score": m["select"]["select_score"],
                "select AUC": m["select"]["select_auc"],
                "best epoch": m["best_epoch"],
                "calibration fake": Calibration.from_json(m["calibration"]).words[0],
                "calibration real": Calibration.from_json(m["calibration"]).words[1],
                "seconds": round(m["seconds"]),
            }
            for m in found
        ],
    )


def train_model(
    run: Run, name: str, link: bool = True, after_epoch: Callable[[dict[str, Any]], None] = lambda metrics: None
) -> dict[str, Any]:
    """One model to its end, if it is not there; returns model.json, and the seconds that it took.

    link: models/NAME leads to it from now on. after_epoch: gets the metrics of each, and may raise Stopped.
    """
    sources = sources_of(run, name)
    desk = Desk(run, model_folder(run, name), "train", f"train {name}")
    ready = ready_in(desk.folder)
    if ready:
        _check_front(run, name, desk.folder, ready)
        desk.say(f"done already: score {ready['select']['select_score']:.4f} on select  ({desk.folder})")
    else:
        with at_work(desk, gpus=run.config.runtime.max_gpus):
            write_json(desk.folder / "train.json", model_spec(run, name))
            gpus = [gpu.name for gpu in desk.gpus.gpus]
            note_made(desk.folder / "made.json", gpus, config=run.config.model_dump(mode="json"))
            ready = _train_one(run, desk, name, sources, after_epoch)
    if link:  # models/NAME: the one of this config
        point_link(desk.folder.with_name(name), Path(desk.folder.name))
    return {**ready, "seconds": training_seconds(desk.folder)}


def _check_front(run: Run, name: str, folder: Path, ready: dict[str, Any]) -> None:
    """UserError where the config names a front end's weights that this model was not trained on."""
    if "ssl" in LADDER[name].keys and run.config.train.ssl_weights != ready["config"]["train"]["ssl_weights"]:
        from app.learning.checkpoint import load_checkpoint
        from app.models.registry import build

        load_checkpoint(folder / "best.safetensors", build(name, run.config))


def ready_in(folder: Path) -> dict[str, Any] | None:
    """model.json, if the weights it speaks of are those that lie there; else both are written again."""
    ready: dict[str, Any] | None = read_json(folder / "model.json")
    weights = folder / "best.safetensors"
    return ready if ready and weights.exists() and sha256_of(weights) == ready["weights_sha256"] else None


def _train_one(
    run: Run, desk: Desk, name: str, sources: Sources, after_epoch: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    import torch

    from app.compat import device_within, give_back_memory, use_threads
    from app.features.store import STORES
    from app.learning.checkpoint import load_checkpoint, progress_in
    from app.learning.fit import fit_in_closed_form
    from app.learning.lost import leaving_a_lost_gpu
    from app.learning.selection import targets_of
    from app.models.registry import build

    folder, how = desk.folder, run.config.train
    stage, store = Path(sources.extracted), STORES[LADDER[name].reads]
    splits = {split: store(stage, (split,)) for split in ("train", "select", "calibrate")}
    for split, data in splits.items():
        for column, values in zip(("fake", "real"), targets_of(data).T, strict=True):
            if values.min() == values.max():
                raise UserError(
                    f"{split}: all {len(values)} clips have {column} = {values[0]:g}, nothing can be learnt or scored",
                    "give mix.states a share of clips with and without such a voice, or plan more clips",
                )
    desk.status.update(clips=len(splits["train"]))
    torch.manual_seed(run.config.training_seed)
    model = build(name, run.config)
    # weights, average, best weights and two moments, the draft of each while it is replaced, and best.safetensors
    check_room(folder, 12 * sum(p.numel() * p.element_size() for p in model.parameters()), desk.label)
    fits, teller = getattr(model, "trains_in_closed_form", False), _teller(desk, how.epochs, after_epoch)
    count = 1 if fits else processes_for(run.config, len(desk.gpus.gpus))
    together = not fits and (count > 1 or run.nodes is not None)
    if together:  # before CUDA begins here: its memory is theirs, and what a model before took of it
        give_back_memory()
        counts = [count, *_counts_of_others(run, desk, count)]
        where = f"{sum(counts)} {'GPUs' if desk.gpus.gpus else 'processes of the CPU'}"
        desk.say(f"on {where}{f' of {len(counts)} nodes' if run.nodes else ''}: {_sizes(splits)}")
        _train_together(run, desk, name, sources, counts, teller)
    # what is fitted needs no GPU, and leaves it untouched for those after it: one may be for one process alone
    wanted = "cpu" if fits else run.config.runtime.device
    device = device_within(wanted, run.config.runtime.gpu_memory_share)
    threads, renderers = (run.workers, 0) if fits else shared_out(run.config, run.workers, device.type == "cuda")
    use_threads(threads)
    with leaving_a_lost_gpu():
        if together:
            best = load_checkpoint(folder / "best.safetensors", model)
            progress = progress_in(folder / "last.safetensors") or best
        elif fits:
            desk.say(f"on the CPU: {_sizes(splits)}")
            desk.status.update(total=1, unit="fits")
            train_on, select_on = splits["train"], splits["select"]
            progress = fit_in_closed_form(folder, model, train_on, select_on, how.batch_clips, desk.breathe)
            desk.status.update(done=1)
        else:
            desk.say(f"on {device}: {_sizes(splits)}")
            if how.on_the_fly:
                desk.say(f"each epoch is mixed anew, by {renderers or 'this one'} beside {threads} to compute")
            ears = {"say": desk.say, "saving": run.stop.saving}
            trainer = trainer_of(run.config, name, sources, folder, device, renderers, **ears)
            if trainer.progress.step:
                desk.say(f"goes on after step {trainer.progress.step}, epoch {trainer.progress.epoch}")
            trainer.run(lambda: run.stop and run.stop.reason, teller, between=desk.breathe)
            progress, model = trainer.progress, trainer.learner.model
        ready = _finish(desk, name, model.to(device).float(), device, splits, progress, how.batch_clips)
    if ready["too_good"]:
        desk.say(f"warning: {ready['too_good']}")
    score = f"{ready['select']['select_score']:.4f} on select, calibrated"
    early = f"; no better one until epoch {progress.epoch} (train.patience)" if 1 < progress.epoch < how.epochs else ""
    desk.say(f"done: score {score}, after epoch {progress.best_epoch}{early}  ({folder})")
    return ready


def _sizes(splits: dict[str, Any]) -> str:
    return ", ".join(f"{len(data)} {split}" for split, data in splits.items()) + " clips"


def _counts_of_others(run: Run, desk: Desk, count: int) -> list[int]:
    """Processes on each of the nodes that help, once all of them are there: as many as here, or one for each GPU."""
    if run.nodes is None:
        return []
    run.nodes.gather(desk.say, run.stop.leave)
    desk.status.update(host=", ".join([socket.gethostname(), *(helper.host for helper in run.nodes.helpers)]))
    if not desk.gpus.gpus:
        return [count for _ in run.nodes.helpers]
    found = [helper.ask("gpus", run.stop.leave, count=count)["count"] for helper in run.nodes.helpers]
    for helper, gpus in zip(run.nodes.helpers, found, strict=True):
        if not gpus:
            raise UserError(f"node {helper.number} ({helper.host}) has no GPU, and this one has", "DEVICE=cpu on all")
    return found


def _train_together(run: Run, desk: Desk, name: str, sources: Sources, counts: list[int], teller: Any) -> None:
    """By so many processes on each node, each of which has its own GPU or its share of the cores there."""
    from app.learning.checkpoint import Progress
    from app.runtime.crew import Crew

    saves = contextlib.ExitStack()

    def hear(told: dict[str, Any]) -> None:
        if told["what"] == "say":
            desk.say(told["line"])
        elif told["what"] == "tell":
            teller(Progress(told["step"], told["epoch"]), told["steps"], told["metrics"])
        elif told["on"]:
            saves.enter_context(run.stop.saving())
        else:
            saves.close()

    task = {
        "config": run.config.model_dump(mode="json"),
        "model": name,
        "sources": list(sources),
        "folder": str(desk.folder),
        "gpus": bool(desk.gpus.gpus),
        "workers": run.workers,
    }
    with saves:
        Crew("jobs.rank", counts, task, run.nodes).run(desk.breathe, hear)


def _finish(
    desk: Desk, name: str, model: Any, device: Any, splits: dict[str, Any], progress: Any, batch_clips: int
) -> dict[str, Any]:
    """Calibrates the model, which has its best weights; model.json comes last and says that all is there."""
    from app.features.at_once import AtOnce, clips_for
    from app.learning.predict import logits_of
    from app.learning.selection import select_metrics, targets_of
    from app.scoring.calibration import apply_calibration, calibrated_logits, choose_calibration
    from app.scoring.decisions import thresholds_of
    from app.scoring.evaluation import evaluate_scores
    from app.scoring.scored import Scored
    from app.scoring.suspicion import too_good

    folder, room = desk.folder, AtOnce(clips_for(model, batch_clips, device), say=desk.say)
    logits, began = {}, worked_s()
    for split in ("select", "calibrate"):
        logits[split] = logits_of(model, splits[split], room, device, desk.breathe)
    speed = sum(map(len, logits.values())) / max(worked_s() - began, 1e-6)
    told = {"clips_per_s": round(speed, 2), "device": device.type, "threads": desk.run_.workers}
    write_json(folder / "speed.json", told)
    targets = {split: targets_of(splits[split]) for split in logits}
    fitted = choose_calibration(
        logits["calibrate"],
        targets["calibrate"],
        desk.run_.config.seed,
        others=(logits["select"], targets["select"]),  # a kind that misleads on these voices is not taken
    )
    answers = apply_calibration(logits["select"], fitted)
    thresholds = thresholds_of(targets["calibrate"], apply_calibration(logits["calibrate"], fitted))
    unseen = Scored("select", [row.id for row in splits["select"].rows], targets["select"], answers)
    tried = evaluate_scores(unseen, resamples=0)
    ids = {split: [row.id for row in data.rows] for split, data in splits.items()}
    write_valid(folder / "valid.csv", ids, logits)
    write_json(folder / "calibration.json", {**fitted.as_json(), "clips": len(splits["calibrate"])})
    ready = {
        "name": name,
        # as it will answer: calibrated
        "select": select_metrics(calibrated_logits(logits["select"], fitted), splits["select"]),
        "calibration": fitted.as_json(),
        "thresholds": [threshold._asdict() for threshold in thresholds],
        "prevalence": targets["calibrate"].mean(0).tolist(),
        # how far the numbers may be trusted: on *select*, whose clips fitted neither weights nor calibration's numbers
        "trust": {
            "clips": tried.clips,
            "ece": tried.score.ece,
            "ece_by_chance": tried.ece_floor.mean,
            "eer": [tried.score.fake_eer, tried.score.real_eer],
        },
        "too_good": too_good(name, tried.score, tried.clips),
        # so that the folder alone can score
        "config": desk.run_.config.model_dump(mode="json", exclude={"runtime"}),
        "parameters": sum(p.numel() for p in model.parameters()),
        "plan": stage_of(desk.run_, "mix").name,  # of its clips: scores of another plan are of other clips
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "weights_sha256": sha256_of(folder / "best.safetensors"),
        "device": device.type,
    }
    write_json(folder / "model.json", ready)
    return ready


def _teller(desk: Desk, epochs: int, after_epoch: Callable[[dict[str, Any]], None]) -> Any:
    """Keeps the status in step, and says a line an epoch, or one in ten seconds while an epoch is long."""
    import time

    first: list[tuple[float, int]] = []  # when, and after which step
    said = [time.monotonic()]

    def tell(progress: Any, steps: int, metrics: dict[str, Any] | None) -> None:
        now = time.monotonic()
        if not first or progress.step < first[0][1]:  # a crew that began again
            first[:] = [(now, progress.step)]
        rate = (progress.step - first[0][1]) / max(now - first[0][0], 1e-6)
        eta = (epochs * steps - progress.step) / rate if rate else None
        desk.status.update(
            done=progress.step, total=epochs * steps, unit="steps", rate=round(rate, 2), eta_s=eta and round(eta)
        )
        left = f"eta {span(eta)}" if eta is not None else ""
        if metrics:
            numbers = "  ".join(f"{key} {value:.4f}" for key, value in metrics.items() if key != "epoch")
            desk.say(f"epoch {progress.epoch}/{epochs}  {numbers}  {left}")
            said[0] = now
            after_epoch(metrics)
        elif now - said[0] > 10:
            desk.note(f"step {progress.step}/{epochs * steps}  {rate:.2g} steps/s  {left}")
            said[0] = now

    return tell


if __name__ == "__main__":
    sys.exit(job_main(train))
