"""What samplers look back on: as a study that was given the trials."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.search.test_proposals import make_sweep
from xstilts.search.sampling import LookBack, sampler_of

SPACE = {
    "task": CategoricalDistribution(("nli", "qa", "none")),
    "rate": FloatDistribution(1e-6, 1e-4, log=True),
}
STATES = (*[TrialState.COMPLETE] * 7, TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED)


def trial_of(number: int) -> FrozenTrial:
    """The trials of a study: ended, under way, failed and pruned."""
    state = STATES[number % len(STATES)]
    return create_trial(
        state=state,
        value=float(number * 7 % 13) if state == TrialState.COMPLETE else None,
        params={"task": SPACE["task"].choices[number % 3], "rate": 1e-6 * (1 + number)},  # type: ignore[attr-defined]
        distributions=SPACE,
        intermediate_values={1: 5.0} if state == TrialState.PRUNED else {},
        user_attrs={"point": {"number": number}},
    )


def draws(study: optuna.Study, own: int) -> list[dict[str, object]]:
    """What is drawn in turn, each draw a sampler of its own; all but the last failed."""
    found = []
    for attempt in range(own):
        study.sampler = sampler_of(make_sweep(40), 40, attempt)
        trial = study.ask(SPACE)
        found.append(trial.params)
        study.tell(trial, state=TrialState.FAIL)
    return found


@pytest.mark.parametrize("known", [0, 5, 40])
def test_draws_are_those_of_a_study_that_was_given_the_trials(known: int) -> None:
    trials = [trial_of(number) for number in range(known)]
    given = optuna.create_study(direction="maximize")
    given.add_trials(trials)
    looks = optuna.create_study(storage=LookBack(trials), direction="maximize")
    expected = draws(given, 4)
    assert draws(looks, 4) == expected
    assert len({tuple(one.items()) for one in expected}) == 4


def test_nothing_is_copied_to_the_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    made, create = [], InMemoryStorage.create_new_trial

    def noted(storage: InMemoryStorage, study: int, template: FrozenTrial | None = None) -> int:
        made.append(template)
        return create(storage, study, template)

    monkeypatch.setattr(InMemoryStorage, "create_new_trial", noted)
    trials = [trial_of(number) for number in range(40)]
    draws(optuna.create_study(storage=LookBack(trials), direction="maximize"), 2)
    assert made == [None, None]
    assert trials[3].number == trial_of(3).number and trials[3].user_attrs
