"""Outcomes on disk: what was written is read, what was never written is None; they are small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xstilts.errors import StoreError
from xstilts.run.outcomes import Items, outcomes_path, read_outcomes, write_outcomes
from xstilts.scores.outcomes import Outcomes

from ..benchmarks.outcomes import BUDGET, written_bytes


def test_what_was_written_is_read(tmp_path: Path) -> None:
    ones = np.ones(3)
    values = np.array([0.25, 1, 2 / 3])
    languages = {
        "en": Items(
            Outcomes.of({"em": [([0, 1, 1], ones, ones)], "f1": [(values, ones, ones)]}), "abc"
        ),
        "de": Items(
            Outcomes.of({"em": [([1], [1], [1])], "f1": [([1], [1], [1])]}, np.array([7])), [None]
        ),
    }
    write_outcomes(tmp_path, "toy", languages)
    found = read_outcomes(tmp_path, "toy")
    assert found is not None and list(found) == ["en", "de"]
    for name, own in languages.items():
        assert list(found[name].keys) == list(own.keys)
        assert found[name].outcomes.rows.tolist() == own.outcomes.rows.tolist()
        for metric, counts in own.outcomes.counts.items():
            assert np.array_equal(found[name].outcomes.counts[metric], counts), metric


def test_counts_of_labels_and_of_sentences_keep_their_sizes(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (5, 4, 3)).astype(float)
    write_outcomes(
        tmp_path, "toy", {"en": Items(Outcomes(np.arange(5), {"f1_macro": counts}), [None] * 5)}
    )
    found = read_outcomes(tmp_path, "toy")
    assert found is not None and np.array_equal(found["en"].outcomes.counts["f1_macro"], counts)


def test_a_result_of_before_has_none_and_a_torn_one_is_told(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path, "toy") is None
    path = outcomes_path(tmp_path, "toy")
    path.parent.mkdir()
    path.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"toy\.parquet: cannot be read"):
        read_outcomes(tmp_path, "toy")


def test_nine_targets_of_a_trial_stay_within_the_budget(tmp_path: Path) -> None:
    """Sets of a tenth of the real ones; the benchmark writes those of full size."""
    assert sum(written_bytes(tmp_path, 0.1).values()) < BUDGET / 10
