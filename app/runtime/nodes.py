"""A job on several nodes: it runs on the first one; the others help, until it is over.

They find it by a file in the run folder, which only its owner can read: where it listens, and the secret to prove.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from app.errors import Stopped, UserError
from app.runtime.agent import plain
from app.runtime.files import read_json, replacing, write_json
from app.runtime.talk import Line, Message, listening

OVER_NODES = ("train", "ladder", "sweep", "seeds")
BRIDGES = ("docker", "br-", "veth", "virbr", "cni", "podman", "lxc", "lxd")  # the same addresses on every machine
LONGEST_OVER = 100  # bytes of a file that says that a job is over
ASK_S = 30.0  # between two words about those that are still to come
COME_S = 900.0  # for all to come; a network's disk may show the file a minute late


class Node(NamedTuple):
    """The `number`th of `total`, from 0."""

    number: int
    total: int


def node_of(text: str | None, job: str) -> Node | None:
    """ "1/2" as a Node, or "2" with the number that Slurm gives this task; None for one alone.

    UserError for anything else, and for a job that is not spread over nodes.
    """
    number = os.environ.get("SLURM_NODEID", "")
    found = re.fullmatch(r"(\d+)/(\d+)", f"{number}/{text}" if text and text.isdigit() and number else text or "0/1")
    if not found or int(found[1]) >= int(found[2]):
        raise UserError(f"NODE={text} is no node", "NODE=0/2 on the first of two machines, NODE=1/2 on the other")
    node = Node(int(found[1]), int(found[2]))
    if node.total == 1:
        return None
    if job not in OVER_NODES:
        raise UserError(f"NODE={text}: {job} is not spread over nodes", f"only {', '.join(OVER_NODES)}")
    return node


def attempt() -> str:
    """Which try of Slurm's this is, and which srun in it; "" without one."""
    known = os.environ.get
    return f"{known('SLURM_RESTART_COUNT', '0')}.{known('SLURM_STEP_ID')}" if known("SLURM_STEP_ID") else ""


def meeting_file(run_folder: Path, job: str) -> Path:
    """Of this job, or of this one of Slurm's."""
    return run_folder / f".nodes-{job}-{os.environ.get('SLURM_JOB_ID') or 'by-hand'}.json"


class Helper:
    """A node that came to help, as the job sees it."""

    def __init__(self, line: Line, hello: Message) -> None:
        self.line, self.number, self.host = line, int(hello["node"]), str(hello["host"])
        self.share = 1.0  # of the time, that may be computed there
        self.lost = False
        self.attempt = 0  # how often its agent was started
        self._answers: dict[str, Message] = {}
        self._heard = threading.Condition()

    def ask(self, what: str, leave: Callable[[], None], **values: object) -> Message:
        """Its answer. leave: called while we wait; may raise."""
        with self._heard:
            self._answers.pop(what, None)
        self.tell(what, **values)
        while True:
            with self._heard:
                if self._heard.wait_for(lambda: what in self._answers, 0.2):
                    return self._answers[what]
            self.check()
            leave()

    def tell(self, what: str, **values: object) -> None:
        self.check()
        try:
            self.line.send({"what": what, **values})
        except OSError:
            self.lost = True
        self.check()

    def check(self) -> None:
        if failed := self._answers.get("failed"):
            raise UserError(f"node {self.number} ({self.host}): {failed['words'][0]}", failed["words"][1])
        if self.lost:  # another may take its place when the job begins again
            raise Stopped(f"node {self.number} ({self.host}) is gone")

    def hear(self, told_to_stop: Callable[[str], None]) -> None:
        """Until it is gone."""
        while message := self.line.receive():
            what = message.pop("what")
            if what == "told":
                told_to_stop(f"{message['reason']} on node {self.number} ({self.host})")
            elif what == "share":
                self.share = float(message["share"])
            else:
                with self._heard:
                    self._answers[what] = message
                    self._heard.notify_all()
        self.lost = True

    def poll(self) -> int | None:
        """The exit code of its agent, or None. Stopped where the node is gone."""
        with self._heard:
            ended = self._answers.get("ended")
        if ended and ended["attempt"] == self.attempt:
            return int(ended["code"])
        self.check()
        return None

    def start(self, words: list[str], port: str) -> None:
        """Its agent. port: of the crew that its members are to call."""
        self.attempt += 1
        self.tell("start", words=words, port=port, attempt=self.attempt)

    def end(self) -> None:
        """Its agent ends with its members."""
        if not self.lost:
            self.tell("end")


