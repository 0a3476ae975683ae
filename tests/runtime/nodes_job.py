"""A job on two nodes that learns nothing: as `train` has its crew, with the members of the crew's tests."""

import os
import sys
import time

from app.runtime.crew import Crew
from app.runtime.run import Run, job_main
from app.runtime.tell import tell


def train(run: Run) -> None:
    """Told what the nodes of a job do."""
    task = {"folder": os.environ["MEMBERS"], "steps": int(os.environ["STEPS"]), "kill": int(os.environ["KILL"])}
    assert run.nodes
    if int(os.environ["TURNS"]):
        run.nodes.gather(tell, run.stop.leave)
    for turn in range(int(os.environ["TURNS"])):
        Crew("tests.runtime.crew_member", [1, 1], task, run.nodes).run(
            run.stop.leave, lambda told: tell(f"heard {told}")
        )
        tell(f"turn {turn} is over")
        time.sleep(float(os.environ.get("PAUSE_S", "0")))


if __name__ == "__main__":
    sys.exit(job_main(train))
