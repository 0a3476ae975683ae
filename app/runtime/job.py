"""A job at work on its stage: what is computed once stays, what is missing is done, and it says so.

with open_job(run, "denoise", spec) as job:
    if not job.complete:
        job.run(denoise_shard, shards, config=run.config)
"""

import errno
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import Stopped, UserError
from app.runtime.desk import Desk, at_work
from app.runtime.files import fingerprint, read_json, write_json
from app.runtime.late_disk import LOOK_S, SEEN_S
from app.runtime.locks import take_lock
from app.runtime.machine import libraries
from app.runtime.room import amount, check_room, no_room
from app.runtime.run import Run
from app.runtime.shards import Shard, clear_all_drafts, clear_drafts, receipt_of
from app.runtime.steps import taken_steps
from app.runtime.tell import span
from app.runtime.worker import Done, ShardWork
from app.runtime.workers import Crew, run_here

FAILED_CLIPS = 20  # so many clips may always fail; beyond, the share runtime.max_failed counts


def stage_name(spec: dict[str, Any]) -> str:
    """JOB-FINGERPRINT of {"job", "version", "config", "inputs"}."""
    return f"{spec['job']}-{fingerprint(spec)}"


def is_complete(stage: Path) -> bool:
    """All planned shards have their receipt."""
    plan = (read_json(stage / "stage.json") or {}).get("shards")
    return plan is not None and all((stage / "shards" / name / "receipt.json").exists() for name in plan)


def counts(stage: Path) -> tuple[int, int]:
    """(clips, failed) of a stage, from the receipts of the shards that took clips in."""
    plan = read_json(stage / "stage.json") or {}
    names = [name for name in plan.get("shards", ()) if name not in plan.get("joined", ())]
    receipts = [receipt for name in names if (receipt := receipt_of(stage / "shards", name))]
    return sum(r["clips"] for r in receipts), sum(r["failed"] for r in receipts)


class Job(Desk):
    """Work on one stage."""

    def __init__(self, run: Run, spec: dict[str, Any], label: str) -> None:
        super().__init__(run, run.runs / "stages" / stage_name(spec), spec["job"], label)
        self.spec = spec
        self.shards = self.folder / "shards"
        self.complete = is_complete(self.folder)
        self.may_fail = False  # any number of its clips

    def run(
        self,
        work: ShardWork,
        shards: list[Shard],
        *,
        preload: str | None,
        row_bytes: Callable[[dict[str, Any]], float],
        after: tuple[str, ...] = (),
        **args: Any,
    ) -> None:
        """Computes the shards that have no receipt yet, each by `work(shard, out, **args)` in a worker process.

        preload: the modules whose import is dear, by name, loaded once for all workers; None: no workers,
        this process does it (it may hold a GPU). row_bytes: what a row will take on disk; the
        job does not begin without room for all. after: names of shards that the job itself
        makes from these, and without which the stage is not whole.
        """
        self.plan([shard.name for shard in shards], after)
        if part := self.run_.part:
            shards = shards[part.number :: part.tasks]
        todo = self._undone(shards)
        kept = [r for s in shards if (r := receipt_of(self.shards, s.name))]
        total = sum(len(shard.rows) for shard in shards)
        before = total - sum(len(shard.rows) for shard in todo)
        clips, failed = before, sum(r["failed"] for r in kept)
        if kept:
            self.say(f"{len(kept)} of {len(shards)} shards are done already")
        started = time.monotonic()
        self.status.update(done=len(kept), total=len(shards), clips=clips, failed=failed)
        self._too_many(failed, total)
        left = {shard.name: sum(map(row_bytes, shard.rows)) for shard in todo}
        check_room(self.folder, sum(left.values()), self.label)
        workers = max(1, min(self.run_.workers, len(todo)))
        done = len(kept)
        self.status.spend(0.0, taken_steps())  # of this process, on its way here
        if preload is None:
            results = run_here(work, todo, self.shards, args, self.run_.stop)
        else:
            if todo:
                crew = f"{workers} workers" if workers > 1 else "1 worker"
                self.say(f"{crew}, at most {amount(self.memory)} of memory, {len(todo)} shards to do")
            results = self._crew(workers, preload).run(work, todo, self.shards, args)
        for one in self._with_room(results, left):
            left.pop(one.shard)
            done, clips, failed = done + 1, clips + one.clips + one.failed, failed + one.failed
            self.status.spend(one.seconds, one.steps, one.shard)
            self.status.held_on_gpu(one.gpu_mb * (workers if preload else 1))
            rate = (clips - before) / (time.monotonic() - started)
            eta = (total - clips) / rate if rate else 0.0
            self.status.update(done=done, clips=clips, failed=failed, rate=round(rate, 2), eta_s=round(eta))
            self.say(
                f"{done}/{len(shards)} shards  {clips} clips  {failed} failed  {rate:.3g} clips/s  eta {span(eta)}"
            )
            self._too_many(failed, total)
        if done < len(shards):
            if not self.run_.stop:
                raise RuntimeError(f"{self.label}: {len(shards) - done} shards were not done")
            raise Stopped(self.run_.stop.reason)

    def _undone(self, shards: list[Shard]) -> list[Shard]:
        """Those without a receipt. Who joins what others have done waits until a network's disk shows it."""
        until = time.monotonic() + (SEEN_S if self.run_.joins else 0.0)
        while True:
            todo = [shard for shard in shards if receipt_of(self.shards, shard.name) is None]
            if not todo or time.monotonic() >= until:
                return todo
            time.sleep(LOOK_S)
            self.run_.stop.leave()

    def _crew(self, workers: int, preload: str) -> Crew:
        settings = self.run_.config.runtime
        return Crew(
            workers,
            self.run_.stop,
            preload,
            self.say,
            allowed=self._allowed,
            over_memory=self.over_memory,
            grace_s=settings.grace_s,
            clip_seconds=settings.clip_seconds,
            bytes_per_s=settings.write_mb_s * 1e6,
            rested=self.rest,
        )

    def _allowed(self) -> int:
        self.heed_gpus()
        return self.neighbours.allowed

    def _with_room(self, results: Iterator[Done], left: dict[str, float]) -> Iterator[Done]:
        """A disk that fills up midway is told with what is free and what the rest needs."""
        try:
            yield from results
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise no_room(self.folder, sum(left.values()), f"{self.label}: {error.strerror}") from None

    def plan(self, names: list[str], joined: tuple[str, ...] = ()) -> None:
        """Notes which shards make the stage whole; `joined` ones are made from the others and add no clips."""
        known = read_json(self.folder / "stage.json") or {}
        new = {**known, "shards": [*names, *joined], "joined": list(joined)}
        if known != new:
            write_json(self.folder / "stage.json", new)

    def _too_many(self, failed: int, total: int) -> None:
        share = self.run_.config.runtime.max_failed
        if not self.may_fail and failed > FAILED_CLIPS and failed > share * total:
            raise UserError(
                f"{self.label}: {failed} of {total} clips failed, more than runtime.max_failed = {share:.1%}",
                f"their causes are in {self.shards}/*/failed.jsonl; mend the corpus, or raise runtime.max_failed",
            )


