"""The pictures of a study's page: a forest of contrasts, and differences against a covariate.

A bar of the forest is as wide as its place and keeps the size of its signs, so that a row is as
easy to read on a phone as on paper; all bars have one scale. In a scatter a language is called by
its code where there is room for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup, escape

from xstilts.report.page_parts import signed
from xstilts.report.page_pictures import frame, svg, ticks_of
from xstilts.study.answer import Answer, Cell, Contrast, Line
from xstilts.study.answer_tables import BY_MARGIN, between, level
from xstilts.tasks.languages import language

FURTHEST = 4.0
"""An interval is drawn to so many times the largest estimate; an arrow says that it goes on."""

WIDTH, HEIGHT = 380, 290
"""Of a scatter."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a forest, in points; `at` is in percent of its width."""

    marks: tuple[float, ...]

    def at(self, points: float) -> float:
        low, high = self.marks[0], self.marks[-1]
        return 3 + 94 * max(0.0, min(1.0, (points - low) / (high - low)))


def scale_of(answer: Answer) -> Scale:
    """A scale on which every effect has its place, and zero, and the margin where one is asked."""
    shown = [one for one in answer.contrasts if one.effect is not None]
    fixed = [one.effect.value for one in shown if one.effect] + [0.0]
    if any(one.test in BY_MARGIN for one in shown):
        fixed += [answer.margin, -answer.margin]
    bound = FURTHEST * max(map(abs, fixed)) or 1.0
    ends = [end for one in shown if one.effect for end in (one.effect.low, one.effect.high)]
    near = [max(-bound, min(bound, end)) for end in ends if end is not None]
    return Scale(tuple(ticks_of(min(fixed + near), max(fixed + near))))


def bar(one: Contrast, answer: Answer, scale: Scale) -> Markup:
    """A row of the forest: an effect with its interval, about zero and in its margin."""
    body = "".join(
        _upright(scale.at(mark), "zero" if mark == 0 else "grid") for mark in scale.marks
    )
    if one.test in BY_MARGIN:
        high = answer.margin if one.test == "equivalence" else scale.marks[-1]
        left, right = scale.at(-answer.margin), scale.at(high)
        band = f'x="{left:.1f}%" width="{right - left:.1f}%" height="100%"'
        body = f'<rect class="margin" {band}/>{body}'
    told = f"{one.name}: nothing is tested"
    if one.effect is not None:
        told = f"{one.name}: {signed(one.effect.value)} points"
        if one.effect.low is not None and one.effect.high is not None:
            told += f", {level(answer)} interval {between(one.effect.low, one.effect.high)}"
            body += _whisker(one.effect.low, one.effect.high, scale)
        kind = "dot" if one.standing == "primary" else "dot open"
        body += f'<circle class="{kind}" cx="{scale.at(one.effect.value):.1f}%" cy="50%" r="5.5"/>'
    return _fluid(body, told)


def axis(scale: Scale) -> Markup:
    """The numbers below a forest."""
    body = ""
    for mark in scale.marks:
        body += f'<text class="mid" x="{scale.at(mark):.1f}%" y="14">{marked(mark)}</text>'
    return _fluid(body, f"Scale from {signed(scale.marks[0])} to {signed(scale.marks[-1])} points")


def marked(mark: float) -> str:
    """A number of a scale, with no more digits than it has."""
    return f"{mark:+g}".replace("-", "−") if mark else "0"


def scatter(one: Contrast) -> tuple[Markup, list[str]] | None:
    """Differences of cells against the covariate with the fitted lines and their bands; and the
    languages that are drawn without their code, for want of room. None without a cell to draw."""
    drawn = [cell for cell in one.cells if cell.covariate is not None]
    if not drawn or one.covariate is None:
        return None
    xs = [float(cell.covariate) for cell in drawn if cell.covariate is not None]
    across = [x for line in one.lines for x in line.covariate]
    up = [cell.points for cell in drawn] + [0.0]
    up += [y for line in one.lines for y in (*line.low, *line.high)]
    body, place_x, place_y = frame(xs + across, up, one.covariate, "points", WIDTH, HEIGHT)
    body += f'<path class="zero" d="M44 {place_y(0):.1f}H{WIDTH - 12}"/>'
    ways = ""
    for i, line in enumerate(one.lines):
        path = [(place_x(x), place_y(y)) for x, y in zip(line.covariate, line.points, strict=True)]
        body += f'<polygon class="band l{i % 3}" points="{_path(_band(line, place_x, place_y))}"/>'
        ways += f'<polyline class="fitted l{i % 3}" points="{_path(path)}"/>'
    dots = [(cell, place_x(x), place_y(cell.points)) for cell, x in zip(drawn, xs, strict=True)]
    body += "".join(_dot(cell, x, y) for cell, x, y in dots)
    codes, without = _codes(dots)
    told = f"{len(dots)} differences against {one.covariate}"
    label = f"{one.name}: {told}{_told(one.lines)}"
    return svg(WIDTH, HEIGHT, body + ways + codes, label), without


