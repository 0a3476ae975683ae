"""Looks for leaks: what two splits share, and whether shuffled labels can be learnt. Exit code 2 where it is so."""

import sys

from app.config.ladder import LADDER
from app.corpora.leaks import shared_between_splits
from app.errors import UserError
from app.runtime.run import open_run
from app.runtime.shards import rows_of
from jobs.chain import need
from jobs.pack import guarded
from jobs.terminal import table

SHUFFLES = 20
FAR = 4.0  # standard errors of the mean over shuffles, from which on it is no chance
QUICK = "pooled_logistic"


def main() -> None:
    from app.features.store import Features
    from app.learning.chance import auc_of_shuffled
    from app.models.registry import build

    run = open_run("leaks", __doc__ or "", None, leaves_config=False)
    manifest, planned, stage = need(run, "prepare"), need(run, "mix"), need(run, LADDER[QUICK].reads)
    shared = shared_between_splits(rows_of(manifest, shard="manifest"), rows_of(planned))
    table("What two splits share", [{"": what, "shared": len(names), "such as": _few(names)} for what, names in shared])
    train, select = (Features(stage, (split,)) for split in ("train", "select"))
    model, size = build(QUICK, run.config), run.config.train.batch_clips
    found = auc_of_shuffled(model, train, select, SHUFFLES, run.config.seed, size, run.stop.leave)
    table(
        f"AUC of {QUICK} on select; labels of training as they are, and shuffled {SHUFFLES} times",
        [
            {"output": one.output, "as they are": one.auc, "shuffled, mean": one.mean, "standard error": one.error}
            for one in found
        ],
    )
    leaks = [f"two splits share {what}: {_few(names)}" for what, names in shared if names]
    leaks += [
        f"shuffled labels of '{one.output}' are learnt: AUC {one.mean:.3f}, {one.far:.1f} standard errors from .5"
        for one in found
        if one.far > FAR
    ]
    if leaks:
        raise UserError("; ".join(leaks), "trust no score of this run, and split by whole sources (docs/data.md)")
    print("leaks  none: no source in two splits, and shuffled labels give chance", file=sys.stderr)


def _few(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:3]) + (", ..." if len(names) > 3 else "")


if __name__ == "__main__":
    sys.exit(guarded("leaks", main))