class Nodes:
    """The others, as the job on the first one sees them."""

    def __init__(self, count: int) -> None:
        self.count, self.secret = count, secrets.token_hex(32)
        self._helpers: dict[int, Helper] = {}
        self._told_to_stop: Callable[[str], None] = lambda reason: None
        self._path: Path | None = None

    @property
    def helpers(self) -> list[Helper]:
        return [self._helpers[number] for number in sorted(self._helpers)]

    @property
    def share(self) -> float:
        """Of the time, that may be computed where there is least of it."""
        return min([1.0, *(helper.share for helper in self._helpers.values())])

    @property
    def address(self) -> str:
        """By which the others reach this node."""
        return plain(self.helpers[0].line.ends[0])

    def gather(self, say: Callable[[str], None], leave: Callable[[], None]) -> None:
        """Waits until all have come. Raises UserError where one does not, and what `leave` raises."""
        began = said = time.monotonic()
        while len(self._helpers) < self.count - 1:
            leave()
            time.sleep(0.05)
            now, missing = time.monotonic(), sorted(set(range(1, self.count)) - set(self._helpers))
            who = f"node {', '.join(map(str, missing))} of {self.count}"
            if now - said > ASK_S:
                say(f"waits for {who}")
                said = now
            if now - began > COME_S:
                raise UserError(
                    f"{who} did not come within {COME_S / 60:.0f} minutes",
                    "each node runs the same command, sees the same RUNS and reaches this one by TCP",
                )

    def talk(self, line: Line) -> None:
        hello = line.receive() or {}
        number = hello.get("node")
        # one that went does not come back: what it had begun went with it
        if not isinstance(number, int) or not 0 < number < self.count or number in self._helpers:
            return
        self._helpers[number] = helper = Helper(line, hello)
        helper.hear(self._told_to_stop)

    @contextmanager
    def met(self, path: Path, told_to_stop: Callable[[str], None]) -> Iterator[None]:
        """Within, others find us by the file at `path`."""
        self._told_to_stop, self._path = told_to_stop, path
        with listening(self.secret, self.talk, everywhere=True) as port:
            for old in path.parent.glob(".nodes-*.json"):
                with suppress(OSError):  # a colleague's
                    if old.stat().st_size < LONGEST_OVER and "over" in (read_json(old) or {}):
                        old.unlink()
            told = {"at": [f"{one}:{port}" for one in addresses()], "secret": self.secret}
            try:
                with replacing(path) as draft:
                    draft.touch(0o600)
                    draft.write_text(json.dumps(told))
                yield
            finally:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                for helper in self.helpers:
                    helper.line.close()

    def over(self, code: int) -> None:
        """Under Slurm: who comes later, or sees it later, is not to wait; and the script learns how the job ended."""
        if self._path and attempt():
            with suppress(OSError):
                write_json(self._path, {"over": attempt(), "code": code})


def addresses() -> list[str]:
    """Of this machine, the likeliest first: the one that Slurm's daemons use; loopback last."""
    found = [os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "")]
    for name, each in sorted(psutil.net_if_addrs().items()):
        if not name.startswith(BRIDGES):
            found += [one.address for one in each if one.family in (socket.AF_INET, socket.AF_INET6)]
    usable = [one for one in dict.fromkeys(found) if one and not one.startswith("fe80")]
    return sorted(usable, key=lambda one: one in ("127.0.0.1", "::1"))
