"""Dev checks with pivot languages: each counts as much as the training language."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from xstilts.plan.stage import Rows
from xstilts.tasks import lookup
from xstilts.training.collectives import ALONE
from xstilts.training.dev_checks import DevChecks
from xstilts.training.loop import train

Toy = Any  # of conftest.py, which tests cannot import


def with_pivots(toy: Toy, *languages: str) -> tuple[Any, list[Any]]:
    """A stage and its data with dev rows of other languages, of as many rows each."""
    stage = toy.stage("toy_a", examples=320)
    (part,), (data,) = stage.parts, toy.data(stage)
    counts = tuple((language, 40) for language in languages)
    rows = Rows("toy_a", "dev", "b" * 64, counts, 1, 1, part.train.labels, 16)
    pivots = {x: toy.rows("pair", 40, seed=5 + i) for i, x in enumerate(languages)}
    own = replace(part, pivots=rows)
    return replace(stage, parts=(own,)), [replace(data, pivots=pivots)]


def test_the_score_of_a_check_is_the_mean_over_languages(toy: Toy) -> None:
    toy.task("toy_a")
    stage, data = with_pivots(toy, "de", "sw")
    model = toy.model(stage)
    alone = replace(stage, parts=(replace(stage.parts[0], pivots=None),))
    checks = {
        name: DevChecks(one, data, toy.vocabulary, ALONE)
        for name, one in (("all", stage), ("alone", alone))
    }
    english, _ = checks["alone"].sample(model)
    value, values = checks["all"].sample(model)
    final = checks["all"].whole(model, {})
    assert set(final.pivots["toy_a"]) == {"de", "sw"}
    assert final.pivot_rows == {"toy_a": {"de": 40, "sw": 40}}
    assert final.dev == checks["alone"].whole(model, {}).dev, "the training language's alone"
    others = [
        DevChecks(
            replace(alone, parts=(replace(alone.parts[0], dev=stage.parts[0].pivots),)),
            [replace(data[0], dev=data[0].pivots[language])],
            toy.vocabulary,
            ALONE,
        ).sample(model)[0]
        for language in ("de", "sw")
    ]
    assert english is not None and None not in others
    assert value == values["toy_a"] == pytest.approx((english + sum(others)) / 3)
    assert len({english, *others}) > 1, "they differ, or the test shows nothing"
    assert lookup("toy_a").metrics == ("accuracy",)


def test_the_check_that_pivots_like_is_kept(toy: Toy) -> None:
    """Pivots with labels that contradict the training ones turn the choice around."""
    toy.task("toy_a")
    stage, data = with_pivots(toy, "de", "sw", "fi")
    outcome = train(toy.model(stage), stage, data, toy.vocabulary)
    assert outcome.best_step > 5 and outcome.pivots["toy_a"]["de"]["accuracy"] > 80
    for rows in data[0].pivots.values():
        turned = {"red": "green", "green": "blue", "blue": "red"}
        labels = [turned[label] for label in rows.examples["label"].to_pylist()]
        columns = {**rows.examples.to_pydict(), "label": labels}
        object.__setattr__(rows, "examples", rows.examples.from_pydict(columns))
    outcome = train(toy.model(stage), stage, data, toy.vocabulary)
    assert outcome.best_step == 5 and outcome.dev["toy_a"]["accuracy"] < 80
