"""One pool for all languages: the official rankings and scores, whatever parts it comes in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xstilts import kinds
from xstilts.kinds.kind import Encoded
from xstilts.run import pooled
from xstilts.run.pooled import Pool, ranked
from xstilts.scores.metrics import average_precision
from xstilts.tasks import lookup

LAREQA = Path(__file__).parents[3] / "shared/conformance/xtreme_r_mock/extra/lareqa"
STRINGS = pa.list_(pa.string())
KIND: Any = kinds.get("dual_encoder")


def encoded(names: Sequence[str], keys: Sequence[Sequence[str]]) -> Encoded:
    """Rows whose one sequence is their number, by which their vector is found."""
    features = {"example": range(len(names)), "name": list(names)}
    gold: list[list[str]] = [[] for _ in names]
    examples = {"id": list(names), "keys": pa.array(keys, STRINGS), "gold": pa.array(gold, STRINGS)}
    return Encoded(pa.table(features), pa.table(examples))


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("part", [1, 7, 8192])
def test_lareqa_has_the_official_rankings_and_scores(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled, "PART", part)
    expected = json.loads((LAREQA / "expected.json").read_text())
    given = json.loads((LAREQA / "vectors.json").read_text())
    vectors = {**given["questions"], **given["candidates"]}

    def outputs(features: pa.Table) -> list[np.ndarray]:
        found = [np.array([vectors[x]], np.float32) for x in features["name"].to_pylist()]
        assert len(found) <= max(part, 15)
        return found

    questions = expected["questions"]
    languages = ("en", "de", "zh", "th")
    # A question's key is its id in every language, and its candidates have it.
    queries = []
    for language in languages:
        names = [name for name in questions if name.endswith(f"_{language}")]
        queries.append(encoded(names, [[name.rpartition("_")[0]] for name in names]))
    keys: dict[str, list[str]] = {name: [] for name in expected["candidates"]}
    for name, own in questions.items():
        for candidate in own["gold"]:
            if (key := name.rpartition("_")[0]) not in keys[candidate]:
                keys[candidate].append(key)
    parts = [[name for name in keys if name.startswith(language)] for language in languages]
    pool = (encoded(names, [keys[name] for name in names]) for names in parts)

    scores = []
    by_language = expected["mean_ap@20_by_question_language_NOT_official"]
    for language, (rankings, found) in zip(
        languages, ranked(KIND, queries, pool, outputs), strict=True
    ):
        ids = found.examples["id"].to_pylist()
        for name, ranking, gold in zip(
            ids, rankings, found.examples["gold"].to_pylist(), strict=True
        ):
            own = questions[name]
            assert ranking == own["ranking"][:20]
            assert sorted(gold) == sorted(own["gold"])
            assert average_precision(gold, ranking) == pytest.approx(100 * own["ap@20"])
            scores.append(average_precision(gold, ranking))
        score = KIND.score(rankings, found.examples, lookup("lareqa"), language)
        assert score["map_20"] == pytest.approx(100 * by_language[language], abs=1e-9)
    assert fmean(scores) == pytest.approx(100 * expected["official_map@20"], abs=1e-9)


def test_a_mention_counts_by_the_rank_of_its_entity() -> None:
    """Mewsli-X: 1, 1/3, behind the first twenty, not there."""
    names = [f"Q{i}" for i in range(30)]
    pool = encoded(names, [[name] for name in names])
    towards = np.linspace(1, 0.4, 30).astype(np.float32)
    candidates = np.stack([towards, np.sqrt(1 - towards**2)], 1)

    def outputs(features: pa.Table) -> list[np.ndarray]:
        found = features["name"].to_pylist()
        return [
            candidates[None, int(x[1:])] if x[0] == "Q" else np.array([[1, 0]], np.float32)
            for x in found
        ]

    queries = [encoded(["m0", "m1", "m2", "m3"], [["Q0"], ["Q2"], ["Q20"], ["Q99"]])]
    ((rankings, found),) = ranked(KIND, queries, iter([pool]), outputs)
    assert all(ranking == names[:20] for ranking in rankings)
    assert found.examples["gold"].to_pylist() == [["Q0"], ["Q2"], ["Q20"], []]
    outcomes = KIND.outcomes(rankings, found.examples, lookup("mewslix"), "en")
    assert outcomes.counts["map_20"][:, 0, 0].tolist() == pytest.approx([1, 1 / 3, 0, 0])


def test_a_pool_knows_the_keys_that_are_asked_for() -> None:
    pool = Pool(frozenset({"a"}))
    pool.add(encoded(["x", "y"], [["a", "b"], ["a"]]).examples)
    assert pool.names == ["x", "y"] and pool.by_key == {"a": ["x", "y"]}
    examples = encoded(["q"], [["b", "a"]]).examples
    assert pool.with_gold(examples)["gold"].to_pylist() == [["x", "y"]]
    everything = Pool()
    everything.add(encoded(["x"], [["a", "b"]]).examples)
    assert everything.by_key == {"a": ["x"], "b": ["x"]}
