"""The score table: rows in, views out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from xstilts.scores.table import COLUMNS, Score, ScoreTable, task_score

SCORE = Score(
    trial="nli-1-s0",
    config="1",
    cell="c1",
    intermediate="nli",
    model="mini",
    target="mini_xquad",
    language="en",
    split="test",
    metric="f1",
    value=60.0,
    n=200,
    seed=0,
    is_chosen=True,
)
DEV = replace(SCORE, split="dev", value=70.0)


def test_rows_survive_json() -> None:
    table = ScoreTable([SCORE, DEV])
    rows = json.loads(json.dumps(list(table.rows)))
    assert tuple(Score(**row) for row in rows) == table.scores
    assert tuple(rows[0]) == COLUMNS


def test_evaluation_holds_the_chosen_cell_alone_and_no_dev() -> None:
    table = ScoreTable(
        [
            DEV,
            SCORE,
            replace(SCORE, language="qaa", value=40.0),
            replace(SCORE, language="qaa", value=99.0, is_chosen=False),
            replace(SCORE, language="qab", metric="exact_match"),
            replace(SCORE, language="qac", target="mini_xnli"),
        ]
    )
    assert table.chosen.evaluation("mini_xquad", "f1") == {"en": 60.0, "qaa": 40.0}


def test_dev_score_is_the_mean_of_the_metrics_of_the_chosen_cell() -> None:
    metrics = ("exact_match", "f1")
    scores = [SCORE, DEV, replace(DEV, value=99.0, cell="c2", is_chosen=False)]
    assert ScoreTable(scores).chosen.dev_score("mini_xquad", ("f1",)) == 70
    assert ScoreTable(scores).chosen.dev_score("mini_xquad", metrics) is None
    scores.append(replace(DEV, metric="exact_match", value=50.0))
    assert ScoreTable(scores).chosen.dev_score("mini_xquad", metrics) == 60
    assert ScoreTable(scores).chosen.dev_score("mini_xnli", metrics) is None
    assert ScoreTable(scores).chosen.dev_score("mini_xquad", ()) is None


def test_a_tasks_score_is_the_mean_of_its_metrics_and_never_over_a_hole() -> None:
    metrics = ("exact_match", "f1")
    assert task_score(metrics, {"f1": 60.0, "exact_match": 40.0, "precision": 1.0}) == 50
    with pytest.raises(KeyError):
        task_score(metrics, {"f1": 60.0})
    table = ScoreTable([SCORE, replace(SCORE, metric="exact_match", value=50.0), DEV])
    table = ScoreTable([*table.scores, replace(SCORE, language="qaa")])
    assert table.chosen.score_by_language("mini_xquad", metrics) == {"en": 55.0}
