"""The page in Chromium: what axe-core finds, what the keyboard reaches, what paper shows."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from xstilts.report.page import write_page
from xstilts.report.results import load_results

from ..conftest import require
from .stored import confirmed_places, confirmed_sweep, searched_points

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = "axe_playwright_python"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

FOCUSED = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const all = [...document.querySelectorAll('*')];
  // The middle of what of it is in the window.
  const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
  const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
  const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return {place: all.indexOf(e), tag: e.tagName, name: e.getAttribute('aria-label') || e.innerText,
          outline: style.outlineStyle == 'none' ? 0 : parseFloat(style.outlineWidth),
          isSeen: there !== null && (e.contains(there) || there.contains(e)),
          isBody: e === document.body};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    require("browser", CHROMIUM is not None, "chromium is not installed")
    has_axe = importlib.util.find_spec(AXE) is not None
    require("axe", has_axe, f"{AXE} is not installed (extra `test`)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    places = confirmed_places(tmp_path_factory.mktemp("page"), confirmed_sweep())
    searched_points(places)
    path = write_page(load_results(places), places.storage / "page.html", "family")
    return path.as_uri()


def opened(browser: Any, address: str, width: int, scheme: str) -> Any:
    """The page in a window of its own, with all that can be opened open."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing(browser: Any, address: str, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, address, width, scheme)
    try:
        found = Axe().run(page, options={"runOnly": RULES})
    finally:
        page.close()
    assert len(found.response["passes"]) > 10, "it looked at the page"
    assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("width", [390, 1400])
def test_the_keyboard_reaches_all_in_order_and_shows_where_it_is(
    browser: Any, address: str, width: int
) -> None:
    page = opened(browser, address, width, "light")
    wanted = page.locator("a, summary, [tabindex='0']").count()
    reached = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    page.close()
    assert [one["place"] for one in reached] == sorted({one["place"] for one in reached})
    assert {one["tag"] for one in reached} == {"A", "SUMMARY", "DIV"}
    for one in reached:
        assert one["outline"] >= 2 and one["isSeen"] and one["name"], one


def test_paper_is_white_whatever_the_screen_is(browser: Any, address: str) -> None:
    page = opened(browser, address, 800, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(style.format("body", "color")) == "rgb(22, 24, 29)"
    assert page.evaluate(style.format("nav", "display")) == "none"
    page.close()
