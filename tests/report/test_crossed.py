"""The crossed table: runs by items, joined over languages, whose scores are the records'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xstilts.errors import StoreError
from xstilts.records import TrialRecord
from xstilts.report.crossed import crossed
from xstilts.report.results import Results
from xstilts.run.outcomes import Items, outcomes_path, write_outcomes
from xstilts.run.places import Places
from xstilts.scores.outcomes import Outcomes

from ..conftest import make_places, make_stage, make_sweep
from ..trial_records import entry_json, make_record

ONES = np.ones


def accuracies(**hits: list[float]) -> dict[str, Items]:
    """Languages with items that join by their number."""
    return {
        language: Items(
            Outcomes.of({"accuracy": [(own, ONES(len(own)), ONES(len(own)))]}),
            [str(i) for i in range(len(own))],
        )
        for language, own in hits.items()
    }


def add(
    places: Places, trial: str, seed: int, phase: str, languages: dict[str, Items] | None
) -> TrialRecord:
    """A trial's record, and the evaluation of mini_xnli behind it."""
    name = f"evaluate-mini_xnli-{trial}"
    files = {"predictions/mini_xnli/test-en.tsv": "a\n"}
    (places.storage / "tmp").mkdir(exist_ok=True)
    if languages is not None:
        write_outcomes(places.storage / "tmp", "mini_xnli", languages)
    result = make_stage(places.storage, name, files)
    if languages is not None:  # binary, beside what make_stage writes
        path = outcomes_path(result, "mini_xnli")
        path.parent.mkdir()
        outcomes_path(places.storage / "tmp", "mini_xnli").rename(path)
    return make_record(
        trial,
        config=trial.partition("-s")[0],
        intermediate=trial.partition("-")[0],
        seed=seed,
        phase=phase,
        collapsed=["mini_xnli"] if seed == 1002 else [],
        stages=[entry_json(name)],
        scores=[{"target": "mini_xnli"}],
    )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return make_places(tmp_path)


def results_of(places: Places, *records: TrialRecord) -> Results:
    return Results(make_sweep(), places, places.launch(1), records)


def test_items_are_joined_and_every_run_has_its_score(places: Places) -> None:
    own = accuracies(en=[1, 0, 1, 1], qaa=[0, 0, 1, 0], qab=[1, 1, 1, 1])
    other = accuracies(en=[1, 1, 1, 1], qaa=[0, 1, 0, 0], qab=[0, 0, 0, 0])
    table = crossed(
        results_of(
            places,
            add(places, "none-a-s1000", 1000, "confirm", own),
            add(places, "nli-b-s1002", 1002, "confirm", other),
            add(places, "nli-b-s0", 0, "search", other),
        ),
        "mini_xnli",
    )
    assert [(run.trial, run.seed, run.collapsed, run.is_baseline) for run in table.runs] == [
        ("nli-b-s1002", 1002, True, False),
        ("none-a-s1000", 1000, False, True),
    ]
    assert (table.items, table.languages) == (("0", "1", "2", "3"), ("en", "qaa", "qab"))
    assert table.counts["accuracy"].shape == (2, 12, 1, 3)
    assert table.scores.tolist() == [[100, 25, 0], [75, 25, 100]]
    by_item = table.by_item
    assert by_item.shape == (2, 4)
    assert by_item.mean(1) == pytest.approx(table.scores.mean(1))
    assert by_item[1] == pytest.approx([200 / 3, 100 / 3, 100, 200 / 3])


def test_languages_of_other_sizes_weigh_alike(places: Places) -> None:
    languages = accuracies(en=[1, 0, 1, 1], qaa=[0, 1])
    own = {**languages, "qab": Items(languages["qaa"].outcomes, [None, "0"])}
    record = add(places, "nli-b-s1000", 1000, "confirm", own)
    table = crossed(results_of(places, record), "mini_xnli")
    assert table.items == ("0", "1", "2", "3", "qab/0")
    assert table.by_item.mean() == pytest.approx(table.scores.mean())


def test_a_metric_of_a_corpus_is_no_mean_over_items(places: Places) -> None:
    counts = np.array([[[2.0, 3, 4]], [[0, 0, 1]]])
    own = {"en": Items(Outcomes(np.arange(2), {"accuracy": counts}), [None, None])}
    record = add(places, "nli-b-s1000", 1000, "confirm", own)
    table = crossed(results_of(places, record), "mini_xnli")
    assert table.scores.tolist() == [[50]]
    with pytest.raises(ValueError, match="mini_xnli: accuracy is no mean over items"):
        _ = table.by_item


def test_runs_of_before_are_named_and_left_out(places: Places) -> None:
    table = crossed(
        results_of(
            places,
            add(places, "nli-b-s1000", 1000, "confirm", None),
            add(places, "nli-b-s1001", 1001, "confirm", accuracies(en=[1])),
        ),
        "mini_xnli",
    )
    assert [run.seed for run in table.without] == [1000] and [r.seed for r in table.runs] == [1001]
    assert crossed(results_of(places), "mini_xnli").runs == ()


def test_what_is_gone_or_differs_is_told(places: Places) -> None:
    first = add(places, "nli-b-s1000", 1000, "confirm", accuracies(en=[1, 0]))
    other = add(places, "nli-b-s1001", 1001, "confirm", accuracies(en=[1]))
    with pytest.raises(StoreError, match="nli-b-s1001: mini_xnli: it was scored on other items"):
        crossed(results_of(places, first, other), "mini_xnli")
    gone = replace(first, stages=[])
    with pytest.raises(StoreError, match="no longer in the store; `xstilts run FILE --trial"):
        crossed(results_of(places, gone), "mini_xnli")
