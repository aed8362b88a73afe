"""The page: the numbers of `best`, holes, ties, escaped names, colours that can be read."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from xstilts.files import write_atomically
from xstilts.report import page_pictures as pictures
from xstilts.report.page import ANSWERS, page, write_page
from xstilts.report.results import load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.run.places import SWEEP_FILE, Places
from xstilts.scores.verdict import Word

from .stored import confirmed_places, confirmed_sweep, searched_points
from .test_verdicts import put

STYLE = Path(pictures.__file__).with_name("page.html").read_text(encoding="utf-8")
VOID = {"meta", "path", "circle", "rect", "polyline"}


class Page(HTMLParser):
    """Texts of cells by table, classes of cells, and whether every element is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.classes: dict[str, set[str]] = {}
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self._class = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.ids += [own["id"] or ""] if "id" in own else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._class = own.get("class") or ""

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & {*self.open[-2:]} and "table" in self.open:
            self.tables[-1][-1][-1] += data
            self.classes.setdefault(data, set()).update(self._class.split())

    def table(self, first: str, columns: int) -> list[list[str]]:
        """The table whose header begins so and has so many columns."""
        return next(t for t in self.tables if t[0][0] == first and len(t[0]) == columns)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return confirmed_places(tmp_path, confirmed_sweep())


def made(places: Places) -> tuple[str, Page]:
    text = page(load_results(places))
    return text, Page(text)


def test_the_numbers_are_those_of_best(places: Places) -> None:
    text, found = made(places)
    row = SweepResults(places).best.iloc[0]
    shown = dict(zip(*found.table("target", 12), strict=True))
    numbers = {name: float(shown[name].replace("−", "-")) for name in ("score", "none", "sd")}
    assert numbers == pytest.approx(
        {"score": row["score"], "none": row["none"], "sd": row["spread"]}, abs=0.005
    )
    assert (shown["low"], shown["high"]) == (f"{row['low']:+.2f}", f"{row['high']:+.2f}")
    assert (shown["verdict"], shown["best"], shown["seeds"]) == ("best", "nli", "5")
    assert '<p class="who">nli</p>' in text
    assert row["command"] in text.replace("&#39;", "'"), "who reads it can export it"
    assert text == page(load_results(places)), "equal records, equal bytes"


def test_ties_are_hatched_and_holes_are_open(tmp_path: Path) -> None:
    sweep = confirmed_sweep(targets=["mini_xnli", "mini_tatoeba"])
    places = confirmed_places(tmp_path, sweep)
    for seed in (0, 1):
        shutil.rmtree(places.trials / f"mix-c-s{seed}")
        shutil.rmtree(places.trials / f"qa-c-s{seed}")
        put(places, "qa", seed, 74.1 + seed)
    _, found = made(places)
    header, first, second = found.table("target", 4)
    assert header == ["target", "none", "nli", "qa"], "what has no run has no column"
    assert second == ["mini_tatoeba", "–", "–", "–"], "no average over a hole"
    assert {"tie", "is-best"} <= found.classes["+4.0"] and first[2].startswith("+4.0")
    assert {"tie", "is-search"} <= found.classes["+4.6"]


def test_what_users_wrote_is_escaped(places: Places) -> None:
    hostile = "# </pre><script>alert(1)</script> & <b>\nname: s\n"
    write_atomically(places.launch(1) / SWEEP_FILE, hostile)
    put(places, "none", 7, 70, state="failed", error="<img src=x onerror=alert(2)> & more")
    text, found = made(places)
    assert "<script" not in text and "<img" not in text and "&lt;img src=x" in text
    assert "&lt;/pre&gt;&lt;script&gt;" in text and found.open == []
    bar = pictures.strips({"<a>": [('"x"', 1.0)]}, 'a "name" & <more>')
    assert "<a>" not in bar and "&lt;more&gt;" in bar and '"x"' not in bar


def test_every_verdict_has_an_answer() -> None:
    assert {*ANSWERS} == {*get_args(Word)}


def test_it_is_whole_by_itself(places: Places) -> None:
    text, found = made(places)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert not re.search(r"https?://|@import|url\(", text)
    assert len(found.ids) == len(set(found.ids)) and found.open == []


def test_an_unfinished_sweep_is_marked(places: Places) -> None:
    assert 'class="unfinished"' not in made(places)[0]
    shutil.rmtree(places.trials / "qa-c-s1")
    text, _ = made(places)
    assert 'class="unfinished"' in text and "7 of 8 trials of search have ended" in text


