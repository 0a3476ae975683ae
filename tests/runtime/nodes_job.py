"""A job on two nodes that learns nothing: as `train` has its crew, with the members of the crew's tests."""

import os
import sys

from app.runtime.crew import Crew
from app.runtime.run import Run, job_main
from app.runtime.tell import tell


def train(run: Run) -> None:
    """Told what the nodes of a job do."""
    task = {"folder": os.environ["MEMBERS"], "steps": int(os.environ["STEPS"]), "kill": int(os.environ["KILL"])}
    assert run.nodes
    run.nodes.gather(tell, run.stop.leave)
    for turn in range(int(os.environ["TURNS"])):
        Crew("tests.runtime.crew_member", [1, 1], task, run.nodes).run(
            run.stop.leave, lambda told: tell(f"heard {told}")
        )
        tell(f"turn {turn} is over")


if __name__ == "__main__":
    sys.exit(job_main(train))