def _whisker(low: float, high: float, scale: Scale) -> str:
    """An interval with its ends, or with an arrow where it goes on beyond the scale."""
    left, right = scale.at(low), scale.at(high)
    body = f'<line class="whisker" x1="{left:.1f}%" x2="{right:.1f}%" y1="50%" y2="50%"/>'
    ends = (
        (left, low < scale.marks[0], "M5 -6L-1 0L5 6"),
        (right, high > scale.marks[-1], "M-5 -6L1 0L-5 6"),
    )
    for place, is_beyond, arrow in ends:
        path = f'<path class="whisker thin" d="{arrow if is_beyond else "M0 -5V5"}"/>'
        body += f'<svg class="end-of" x="{place:.1f}%" y="50%">{path}</svg>'
    return body


def _upright(place: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{place:.1f}%" x2="{place:.1f}%" y1="0" y2="100%"/>'


def _fluid(body: str, label: str) -> Markup:
    """A picture as wide as its place, whose signs keep their size."""
    return Markup(f'<svg class="fluid" role="img" aria-label="{escape(label)}">{body}</svg>')


def _band(
    line: Line, place_x: Callable[[float], float], place_y: Callable[[float], float]
) -> Iterator[tuple[float, float]]:
    """The outline of a line's band, there along its lower edge and back along its upper."""
    there = zip(line.covariate, line.low, strict=True)
    back = zip(reversed(line.covariate), reversed(line.high), strict=True)
    for part in (there, back):
        yield from ((place_x(x), place_y(y)) for x, y in part)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _dot(cell: Cell, x: float, y: float) -> str:
    told = f"{language(cell.language).name}, {cell.target}: {signed(cell.points)}"
    title = f"<title>{escape(told)}</title>"
    return f'<circle class="dot soft" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>'


def _codes(dots: Sequence[tuple[Cell, float, float]]) -> tuple[str, list[str]]:
    """The codes of languages beside one of their dots, those furthest from the mean first, each
    where it meets nothing; and the languages for which there is no such place."""
    middle = fmean(y for _, _, y in dots)
    taken: list[Box] = [(x - 2.5, y - 2.5, x + 2.5, y + 2.5) for _, x, y in dots]
    places: dict[str, list[tuple[float, float]]] = {}
    for cell, x, y in sorted(dots, key=lambda dot: -abs(dot[2] - middle)):
        places.setdefault(cell.language, []).append((x, y))
    body, without = "", []
    for code, own in places.items():
        wide = 6.3 * len(code)
        for box in (box for x, y in own for box in _around(x, y, wide)):
            if _is_inside(box) and not any(_meet(box, other) for other in taken):
                taken.append(box)
                at = f'x="{box[0]:.1f}" y="{box[3] - 1:.1f}"'
                body += f'<text class="code" {at}>{escape(code)}</text>'
                break
        else:
            without.append(code)
    return body, sorted(without)


def _around(x: float, y: float, wide: float) -> Iterator[Box]:
    """Places for a word of a width about a dot: right, left, above, below, and between them."""
    for left, top in (
        *((x + 4, y - 5), (x - 4 - wide, y - 5), (x - wide / 2, y - 13), (x - wide / 2, y + 4)),
        *((x + 3, y - 11), (x + 3, y + 2), (x - 3 - wide, y - 11), (x - 3 - wide, y + 2)),
    ):
        yield left, top, left + wide, top + 9


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _is_inside(box: Box) -> bool:
    return box[0] >= 46 and box[2] <= WIDTH - 4 and box[1] >= 12 and box[3] <= HEIGHT - 34


def _told(lines: Sequence[Line]) -> str:
    """Where lines begin and end, in words."""
    return "".join(
        f"; {called(line)} from {signed(line.points[0])} to {signed(line.points[-1])}"
        for line in lines
        if line.points
    )


def called(line: Line) -> str:
    """What a line is called: an interaction has one for each third of the intermediates."""
    return f"{line.side} third" if line.side else "the line"
