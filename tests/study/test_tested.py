"""Groups of a contrast's cells: strata, thirds, families, targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xstilts.study.analysis import answered
from xstilts.study.answer import Group

from .stored import launched_places, planted, put_all, study_sweep


def groups_of(root: Path, kind: str, **contrast: Any) -> dict[str, Group]:
    sweep = study_sweep({}, contrast)
    places = launched_places(root, sweep)
    even = planted({}, spread=0.05)

    def score(intermediate: str, seed: int, target: str, language: str) -> float:
        gains = intermediate in ("mnli_tr", "mnli_sw") and language in ("tr", "sw")
        return even(intermediate, seed, target, language) + 3.0 * gains

    found = answered(put_all(places, sweep, score)).contrasts[0]
    return {one.name: one for one in found.groups if one.kind == kind}


def test_thirds_of_the_covariate(tmp_path: Path) -> None:
    """Of c_wals: tr and sw are the most complex of the seven."""
    found = groups_of(tmp_path, "third", covariate="c_wals", strata="tercile")
    assert list(found) == ["lower", "middle", "upper"]
    assert {*found["upper"].languages} == {"sw", "tr"}
    assert {*found["lower"].languages} == {"vi", "zh"} and found["middle"].cells == 3
    upper = found["upper"]
    assert upper.points == pytest.approx(3, abs=0.2)
    assert upper.low is not None and upper.high is not None and upper.low < 3.1 < upper.high + 0.3
    assert abs(found["lower"].points) < 0.2


def test_strata_of_a_class_and_of_a_text(tmp_path: Path) -> None:
    found = groups_of(tmp_path / "a", "stratum", strata="script")
    assert {*found} > {"Latn", "Cyrl"}
    assert found["Latn"].languages == ("de", "en", "sw", "tr", "vi")
    by_class = groups_of(tmp_path / "b", "stratum", strata="joshi_class")
    assert by_class["2"].languages == ("sw",) and by_class["2"].cells == 1


def test_a_stratum_of_numbers_is_a_third_of_them(tmp_path: Path) -> None:
    assert [*groups_of(tmp_path, "stratum", strata="ttr")] == ["lower", "middle", "upper"]
