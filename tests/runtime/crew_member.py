"""A member of a crew, without anything to learn: what it does is in its task."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from app.errors import Diverged, Stopped, UserError
from app.runtime.member import Member


def lines_of(task: dict[str, Any], rank: int) -> list[str]:
    path = Path(task["folder"]) / f"begun-{rank}"
    return path.read_text().split() if path.exists() else []


def work(member: Member) -> None:
    task, rank = member.task, member.rank
    begun = Path(task["folder"]) / f"begun-{rank}"
    begun.write_text(f"{begun.read_text() if begun.exists() else ''}{os.getpid()}\n")
    while rank == 1 and task.get("kill") and len(lines_of(task, 0)) < len(lines_of(task, 1)):
        time.sleep(0.01)  # the other has begun as often
    if rank == 1 and task.get("kill") and len(begun.read_text().split()) <= task["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and task.get("fault"):
        raise {
            "user": UserError("the disk is full", "free some"),
            "diverged": Diverged("the loss is nan", "lower the rate"),
            "stop": Stopped("the GPU was lost"),
        }[task["fault"]]
    time.sleep(task.get("deaf_s", 0))
    if rank == 0 and task.get("save_s"):
        with member.saving():
            time.sleep(task["save_s"])
            (Path(task["folder"]) / "saved").touch()
    with member.saving():
        member.say(f"hello of {rank}")
    for step in range(task["steps"]):
        time.sleep(0.01)
        member.tell(step=step)
        member.breathe()


if __name__ == "__main__":
    member = Member()
    member.run(lambda: work(member))
