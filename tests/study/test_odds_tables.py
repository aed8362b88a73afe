"""Odds ratios on a page, in Markdown and LaTeX; a report without them is as it was."""

from __future__ import annotations

from dataclasses import replace

from xstilts.study.answer import Interval, LogisticFit, Odds, OddsRatio
from xstilts.study.latex import latex_parts
from xstilts.study.markdown import as_markdown
from xstilts.study.odds_tables import odds_table, ratio, remarks, terminal_table
from xstilts.study.page import page

from . import answers

FIT = LogisticFit(0.7, 0.2, {"item": 1.25, "arm|item": 0.8, "run": 0.0}, True)
ONE = OddsRatio(
    contrast="rich_over_english",
    formula="right ~ arm + (1 | item) + (0 + arm | item) + (1 | run)",
    runs=(10, 5),
    items=1000,
    of_items=8800,
    rows=15000,
    table_sha256="0" * 64,
    fit=FIT,
    ratio=Interval(2.01, 1.36, 2.98),
    p=0.0004,
)
OTHER = replace(
    ONE, contrast="rich_on_unseen", fit=None, ratio=None, p=None, without="it took too long"
)
ODDS = Odds("4.2.2", "1.1.31", (OTHER, ONE))


def test_a_row_has_ratio_interval_and_what_is_odd_about_it() -> None:
    table = odds_table(answers.answer(), ODDS)
    assert table is not None and [row[0] for row in table.rows] == [ONE.contrast, OTHER.contrast]
    first, second = ([cell.replace("\xa0", " ") for cell in row] for row in table.rows)
    assert first[1:] == [
        "rich − english",
        "2.01 [1.36, 2.98]",
        "<0.001",
        "1,000 of 8,800",
        "10 and 5",
        "item 1.25, arm|item 0.80, run 0.00",
        "singular: no variance is seen of run, so that it is of these runs",
    ]
    assert second[2:4] == ["–", "–"] and second[-2:] == ["–", "not fitted: it took too long"]
    for told in ("Exploratory", "Wald's z", "too narrow", "By lme4 1.1.31 in R 4.2.2", "95 %"):
        assert told in table.note


def test_what_lme4_warns_of_is_told() -> None:
    found = remarks(replace(ONE, fit=replace(FIT, has_converged=False, deviations={"run": 0.1})))
    assert found == ["lme4 warns that it may not have converged"]
    (singular,) = remarks(replace(ONE, fit=replace(FIT, deviations={"item": 0.0, "run": 0.1})))
    assert singular == "singular: no variance is seen of item"


def test_odds_have_as_many_digits_as_can_be_read() -> None:
    found = replace(ONE, ratio=Interval(0.0212, 1e-9, 2.5e30))
    assert ratio(found).replace("\xa0", " ") == "0.021 [<0.001, >999]"


def test_all_forms_have_them_and_are_as_before_without() -> None:
    answer = answers.answer()
    text = page(answer, ODDS)
    checks = text[text.index('<h2 id="checks"') : text.index('<h2 id="limits"')]
    assert "Odds ratios by a logistic mixed model" in checks and "2.01" in checks
    assert "**Odds ratios by a logistic mixed model**" in as_markdown(answer, ODDS)
    parts = latex_parts(answer, ODDS)
    assert "2.01" in parts["odds"] and "Wald" in parts["odds"]
    assert list(parts).index("odds") == list(parts).index("checks") + 1
    for without in (None, Odds("4", "1", ())):
        assert page(answer, without) == page(answer) and "logistic" not in page(answer)
        assert as_markdown(answer, without) == as_markdown(answer)
        assert latex_parts(answer, without) == latex_parts(answer)
        assert odds_table(answer, without) is terminal_table(answer, without) is None
