"""A member of a crew, without anything to learn: what it does is in its task."""

import os
import signal
import time
from pathlib import Path

from app.errors import Diverged, Stopped, UserError
from app.runtime.member import Member


def work(member: Member) -> None:
    task, rank = member.task, member.rank
    begun = Path(task["folder"]) / f"begun-{rank}"
    begun.write_text(f"{begun.read_text() if begun.exists() else ''}{os.getpid()}\n")
    if rank == 1 and task.get("kill") and len(begun.read_text().split()) <= task["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and task.get("fault"):
        raise {
            "user": UserError("the disk is full", "free some"),
            "diverged": Diverged("the loss is nan", "lower the rate"),
            "stop": Stopped("the GPU was lost"),
        }[task["fault"]]
    time.sleep(task.get("deaf_s", 0))
    with member.saving():
        member.say(f"hello of {rank}")
    for step in range(task["steps"]):
        time.sleep(0.01)
        member.tell(step=step)
        member.breathe()


if __name__ == "__main__":
    member = Member()
    member.run(lambda: work(member))
