"""Writes report/index.html of a run anew, with what there is now: other trainings, and players where DATA is there."""

import sys

from app.runtime.run import Run, job_main
from jobs.evaluate import evaluated


def report(run: Run) -> None:
    """As evaluate, also where it is done; the test is shown if this model's score on it is known, or with FINAL=1."""
    evaluated(run, anew=True)


if __name__ == "__main__":
    sys.exit(job_main(report))
