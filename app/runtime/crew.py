"""Processes that do one job together, started by torchrun. The job stays: its are lock, status, log and signals.

They talk over a socket, a line of JSON there and one back; `member.py` is their end of it.
"""

import contextlib
import json
import os
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import Diverged, Stopped, UserError

END = signal.SIGQUIT  # to the agent; it hears none of STOP_SIGNALS, which may reach all processes of a job at once
ADDRESS = "MOKSORI_CREW"  # environment variable: where a member finds its job
RESTARTS = 3  # of all members, each time one of them dies
LAST_S = 8.0  # for the others to leave, once a member has come to another end than a good one

ENDS: dict[str, Callable[..., Exception]] = {"Diverged": Diverged, "Stopped": Stopped}  # else UserError

Message = dict[str, Any]


class Crew:
    """`count` processes of `module`, each of which is given `task` (anything that JSON holds)."""

    def __init__(self, module: str, count: int, task: Message) -> None:
        self._module, self._count, self._task = module, count, task
        self._left: Exception | None = None  # why all are to leave
        self._leaving, self._ends = threading.Condition(), 0  # members that came to another end than a good one
        self._ended = threading.Event()  # all have, or one has and the others did not follow

    def run(self, breathe: Callable[[], None], hear: Callable[[Message], None]) -> None:
        """Until all are done.

        breathe: called between the steps of the first member, while which all wait; hear: gets what members tell.
        Raises what `breathe` or `hear` raised once they have left; UserError or Stopped where a member ended by one;
        RuntimeError where they died more than RESTARTS times.
        """
        with self._listening(breathe, hear) as address:
            agent = self._start(address)
            try:
                while agent.poll() is None and not self._ended.is_set():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        agent.wait(0.1)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    agent.wait(2.0)  # what has nothing more to do leaves by itself
            finally:
                _end(agent)
        if self._left:
            raise self._left
        if agent.returncode:
            breathe()  # who was told to stop has left, whatever became of the others
            raise RuntimeError(f"the {self._count} processes of {self._module} died (exit code {agent.returncode})")

    @contextmanager
    def _listening(self, breathe: Callable[[], None], hear: Callable[[Message], None]) -> Iterator[str]:
        """Gives the address of a socket that nobody else may open."""
        crew = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    for line in self.rfile:
                        answer = crew._answer(json.loads(line), breathe, hear)
                        self.wfile.write(json.dumps(answer).encode() + b"\n")

        with tempfile.TemporaryDirectory(prefix="moksori-") as folder:
            server = socketserver.ThreadingUnixStreamServer(str(Path(folder) / "crew"), Talk)
            server.daemon_threads = True
            with server:
                threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
                yield str(server.server_address)
                server.shutdown()

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
        try:
            hear({"what": what, **message})
        except Exception as error:  # told at their next breath
            self._left = self._left or error
        return {}

    def _wait_for_the_others(self) -> None:
        """A member that left first would look to the others as one that died."""
        with self._leaving:
            self._ends += 1
            self._leaving.notify_all()
            self._leaving.wait_for(lambda: self._ends == self._count, LAST_S)
        self._ended.set()

    def _start(self, address: str) -> "subprocess.Popen[bytes]":
        # one machine: nothing needs its name, which a container without a network cannot resolve
        env = {**os.environ, ADDRESS: address, "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
        words = [
            "--standalone",
            "--local-addr=127.0.0.1",
            f"--nproc-per-node={self._count}",
            f"--max-restarts={RESTARTS}",
            "-m",
            self._module,
        ]
        return subprocess.Popen([sys.executable, "-m", "app.runtime.crew_agent", *words], env=env, process_group=0)


def _end(agent: "subprocess.Popen[bytes]") -> None:
    """It ends its members; whoever does not hear is killed, and they with it."""
    if agent.poll() is None:
        agent.send_signal(END)
        try:
            agent.wait(5.0)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