def _sweep(job: Job) -> None:
    """Drafts that parts left which were killed: they may not know whether others of them are alive."""
    if not any(job.shards.glob(".draft@*")):
        return
    lock = take_lock(job.folder / "lock")
    if lock is not None:
        if lock.works:
            clear_all_drafts(job.shards)
        os.close(lock.handle)


@contextmanager
def open_job(run: Run, part: str, spec: dict[str, Any], gpu: bool = False, may_fail: bool = False) -> Iterator[Job]:
    """A job on the stage that `spec` names; `part` is its place in the run's flow (stages.json).

    One job at a time: a second is refused, naming host and progress of the first. gpu: it
    computes on one, where there is one. may_fail: any number of its clips may, they are the
    user's own. On leaving, the stage's status says done, stopped or failed, and counts are told.
    """
    job = Job(run, spec, part)
    job.may_fail = may_fail
    if job.complete:
        if not run.part:
            run.note_stage(part, job.folder.name)
            _sweep(job)
        clips, failed = counts(job.folder)
        job.say(f"done already: {clips} clips, {failed} failed  ({job.folder})")
        job._too_many(failed, clips + failed)
        yield job
        return
    with at_work(job, gpus=int(gpu)) as locked:
        if read_json(job.folder / "stage.json") is None:
            made_on = {"machine": platform.machine(), "python": platform.python_version(), **libraries()}
            write_json(job.folder / "stage.json", {**spec, "made_on": made_on})
        clear_drafts(job.shards, locked)
        yield job
        job.complete = is_complete(job.folder)
        if job.complete and locked:
            clear_all_drafts(job.shards)
        if not job.complete and not run.part:
            raise RuntimeError(f"{job.folder}: not all planned shards have a receipt")
        if not run.part:  # others note other stages of this run at the same time
            run.note_stage(part, job.folder.name)
    if run.part:
        job.say(f"done; the stage {'is whole' if job.complete else 'waits for other parts'}  ({job.folder})")
        return
    clips, failed = counts(job.folder)
    job.say(f"done: in {clips + failed} = out {clips} + failed {failed}  ({job.folder})")
