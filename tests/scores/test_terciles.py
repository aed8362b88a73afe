"""Languages by thirds of a covariate."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.terciles import table, terciles


def test_outer_thirds_are_of_equal_size_and_points_are_between_their_means() -> None:
    found = terciles({"g": 7.0, "a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0, "f": 6.0})
    assert found.languages == tuple("abcdefg")
    assert found.third.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert found.distance == pytest.approx(6.5 - 1.5)
    assert found.thirds(np.array(["g", "a", "d"])).tolist() == [2, 0, 1]
    assert found.centred(np.array(["a", "d"])) == pytest.approx([-3.0, 0.0])


def test_languages_of_one_value_are_in_one_third() -> None:
    found = terciles({"a": 1, "b": 1, "c": 1, "d": 2, "e": 3, "f": 4})
    assert found.third.tolist() == [0, 0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    "values", [{"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0, "c": None}, dict.fromkeys("abcdef", 1.0)]
)
def test_what_has_no_thirds_is_refused(values: dict[str, float | None]) -> None:
    with pytest.raises(ConfigError, match="thirds"):
        terciles(values)


def test_a_table_has_no_cell_without_a_value() -> None:
    points, rows, columns = np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), np.array([1, 1, 0])
    assert table(points, rows) == {("0",): (2.0, 2), ("2",): (5.0, 1)}
    assert table(points, rows, columns) == {("0", "1"): (2.0, 2), ("2", "0"): (5.0, 1)}
