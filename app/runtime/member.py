"""One process of a crew: what it asks of its job and tells it. See crew.py."""

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from app.errors import Stopped, UserError
from app.runtime.agent import ADDRESS, SECRET
from app.runtime.seat import rested
from app.runtime.stop import STOP_SIGNALS
from app.runtime.talk import call
from app.runtime.tell import tell

PR_SET_PDEATHSIG = 1


class Member:
    """`task` is what the job gave; `rank` is this one's number, from 0."""

    def __init__(self) -> None:
        ends_with_parent()
        threading.Thread(target=_heeds_its_agent, daemon=True).start()
        self.rank = int(os.environ["RANK"])
        self._job = call(os.environ[ADDRESS], os.environ.pop(SECRET))
        self.task = self._ask("task")

    def say(self, line: str) -> None:
        """To the terminal and the job's log; of what all members say alike, the first one's words."""
        if self.rank == 0:
            self._ask("say", line=line)

    def tell(self, **values: Any) -> None:
        if self.rank == 0:
            self._ask("tell", **values)

    def breathe(self) -> None:
        """Waits while the job rests; raises Stopped when all are to leave."""
        began = time.perf_counter()
        answer = self._ask("breathe")
        rested(time.perf_counter() - began)
        if "leave" in answer:
            raise Stopped(answer["leave"])

    @contextmanager
    def saving(self) -> Iterator[None]:
        """What is begun within is ended, though the job's grace may be over."""
        self._ask("saving", on=True)
        try:
            yield
        finally:
            self._ask("saving", on=False)

    def run(self, work: Callable[[], None]) -> None:
        """Does it. A UserError or Stopped becomes the job's; whatever else is raised makes all begin again."""
        try:
            work()
        except UserError as error:
            self._ask("end", kind=type(error).__name__, words=[error.what, error.fix])
        except Stopped as stopped:
            self._ask("end", kind="Stopped", words=[str(stopped)])

    def gone(self, why: str) -> NoReturn:
        """Dies without more words than these: all begin again, or the job knows better."""
        tell(why)
        os._exit(1)

    def _ask(self, what: str, **values: Any) -> dict[str, Any]:
        try:
            self._job.send({"what": what, "rank": self.rank, **values})
            answer = self._job.receive()
        except OSError:
            answer = None
        if answer is None:
            os._exit(1)  # the job is gone, and with it all that we could be told
        return answer


def _heeds_its_agent() -> None:
    """Stop signals are blocked here (crew_agent.py); one from the agent itself means that all begin again."""
    agent = os.getppid()
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != agent:
        pass
    os._exit(1)


def ends_with_parent() -> None:
    """From now on: should whoever started this process be killed, so is this one."""
    parent = os.getppid()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)
