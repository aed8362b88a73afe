"""The page of a study in Chromium: what axe-core finds, the keyboard, paper; what lies on what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xstilts.study.page import write_page

from ..report.test_page_in_browser import (
    opened,
    test_axe_finds_nothing,
    test_paper_is_white_whatever_the_screen_is,
    test_the_keyboard_reaches_all_in_order_and_shows_where_it_is,
)
from . import answers

__all__ = [
    "test_axe_finds_nothing",
    "test_paper_is_white_whatever_the_screen_is",
    "test_the_keyboard_reaches_all_in_order_and_shows_where_it_is",
]

OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(
  one => !one.closest('.scroll, nav, svg') && one.getBoundingClientRect().right > innerWidth + 1
).length + Math.max(0, document.documentElement.scrollWidth - innerWidth)"""

MEETING = """() => [...document.querySelectorAll('svg:has(.code)')].map(picture => {
  const boxes = [...picture.querySelectorAll('.code')].map(one => one.getBBox());
  const whole = picture.viewBox.baseVal;
  const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width
    && a.y + 2 < b.y + b.height - 2 && b.y + 2 < a.y + a.height - 2;
  return {codes: boxes.length,
          beyond: boxes.filter(box => box.x + box.width > whole.width || box.y < 0).length,
          meeting: boxes.filter((a, i) => boxes.slice(i + 1).some(b => meet(a, b))).length};
})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    write_page(answers.answer(), folder / "all.html")
    write_page(answers.hostile(), folder / "hostile.html")
    # One of each sort: what axe looks at it looks at long.
    some = answers.slope("interaction"), answers.exploratory(answers.contrast())
    some += answers.no_difference(), answers.equivalent(), answers.withheld()
    write_page(answers.answer(*some, missing=("english, seed 3",)), folder / "some.html")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    return (folder / "some.html").as_uri()


@pytest.mark.parametrize("width", [320, 390, 1400])
@pytest.mark.parametrize("name", ["all", "hostile"])
def test_nothing_lies_outside_the_window(browser: Any, folder: Path, name: str, width: int) -> None:
    page = opened(browser, (folder / f"{name}.html").as_uri(), width, "light")
    assert page.evaluate(OUTSIDE) == 0
    page.close()


def test_codes_of_languages_do_not_lie_on_one_another(browser: Any, folder: Path) -> None:
    page = opened(browser, (folder / "all.html").as_uri(), 1400, "light")
    found = page.evaluate(MEETING)
    page.close()
    assert [one["codes"] for one in found if one["codes"] > 25] and len(found) == 3
    assert all(one["meeting"] == 0 and one["beyond"] == 0 for one in found), found
