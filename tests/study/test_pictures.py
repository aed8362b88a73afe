"""The pictures of a study: where intervals lie, what goes on beyond the scale, what is named."""

from __future__ import annotations

import re
from dataclasses import replace

from xstilts.study.answer import Interval
from xstilts.study.pictures import Scale, bar, scale_of, scatter

from . import answers


def test_a_scale_holds_zero_the_effects_and_the_margin() -> None:
    one = answers.contrast()
    assert scale_of(answers.answer(one)).marks[0] == 0
    marks = scale_of(answers.answer(answers.equivalent(), margin=3.0)).marks
    assert marks[0] <= -3 and marks[-1] >= 3
    assert Scale((-2.0, 0.0, 2.0)).at(0) == 50 and Scale((-2.0, 2.0)).at(-9) == 3


def test_an_interval_lies_where_it_is_told_and_an_arrow_says_that_it_goes_on() -> None:
    answer = answers.answer(answers.contrast())
    one = replace(answers.contrast(), effect=Interval(1.0, 0.0, 2.0))
    drawn = bar(one, answer, Scale((0.0, 1.0, 2.0)))
    assert 'x1="3.0%" x2="97.0%"' in drawn and 'cx="50.0%"' in drawn and drawn.count("M0 -5V5") == 2
    assert "rich_over_english: +1.0 points, 95 % interval" in drawn
    wide = replace(one, effect=Interval(1.0, -70.0, 72.0))
    scale = scale_of(answers.answer(wide))
    assert scale.marks[-1] < 10 and "M0 -5V5" not in bar(wide, answer, scale)


def test_the_margin_is_open_above_where_no_worse_is_asked() -> None:
    answer, scale = answers.answer(), Scale((-2.0, 0.0, 2.0))
    for test, width in (("equivalence", "47.0%"), ("non_inferiority", "70.5%")):
        assert f'x="26.5%" width="{width}"' in bar(answers.equivalent(test), answer, scale)
    assert "margin" not in bar(answers.contrast(), answer, scale)


def test_a_scatter_names_each_language_once_or_says_which_not() -> None:
    one = answers.slope(targets=("udpos", "panx", "tatoeba"))
    picture, without = scatter(one) or ("", [])
    named = re.findall(r'class="code"[^>]*>(\w+)<', picture)
    assert picture.count("<title>") == 3 * len(answers.COVARIATES)
    assert sorted([*named, *without]) == sorted(answers.COVARIATES) and len(named) > 20


def test_an_interaction_has_a_line_and_a_band_for_each_third() -> None:
    picture, _ = scatter(answers.slope("interaction")) or ("", [])
    assert picture.count('class="fitted') == picture.count('class="band') == 3
    assert "upper third from" in picture


def test_without_a_covariate_or_a_cell_that_has_it_there_is_no_scatter() -> None:
    assert scatter(answers.contrast()) is None
    assert scatter(answers.contrast(covariate="c_wals", cells=())) is None
    unknown = answers.cells(["jv"])
    assert scatter(answers.contrast(covariate="c_wals", cells=unknown)) is None
