"""A few processes that compute shards. The job counts, logs, listens and watches; only workers touch audio.

A worker does a whole shard and commits it itself. One that is killed costs its shard
another try, with fewer clips at a time; one that crashes or hangs costs the clip it had
in hand, if that clip does it twice. What was committed stays committed.
"""

import multiprocessing as mp
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from app.errors import Stopped, UserError
from app.runtime.hired import Task, Worker
from app.runtime.shards import Shard, clear_draft_of, receipt_of
from app.runtime.stop import STOP_SIGNALS, StopFlag
from app.runtime.worker import Done, Order, ShardWork, do_shard

KILLS = 8  # a shard whose worker was killed so often is too much for this machine
HIRES, HIRE_PAUSE_S = 50, 0.1  # tries to start a worker
FORKSERVER_DIED = 255  # a worker's exit code, when nobody is left to tell the true one
LOOK_S = 0.1
FINISH_SHARE = 0.6  # of the grace, in which a shard may still be finished


@dataclass
class Crew:
    """How the workers of a job work.

    workers: processes at most. allowed: how many of them may work just now. say: tells a line.
    grace_s, clip_seconds, bytes_per_s: as in the config. preload: the modules whose import is dear, by name. rested:
    is told by how many seconds the work is later for workers that were not allowed.
    """

    workers: int
    stop: StopFlag
    preload: str
    say: Callable[[str], None]
    allowed: Callable[[], int]
    over_memory: Callable[[], bool]  # all processes together hold more than they may
    grace_s: float = 20.0
    clip_seconds: float = 300.0
    bytes_per_s: float = 0.0
    rested: Callable[[float], None] = lambda seconds: None

    def run(self, work: ShardWork, todo: list[Shard], shards: Path, args: dict[str, Any]) -> Iterator[Done]:
        """Yields each shard as it is committed; ends early, without an error, when told to stop.

        Raises UserError when the machine has no room for a shard even at its smallest; an exception
        in `work` is passed on as it is.
        """
        self.context = mp.get_context("forkserver")
        self.context.set_forkserver_preload(self.preload.split())  # libraries are loaded once and shared by all workers
        _start_helpers()
        self.seats = self.workers  # fewer, once the memory has shown to be short
        self.queue = deque(Task(Order(shard)) for shard in todo)
        self.crew: list[Worker] = []
        looked = time.monotonic()
        alive, held = self.context.Pipe(duplex=False)  # closes when this process dies, however it dies
        with alive, held:
            try:
                while (self.queue and not self.stop) or self._busy():
                    may_work, before, looked = min(self.seats, self.allowed()), looked, time.monotonic()
                    self._tell_rest(may_work, looked - before)
                    for place, worker in enumerate(self._busy()):
                        worker.rest(place >= may_work and not self.stop)
                    if self.stop:
                        self._wind_down()
                    else:
                        self._hand_out(may_work, work, shards, args, alive)
                        yield from self._done_by_others(shards)
                        if self.over_memory():
                            self._end_the_largest()
                    yield from self._listen(shards)
            finally:
                for worker in self.crew:
                    worker.close()
                    clear_draft_of(shards, worker.process.pid)

    def _tell_rest(self, may_work: int, seconds: float) -> None:
        could = min(self.seats, len(self._busy()) + len(self.queue))  # who have, or would get, something to do
        if could > may_work and not self.stop:
            self.rested(seconds * (1 - may_work / could))

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.crew if worker.task]

    def _hand_out(self, may_work: int, work: ShardWork, shards: Path, args: dict[str, Any], alive: Connection) -> None:
        while self.queue and len(busy := self._busy()) < may_work:
            if busy and any(task.kills >= 2 for task in (self.queue[0], *(w.task for w in busy if w.task))):
                return  # it was too much twice: it is tried alone
            worker = next((worker for worker in self.crew if not worker.task), None)
            if worker is None:
                worker = self._hire(alive)
                self.crew.append(worker)
            worker.give(self.queue.popleft(), work, shards, args)

    def _hire(self, alive: Connection) -> Worker:
        for n in range(HIRES):
            _start_helpers()  # anew, if they were killed
            try:
                return Worker(self.context, alive, self.bytes_per_s / self.workers)
            except (EOFError, ConnectionError):
                if n == HIRES - 1:
                    raise
                time.sleep(HIRE_PAUSE_S)  # the forkserver was killed just now and is not gone yet
        raise AssertionError

    def _done_by_others(self, shards: Path) -> Iterator[Done]:
        """Where locks do not work another job may be at the same stage: what it has committed is not done again."""
        while self.queue and (receipt := receipt_of(shards, self.queue[0].order.shard.name)):
            task = self.queue.popleft()
            yield Done(task.order.shard.name, receipt["clips"], receipt["failed"])

    def _listen(self, shards: Path) -> Iterator[Done]:
        wait([w.pipe for w in self.crew] + [w.process.sentinel for w in self.crew], LOOK_S)
        for worker in list(self.crew):
            if (answer := worker.answer()) and (result := self._answer(worker, answer)):
                yield result
            if worker.hung(self.clip_seconds):
                worker.kill("hung")
                worker.process.join()
            if not worker.process.is_alive():
                self.crew.remove(worker)
                worker.close()
                clear_draft_of(shards, worker.process.pid)
                if worker.task:
                    self._lost(worker, worker.task)

    def _answer(self, worker: Worker, answer: tuple[Any, ...]) -> Done | None:
        task, worker.task = worker.task, None
        assert task is not None
        if answer[0] == "done":
            done: Done = answer[1]
            return done
        if answer[0] == "error":
            answer[1].add_note(f"in a worker:\n{answer[2]}")
            raise answer[1]
        if answer[0] == "memory":
            worker.task = task
            worker.kill("memory")
            worker.process.join()
        if answer[0] == "dropped" and not self.stop:
            self.stop.raise_it(answer[1] or "a worker left")  # not because we told it: its GPU was lost
        return None  # done again next time

    def _lost(self, worker: Worker, task: Task) -> None:
        """A worker died over this task: whose fault was it, and how does it go on?"""
        order, code = task.order, worker.process.exitcode or 0
        row = worker.seat.row
        clip = order.shard.rows[row]["id"] if 0 <= row < len(order.shard.rows) else None
        end = worker.end or ("killed" if code in (-signal.SIGKILL, FORKSERVER_DIED) else "crashed")
        where = f"shard {order.shard.name}" + (f", clip {clip}" if clip else "")
        if end in ("crashed", "hung") and clip:
            task.marks[clip] += 1
            cause = f"crashed ({_name_of(code)})" if end == "crashed" else f"hung for {self.clip_seconds:g} s"
            if task.marks[clip] == 1:
                self.say(f"{where}: its worker {cause}; it is marked and tried once more at the end")
            else:
                order.given_up[clip] = (end, f"its worker {cause} twice")
                self.say(f"{where}: its worker {cause} again; the clip is given up")
        else:
            task.kills += 1
            order.shrink *= 2
            why = {"memory": "used more than its share of memory", "killed": "was killed (out of memory?)"}
            fewer = "with fewer clips at a time if it takes several"
            self.say(f"{where}: its worker {why.get(end, 'died')}; tried again, {fewer}")
            if task.kills >= KILLS:
                raise UserError(
                    f"{where}: its worker was killed {KILLS} times, out of memory or by a crash in a library",
                    "free memory, use fewer WORKERS, or raise runtime.memory_gb",
                )
            self.queue.appendleft(task)  # at once: if it is too much for this machine, that is told early
            return
        self.queue.append(task)

    def _end_the_largest(self) -> None:
        """Gives memory back: the worker that holds most ends, and from now on one fewer works, if there are several."""
        idle, busy = [worker for worker in self.crew if not worker.task], self._busy()
        for worker in idle:
            self.crew.remove(worker)
            worker.close()
        if idle:
            return
        if not busy:
            raise UserError(
                "this job holds more than runtime.memory_gb before any clip is touched",
                "raise runtime.memory_gb; the libraries alone take some 0.3 to 0.8 GB",
            )
        largest = max(busy, key=Worker.resident)
        largest.kill("memory")
        largest.process.join()
        if len(busy) > 1:
            self.seats = len(busy) - 1
            self.say(f"over runtime.memory_gb: {self.seats} of {self.workers} workers go on")

    def _wind_down(self) -> None:
        """Told to stop: a shard that can be finished in time is, the others are dropped at their next clip."""
        left = self.stop.since + self.grace_s * FINISH_SHARE - time.monotonic()
        for worker in self._busy():
            if worker.left_s() > left:
                worker.seat.drop = True


def run_here(work: ShardWork, todo: list[Shard], shards: Path, args: dict[str, Any], stop: StopFlag) -> Iterator[Done]:
    """As Crew.run, in this very process, for work that holds a GPU or is done in a moment."""
    for shard in todo:
        if stop:
            return
        try:
            done = do_shard(work, Order(shard), shards, args)
        except Stopped as stopped:
            stop.raise_it(str(stopped))
            return
        yield done


def _name_of(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _start_helpers() -> None:
    """Starts multiprocessing's own two processes deaf to the stop signals, which a terminal sends to the whole group.

    They inherit the blocked signals, and so do the workers: the job hears and tells them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # it unblocks some on its way
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
