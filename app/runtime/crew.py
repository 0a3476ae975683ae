"""Processes that do one job together, started by torchrun. The job stays: its are lock, status, log and signals.

They talk over a socket, a line of JSON there and one back; `member.py` is their end of it. On several nodes each has an
agent of torchrun, of which the job starts its own, and has the others started (nodes.py).
"""

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from app.errors import Diverged, NoRoom, Stopped, UserError
from app.runtime.agent import end_agent, start_agent
from app.runtime.nodes import Nodes
from app.runtime.talk import Line, Message, listening

RESTARTS = 3  # of all members, each time one of them dies
LAST_S = 8.0  # for the others to leave, once a member has come to another end than a good one
LOOK_S = 0.1

ENDS: dict[str, Callable[..., Exception]] = {
    "Diverged": Diverged,
    "NoRoom": NoRoom,
    "Stopped": Stopped,
}  # else UserError


class Crew:
    """Processes of `module`, each of which is given `task` (anything that JSON holds).

    counts: how many on each node, this one first; `nodes` are the others, where there are some.
    """

    def __init__(self, module: str, counts: list[int], task: Message, nodes: Nodes | None = None) -> None:
        self._module, self._counts, self._task, self._nodes = module, counts, task, nodes
        self._secret = nodes.secret if nodes else secrets.token_hex(32)
        self._left: Exception | None = None  # why all are to leave
        self._leaving, self._ends = threading.Condition(), 0  # members that came to another end than a good one
        self._saves = 0  # that are under way
        self._ended = threading.Event()  # all have, or one has and the others did not follow

    def run(self, breathe: Callable[[], None], hear: Callable[[Message], None]) -> None:
        """Until all are done.

        breathe: called between the steps of the first member, while which all wait; hear: gets what members tell.
        Raises what `breathe` or `hear` raised once they have left; UserError or Stopped where a member ended by one;
        Stopped where a node is gone; RuntimeError where they died more than RESTARTS times.
        """
        total, code = sum(self._counts), 0

        def talk(line: Line) -> None:
            while message := line.receive():
                line.send(self._answer(message, breathe, hear))

        with listening(self._secret, talk, everywhere=self._nodes is not None) as address:
            for again in range(RESTARTS + 1):
                if again:
                    hear({"what": "say", "line": f"one of {total} processes died: all begin again, from what is saved"})
                code = self._attempt(address)
                if self._left:
                    raise self._left
                if not code:
                    return
                breathe()  # who was told to stop has left, whatever became of the others
        raise RuntimeError(f"the {total} processes of {self._module} died (exit code {code})")

    def _attempt(self, address: str) -> int:
        """0, or the exit code of an agent whose members died; all of them have ended then."""
        self._saves = 0
        agents: list[Any] = []
        codes = [0]
        try:
            self._start(address, agents)
            while not self._ended.is_set():
                codes = [code for agent in agents if (code := agent.poll()) is not None]
                if any(codes) or len(codes) == len(agents):
                    break
                time.sleep(LOOK_S)
            until = time.monotonic() + 2.0  # what has nothing more to do leaves by itself
            while self._ended.is_set() and agents[0].poll() is None and time.monotonic() < until:
                time.sleep(LOOK_S)
        finally:
            for helper in self._nodes.helpers if self._nodes else []:
                with contextlib.suppress(Stopped, UserError):  # it is gone, which is told already
                    helper.end()
            for agent in agents[:1]:
                end_agent(agent)
        return max(codes, key=abs, default=0)

    def _answer(self, message: Message, breathe: Callable[[], None], hear: Callable[[Message], None]) -> Message:
        what = message.pop("what")
        if what == "task":
            return self._task
        if what == "breathe":
            if message["rank"] == 0 and not self._left:
                try:
                    breathe()
                except Exception as error:  # the job's own thread raises it again
                    self._left = error
            return {"leave": str(self._left) or "the job failed"} if self._left else {}
        if what == "end":
            kind, words = message["kind"], message["words"]
            self._left = self._left or ENDS.get(kind, UserError)(*words)
            self._wait_for_the_others()
            return {}
        if what == "saving":
            with self._leaving:
                self._saves += 1 if message["on"] else -1
        try:
            hear({"what": what, **message})
        except Exception as error:  # told at their next breath
            self._left = self._left or error
        return {}

    def _wait_for_the_others(self) -> None:
        """A member that left first would look to the others as one that died. A save is let end, however long it is."""
        last = time.monotonic() + LAST_S
        with self._leaving:
            self._ends += 1
            self._leaving.notify_all()
            while self._ends < sum(self._counts) and (self._saves or time.monotonic() < last):
                self._leaving.wait(LOOK_S)
        self._ended.set()

    def _start(self, address: str, agents: list[Any]) -> None:
        """Adds agents, our own first; where one cannot be started, those before it are there."""
        last = ["-m", self._module]
        if self._nodes is None:
            words = ["--standalone", f"--nproc-per-node={self._counts[0]}", *last]
            agents.append(start_agent(words, address, self._secret))
            return
        for helper in self._nodes.helpers:
            helper.check()
        own = self._nodes.address
        meeting = [f"--nnodes={self._nodes.count}", f"--master-addr={own}", f"--master-port={_free_port()}"]
        each = [
            [*meeting, f"--node-rank={number}", f"--nproc-per-node={count}", *last]
            for number, count in enumerate(self._counts)
        ]
        agents.append(start_agent(each[0], f"{own}:{address}", self._secret, own))
        for helper, words in zip(self._nodes.helpers, each[1:], strict=True):
            helper.start(words, address)
            agents.append(helper)


def _free_port() -> int:
    with socket.create_server(("", 0)) as held:
        return int(held.getsockname()[1])
