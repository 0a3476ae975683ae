"""Trains the chosen model with several seeds (N=3): how much of its score is chance."""

import math
import statistics
import sys
from dataclasses import replace
from typing import Any

from scipy.stats import t

from app.errors import UserError
from app.runtime.asked import whole
from app.runtime.files import write_json
from app.runtime.run import Run, job_main
from app.runtime.series import in_series
from jobs.models import chosen_model
from jobs.terminal import table
from jobs.train import train_model

SEEDS = 3
TERMS = ("select_score", "select_auc", "select_brier", "select_ece")


def seeds(run: Run) -> None:
    """Trains the chosen model with several seeds (N=3): how much of its score is chance."""
    count = SEEDS if (asked := whole("N")) is None else asked
    if count < 2:
        raise UserError(f"N={count} is no spread", "N=3: so many seeds, 2 at least")
    chosen, first = chosen_model(run), run.config.training_seed
    found: list[dict[str, Any]] = []
    with in_series(run, "seeds", "seeds") as series:
        series.take_gpus()
        for seed in range(first, first + count):
            series.at(len(found), count)
            how = run.config.train.model_copy(update={"seed": seed})
            config = run.config.model_copy(update={"train": how}) if seed != first else run.config
            trained = train_model(replace(run, config=config), chosen["name"], link=False)
            found.append({"seed": seed, **{term: trained["select"][term] for term in TERMS}})
        series.at(count, count)
        told = {"model": chosen["name"], "weights_sha256": chosen["weights_sha256"], "seeds": found, **spread_of(found)}
        write_json(run.folder / "seeds.json", told)
        rows = [{"seed": row["seed"], **{_short(term): row[term] for term in TERMS}} for row in found]
        for word in ("mean", "sd"):
            rows.append({"seed": word, **{_short(term): told[word][term] for term in TERMS}})
        table(f"{chosen['name']} on select, by seed (lower score is better)", rows)
        series.say(in_words(told))


def spread_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """{"mean", "sd"} of every term; sd of a sample."""
    columns = {term: [row[term] for row in found] for term in TERMS}
    return {
        "mean": {term: statistics.fmean(values) for term, values in columns.items()},
        "sd": {term: statistics.stdev(values) for term, values in columns.items()},
    }


def in_words(told: dict[str, Any]) -> str:
    scores = [row["select_score"] for row in told["seeds"]]
    mean, sd = told["mean"]["select_score"], told["sd"]["select_score"]
    if not sd:
        return f"{told['model']} gives the same score with {len(scores)} seeds: nothing in it is drawn"
    return (
        f"score on select with {len(scores)} seeds: {mean:.4f} on average, from {min(scores):.4f} to {max(scores):.4f} "
        f"(sd {sd:.4f}); by the seed alone two trainings may differ by {chance_of(sd, len(scores)):.4f} (95 %)"
    )


def chance_of(sd: float, count: int) -> float:
    """Below which 95 % of the differences between two trainings lie. sd: of so many; few say little (Student's t)."""
    return float(t.ppf(0.975, count - 1) * math.sqrt(2) * sd)


def _short(term: str) -> str:
    return term.removeprefix("select_")


if __name__ == "__main__":
    sys.exit(job_main(seeds))
