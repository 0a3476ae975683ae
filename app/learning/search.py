"""A search for better settings of a training: Optuna's, whose journal is all that it needs to go on.

What trial n tries is drawn from (seed, n) and from how the trials before it went. So a search that was cut goes on
to the trials of one that was not.
"""

import itertools
import json
import logging
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from app.config.sections import Domain, value_of_train
from app.errors import UserError
from app.runtime.seeds import seed_of
from app.scoring.tried import Tried

AT_RANDOM = 6  # trials before the search begins to draw where others were good
UNPRUNED = 4  # trials that are trained to their end before the first one may be pruned
STILL_S = 60.0  # a line that is not whole after so long will not be
SPARED = 1 / 3  # of the epochs: while the rate is high, scores say little

optuna.logging.set_verbosity(logging.WARNING)


class Search:
    """Trials of one model, one at a time. `name`: of what is searched; a journal may hold several."""

    def __init__(
        self,
        journal: Path,
        name: str,
        space: dict[str, Domain],
        seed: int,
        epochs: int,
        first: dict[str, Any] | None,
        alone: bool = True,
    ) -> None:
        """epochs: of a trial, at most. first: what is tried before all else, a value for each key of `space`.

        alone: nobody else writes to the journal now; else its last line may be one that is just being written.

        Raises UserError where the journal is damaged.
        """
        self._space = {key: _distribution(key, domain) for key, domain in space.items()}
        self._seed = seed
        self._trial: Trial | None = None
        pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=math.ceil(SPARED * epochs))
        mend(journal, 0.0 if alone else STILL_S)
        try:
            # resolved: the age of a lock that was left behind is looked up through the link that it is
            storage = JournalStorage(JournalFileBackend(str(journal.resolve())))
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction="minimize", pruner=pruner, load_if_exists=True
            )
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            raise UserError(
                f"{journal}: damaged ({error})", "move it away: a new search begins, and keeps what is trained"
            ) from None
        if first:
            own = {key: self._told(key, value) for key, value in first.items()}
            self._study.enqueue_trial(own, skip_if_exists=True)

    @property
    def finished(self) -> int:
        """How many trials have come to an end."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

    def next(self) -> tuple[int, dict[str, Any]]:
        """The trial that was cut, or else a new one: its number, from 1, and its settings."""
        at_work = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._trial = Trial(self._study, at_work[0]._trial_id) if at_work else self._study.ask()
        # Each draw has a seed of its own, whatever was drawn before a cut: that of all settings together, by which
        # TPE draws once it knows them, and those of one alone. What a cut one has is given again.
        self._study.sampler = self._sampler()
        self._trial.relative_params  # noqa: B018
        for key, distribution in self._space.items():
            self._study.sampler = self._sampler(key)
            _suggest(self._trial, key, distribution)
        return self._trial.number + 1, self._heard(self._trial.params)

    def _sampler(self, *key: str) -> optuna.samplers.TPESampler:
        seed = seed_of(self._seed, "sweep", self.finished, *key) % 2**32
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=AT_RANDOM)

    def note(self, **facts: Any) -> None:
        """What is to be known of the trial: folder, epochs, seconds."""
        with suppress(UpdateFinishedTrialError):  # as in _end
            for name, value in facts.items():
                self._now.set_user_attr(name, value)

    def hopeless(self, epoch: int, score: float) -> bool:
        """Whether to prune the trial: its best score up to this epoch is worse than the median of trials done.

        Of an epoch before the last one that is known it was asked before: then it is not.
        """
        if epoch not in self._known.intermediate_values:
            with suppress(UpdateFinishedTrialError):
                self._now.report(score, epoch)
        return epoch == self._known.last_step and self._now.should_prune()

    def trained(self, scores: list[float]) -> None:
        """Scores of all epochs, also of those before a cut and of a model that was there before the search."""
        for epoch, score in enumerate(itertools.accumulate(scores, min), 1):
            self.hopeless(epoch, score)

    def done(self, score: float) -> None:
        self._end(TrialState.COMPLETE, score)

    def pruned(self) -> None:
        self._end(TrialState.PRUNED)

    def diverged(self, why: str) -> None:
        """As bad as can be: the search learns to keep away."""
        self.note(diverged=why)
        self._end(TrialState.PRUNED)

    def tried(self) -> list[Tried]:
        """All trials so far, in their order."""
        trials = self._study.get_trials(deepcopy=False)
        return [self._as_tried(trial) for trial in trials if trial.params.keys() >= self._space.keys()]

    @property
    def _now(self) -> Trial:
        assert self._trial, "next comes first"
        return self._trial

    @property
    def _known(self) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._now.number]

    def _end(self, state: TrialState, score: float | None = None) -> None:
        # where locks do not work another may have come to the same trial, and to the same end
        self._study.tell(self._now.number, score, state, skip_if_finished=True)
        self._trial = None

    def _as_tried(self, trial: FrozenTrial) -> Tried:
        known, values = trial.user_attrs, trial.intermediate_values.values()
        state = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}.get(trial.state, "unfinished")
        return Tried(
            trial.number + 1,
            self._heard(trial.params),
            "diverged" if "diverged" in known else state,
            trial.value if state == "done" else min(values, default=None),
            known.get("epochs", trial.last_step or 0),
            known.get("seconds", 0.0),
            known.get("folder", ""),
        )

    def _told(self, key: str, value: Any) -> Any:
        return json.dumps(value) if isinstance(self._space[key], CategoricalDistribution) else value

    def _heard(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            key: json.loads(params[key]) if isinstance(one, CategoricalDistribution) else _within(one, params[key])
            for key, one in self._space.items()
        }


def mend(journal: Path, still_s: float) -> None:
    """Takes away a last line that was cut off within, by a full disk or a dead machine: nothing followed from it.

    still_s: for so long nothing must have been written.
    """
    if not journal.exists() or time.time() - journal.stat().st_mtime < still_s:
        return
    with journal.open("r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)


def rounded(value: Any) -> Any:
    """A number that is drawn, as it is tried: three digits do."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _within(one: BaseDistribution, value: Any) -> Any:
    """Rounded, but not beyond the ends of what it is drawn from."""
    return min(max(rounded(value), one.low), one.high) if isinstance(one, FloatDistribution) else value


def lies_in(domain: Domain, value: Any) -> bool:
    """Whether a search of this domain could try the value."""
    if domain.choice is not None:
        return value in domain.choice
    low, high = domain.uniform or domain.log or (math.inf, -math.inf)
    return isinstance(value, (int, float)) and low <= value <= high


def _distribution(key: str, domain: Domain) -> BaseDistribution:
    if domain.choice is not None:
        return CategoricalDistribution([json.dumps(value) for value in domain.choice])
    low, high = (value_of_train(key, end) for end in domain.uniform or domain.log or ())
    kind = IntDistribution if isinstance(low, int) else FloatDistribution
    return kind(low, high, log=domain.log is not None)


def _suggest(trial: Trial, key: str, one: BaseDistribution) -> None:
    if isinstance(one, CategoricalDistribution):
        trial.suggest_categorical(key, one.choices)
    elif isinstance(one, IntDistribution):
        trial.suggest_int(key, one.low, one.high, log=one.log)
    elif isinstance(one, FloatDistribution):
        trial.suggest_float(key, one.low, one.high, log=one.log)