def test_a_sweep_without_a_finished_trial_has_a_page(places: Places) -> None:
    for folder in places.trials.iterdir():
        shutil.rmtree(folder)
    text, found = made(places)
    assert "0 finished trials" in text and found.open == []
    path = write_page(load_results(places), places.storage / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("gain", "shade"),
    [(None, "hole"), (0.0, "z"), (0.9, "p1"), (-4.1, "m4"), (99.0, "p4"), (0.2, "z")],
)
def test_shades(gain: float | None, shade: str) -> None:
    assert pictures.level(gain, 4.0) == shade


def test_an_interval_lies_where_it_is_told() -> None:
    bar = pictures.interval_bar(2.0, -2.0, 4.0, 4.0)
    assert "M77.5 14H295.0" in bar and 'cx="222.5"' in bar
    assert "95 % interval -2.0 to +4.0" in bar


def test_a_line_goes_to_the_foot_where_a_parameter_is_not_there() -> None:
    rows: list[dict[str, Any]] = [{"a": "x", "lr": 1e-5}, {"a": "y", "lr": 1e-3}, {"a": "none"}]
    drawn = pictures.parallel(["a", "lr"], rows, [1.0, 2.0, 3.0], "p")
    ways = re.findall(r'class="way q(\d)" points="([^"]+)"', drawn)
    assert [rank for rank, _ in ways] == ["0", "1", "3"], "the best is drawn last"
    assert ways[-1][1].split()[1].endswith(",312") and "not there" in drawn


def test_what_each_target_searched_is_shown(places: Places) -> None:
    assert "No target had more than one point" in made(places)[0]
    searched_points(places)
    text, found = made(places)
    assert "mini_xnli: intermediate, target.learning_rate and dev of 8 points" in text
    header, *rows = found.table("target", 6)
    assert header == ["target", "parameter", "effect", "n", "groups", "p"]
    assert rows == [["mini_xnli", "target.learning_rate", "1.50", "8", "2", "0.000"]]
    header, *rows = next(t for t in found.tables if t[0][-1] == "kept")
    assert header == ["target", "target.learning_rate", "runs", "dev", "over", "kept"]
    assert [row[1:3] + row[4:] for row in rows] == [
        ["0.0008", "8", "+1.50", "8"],
        ["0.0005", "8", "−1.50", "0"],
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(some: str, other: str) -> float:
    light, dark = sorted((luminance(some), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_letters_can_be_read(scheme: int) -> None:
    """WCAG 2.2 AA: 4.5 for letters, 3 for what is drawn."""
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
    assert len(colours) > 20
    shades = [name for name in colours if re.fullmatch(r"[pm][1-4]|z|good|bad|page|card", name)]
    letters = [("text", shade) for shade in shades]
    letters += [(name, on) for name in ("dim", "link") for on in ("page", "card")]
    drawn = [(name, "page") for name in ("mark", "base", "chosen", "warn", "q4")]
    for pairs, least in ((letters, 4.5), (drawn, 3.0)):
        for name, on in pairs:
            assert contrast(colours[name], colours[on]) >= least, (name, on)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_shows_it_without_a_sideways_scroll(places: Places, width: int) -> None:
    assert CHROMIUM is not None
    write_page(load_results(places), places.storage / "page.html")
    # A window of Chromium is 500 pixels wide at least; a frame may be narrower.
    frame = places.storage / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="page.html" style="border:0;width:{width}px;height:900px"></iframe>'
        '<script>onload = () => { const d = document.getElementById("f").contentDocument;'
        "const o = [...d.querySelectorAll('section, section *')].filter(e =>"
        "!e.closest('.scroll, svg, details') && e.getBoundingClientRect().right > innerWidth_);"
        'document.title = d.documentElement.scrollWidth + " " + d.querySelectorAll("svg").length +'
        ' " " + o.length; }; const innerWidth_ = ' + str(width + 1) + "</script>"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=3000"]
    command += ["--window-size=1500,1000", f"--user-data-dir={places.storage / 'profile'}"]
    told = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", told.stdout)
    assert found is not None, told.stderr[-2000:]
    scroll, pictures_shown, outside = map(int, found.groups())
    assert scroll <= width and outside == 0 and pictures_shown >= 3
