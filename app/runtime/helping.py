"""What the other nodes of a job do: they find it, start what it asks for, and leave when it is over."""

import os
import queue
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from app.errors import Stopped, UserError
from app.runtime.agent import end_agent, plain, start_agent
from app.runtime.files import read_json
from app.runtime.gpus import TakenGpus, taken_gpus
from app.runtime.neighbours import Neighbours
from app.runtime.nodes import COME_S, Node, attempt, meeting_file
from app.runtime.nvml import GpuLost
from app.runtime.run import Run
from app.runtime.talk import Line, Message, call
from app.runtime.tell import tell

LOOK_S = 0.2


def help_out(run: Run, job: str, node: Node) -> None:
    """Until the job is over, or this node was told to stop before it has found it. UserError where it cannot."""
    label = f"{job}  node {node.number} of {node.total}"
    found = _found(run, job, label)
    if found is None:
        return
    line, secret = found
    neighbours = Neighbours(run.runs, run.workers, run.config.runtime)
    with ExitStack() as leaving:
        leaving.callback(line.close)
        neighbours.start()
        leaving.callback(neighbours.end)
        run.stop.no_grace()  # when it was told to stop it is the job that ends it, after its save
        tell(f"{label}: helps the one on {plain(line.ends[1])}")
        _Help(run, line, secret, label, neighbours, leaving).run({"node": node.number, "host": socket.gethostname()})
    tell(f"{label}: the first one has left")


def _found(run: Run, job: str, label: str) -> tuple[Line, str] | None:
    """A line to the job and the secret, as soon as it is there; None: told to stop before."""
    path, began, said = meeting_file(run.folder, job), time.monotonic(), False
    while not run.stop:
        told = _read(path)
        if told.get("over") == attempt():
            tell(f"{label}: the first one has left already")
            return None
        for address in told.get("at", []):
            try:
                return call(address, told["secret"]), told["secret"]
            except OSError:
                pass  # of another attempt, or not by this way
        now = time.monotonic()
        if not said and now - began > 5:
            tell(f"{label}: looks for the first one ({path})")
            said = True
        if now - began > COME_S:
            raise UserError(
                f"{label}: the first one was not found within {COME_S / 60:.0f} minutes"
                + (f"; tried {', '.join(told['at'])}" if "at" in told else f": there is no {path}"),
                "start it there (NODE=0/2), with the same RUN and RUNS; all nodes must reach each other by TCP",
            )
        time.sleep(LOOK_S)
    return None


def _read(path: Path) -> dict[str, Any]:
    """What the first one has written there; {} while there is nothing, or what another user wrote."""
    try:
        told: dict[str, Any] = (read_json(path) or {}) if path.stat().st_uid == os.getuid() else {}
    except OSError:  # not there, or a network's disk has replaced it meanwhile
        return {}
    return told


class _Help:
    """As the job asks, over `line`."""

    def __init__(
        self, run: Run, line: Line, secret: str, label: str, neighbours: Neighbours, leaving: ExitStack
    ) -> None:
        self.run_, self.line, self.secret, self.label = run, line, secret, label
        self.neighbours, self.leaving = neighbours, leaving
        self.gpus: TakenGpus | None = None
        self.agent: subprocess.Popen[bytes] | None = None
        self.attempt = 0
        self.share, self.told = 1.0, False
        self.asked: queue.Queue[Message | None] = queue.Queue()
        self.over = threading.Event()

    def run(self, hello: Message) -> None:
        """hello: who we are."""
        try:
            self.line.send(hello)
        except OSError:
            return
        threading.Thread(target=self._hear, daemon=True).start()
        self.leaving.callback(self._end)
        while True:
            try:
                message = self.asked.get(timeout=LOOK_S)
            except queue.Empty:
                message = {}
            if message is None:
                return
            try:
                if message:
                    self._do(**message)
            except UserError as error:
                self._send("failed", words=[error.what, error.fix])
                raise
            except OSError as error:
                self._send("failed", words=[str(error), "see what that node lacks; the same command goes on"])
                raise
            self._look()

    def _hear(self) -> None:
        while message := self.line.receive():
            self.asked.put(message)
        self.over.set()
        self.asked.put(None)

    def _leave(self) -> None:
        if self.over.is_set():
            raise Stopped("the first one has left")
        self.run_.stop.leave()

    def _send(self, what: str, **values: Any) -> None:
        """If the other end is gone, that is heard too."""
        with suppress(OSError):
            self.line.send({"what": what, **values})

    def _do(self, what: str, **values: Any) -> None:
        if what == "gpus":
            try:
                count = self._take_gpus(values["count"])
                self._send(what, count=count)
            except GpuLost as lost:
                self.told = True
                self._send("told", reason=str(lost))
            except Stopped:
                pass  # told to the job at the next look; it then leaves, and we with it
        elif what == "start":
            self._end()
            self.attempt = values["attempt"]
            address, own = f"{self.line.ends[1]}:{values['port']}", plain(self.line.ends[0])
            self.agent = start_agent(values["words"], address, self.secret, own)
        elif what == "end":
            self._end()

    def _take_gpus(self, count: int) -> int:
        """How many there are now. They are kept until all is over."""
        if self.gpus is None:
            wanted = self.run_.config.runtime.model_copy(update={"max_gpus": count})
            self.gpus = self.leaving.enter_context(
                taken_gpus(
                    self.run_.runs,
                    self.label,
                    wanted,
                    wait_state=lambda why, since: None,
                    say=lambda words: tell(f"{self.label}: {words}"),
                    leave=self._leave,
                )
            )
        return len(self.gpus.gpus)

    def _look(self) -> None:
        """Tells what the job must know: that an agent has ended, that cores are wanted by others, that we must go."""
        if self.agent and (code := self.agent.poll()) is not None:
            self.agent = None
            self._send("ended", code=code, attempt=self.attempt)
        if self.neighbours.share != self.share:
            self.share = self.neighbours.share
            if self.neighbours.yielding:
                tell(f"{self.label}: others want {self.neighbours.others:.1f} cores here, the job waits for them")
            self._send("share", share=self.share)
        if not self.told and (why := self._why_to_go()):
            self.told = True
            self._send("told", reason=why)

    def _why_to_go(self) -> str:
        try:
            if self.gpus:
                self.gpus.check()
            return self.run_.stop.reason if self.run_.stop else self.gpus.hours_over() if self.gpus else ""
        except GpuLost as lost:
            return str(lost)

    def _end(self) -> None:
        """No answer: who asked does not wait for it."""
        if self.agent:
            end_agent(self.agent)
            self.agent = None
