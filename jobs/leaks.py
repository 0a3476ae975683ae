"""Looks for leaks: what two splits share, and whether shuffled labels can be learnt. Exit code 2 where it is so."""

import sys
from typing import TYPE_CHECKING

from app.config.ladder import LADDER
from app.corpora.leaks import shared_between_splits
from app.errors import UserError
from app.runtime.job import is_complete
from app.runtime.run import Run, open_run
from app.runtime.shards import rows_of
from jobs.chain import need, read_by, stage_of
from jobs.pack import guarded
from jobs.terminal import table

if TYPE_CHECKING:
    from app.learning.chance import Shuffled

SHUFFLES = 20
FAR = 4.0  # standard errors of the mean over shuffles, from which on it is no chance
QUICK = "pooled_logistic"


def main() -> None:
    run = open_run("leaks", __doc__ or "", None, leaves_config=False)
    manifest, planned = need(run, "prepare"), need(run, "mix")
    shared = shared_between_splits(rows_of(manifest, shard="manifest"), rows_of(planned))
    table("What two splits share", [{"": what, "shared": len(names), "such as": _few(names)} for what, names in shared])
    found = _shuffled(run)
    table(
        f"AUC of {QUICK} on select; labels of training as they are, and shuffled {SHUFFLES} times",
        [
            {"output": one.output, "as they are": one.auc, "shuffled, mean": one.mean, "standard error": one.error}
            for one in found
        ],
    )
    given_away = [
        f"shuffled labels of '{one.output}' are learnt: AUC {one.mean:.3f}, {one.far:.1f} standard errors from .5"
        for one in found
        if one.far > FAR
    ]
    both = [f"two splits share {what}: {_few(names)}" for what, names in shared if names]
    fixes = ["split by whole sources (docs/data.md)"] * bool(both)
    fixes += ["labels of validation reach the scores, which is a bug: please report it"] * bool(given_away)
    if both or given_away:
        raise UserError("; ".join(both + given_away), f"trust no score of this run; {'; '.join(fixes)}")
    chance = ", and shuffled labels give chance" if found else ""
    print(f"leaks  none: no source in two splits{chance}", file=sys.stderr)


def _shuffled(run: Run) -> "list[Shuffled]":
    """[] where no model of the run reads features, and none are there."""
    from app.features.store import Features
    from app.learning.chance import auc_of_shuffled
    from app.models.registry import build

    reads = LADDER[QUICK].reads
    if reads not in read_by(run) and not is_complete(stage_of(run, reads)):
        print(f"leaks  shuffled labels are not tried: {QUICK} wants features, which no model of this run reads "
              f"(train.models: [{QUICK}, ...], then `make extract`)", file=sys.stderr)  # fmt: skip
        return []
    stage = need(run, reads)
    train, select = (Features(stage, (split,)) for split in ("train", "select"))
    model, size = build(QUICK, run.config), run.config.train.batch_clips
    return auc_of_shuffled(model, train, select, SHUFFLES, run.config.seed, size, run.stop.leave)


def _few(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:3]) + (", ..." if len(names) > 3 else "")


if __name__ == "__main__":
    sys.exit(guarded("leaks", main))
