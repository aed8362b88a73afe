"""The pictures of the page, as small SVG with classes for colours.

The page has one style sheet, which knows light, dark and paper. Every picture has a name for who
cannot see it; its numbers stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

LEVELS = 4
"""Shades on each side of zero."""


def level(gain: float | None, bound: float) -> str:
    """The class of a cell: `p1` to `p4` above zero, `m1` to `m4` below, `z` about it, or a hole."""
    if gain is None:
        return "hole"
    step = round(LEVELS * max(-1.0, min(1.0, gain / bound)))
    return f"p{step}" if step > 0 else f"m{-step}" if step < 0 else "z"


def bound_of(gains: Sequence[float | None]) -> float:
    """What the strongest shade stands for: the 95th percentile of sizes, at least a point."""
    known = [abs(gain) for gain in gains if gain is not None]
    return max(1.0, float(np.percentile(known, 95))) if known else 1.0


def interval_bar(gain: float, low: float | None, high: float | None, bound: float) -> Markup:
    """A gain on a line about zero, with its interval where there is one."""

    def x(value: float) -> float:
        return 150 + 145 * max(-1.0, min(1.0, value / bound))

    body = '<path class="axis" d="M5 14H295"/><path class="zero" d="M150 3V25"/>'
    told = f"gain {gain:+.1f}"
    if low is not None and high is not None:
        told += f", 95 % interval {low:+.1f} to {high:+.1f}"
        body += f'<path class="whisker" d="M{x(low):.1f} 14H{x(high):.1f}"/>'
        for end in (low, high):
            body += f'<path class="whisker thin" d="M{x(end):.1f} 9V19"/>'
    body += f'<circle class="dot" cx="{x(gain):.1f}" cy="14" r="5"/>'
    return svg(300, 28, body, told)


def strips(groups: Mapping[str, Sequence[tuple[str, float]]], label: str) -> Markup:
    """A row for each group with a dot for each of its (name, gain), and a bar at their median."""
    left, width, row = 112, 340, 22
    gains = [gain for own in groups.values() for _, gain in own]
    ticks = ticks_of(min([*gains, 0.0]), max([*gains, 0.0]))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return left + (width - left - 12) * (value - low) / (high - low)

    height = row * len(groups) + 24
    body = ""
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        body += f'<path class="{kind}" d="M{x(tick):.1f} 2V{height - 20}"/>'
        body += f'<text x="{x(tick):.1f}" y="{height - 6}" class="mid">{_step(tick)}</text>'
    for i, (name, own) in enumerate(groups.items()):
        y = row * i + row // 2 + 2
        body += f'<text x="{left - 8}" y="{y + 4}" class="end">{escape(name)}</text>'
        for what, gain in own:
            title = f"<title>{escape(what)} {gain:+.1f}</title>"
            body += f'<circle class="dot soft" cx="{x(gain):.1f}" cy="{y}" r="3.5">{title}</circle>'
        median = float(np.median([gain for _, gain in own]))
        body += f'<path class="median" d="M{x(median):.1f} {y - 8}V{y + 8}"/>'
    return svg(width, height, body, label)


def scatter(x: Sequence[float], y: Sequence[float], label: str) -> Markup:
    """Points of dev (across) and score (up); the first, which was chosen, stands out."""
    body, place_x, place_y = frame(x, y, "dev", "score")
    for i in range(len(x) - 1, -1, -1):
        kind, radius = ("dot chosen", 6) if i == 0 else ("dot soft", 3)
        body += (
            f'<circle class="{kind}" cx="{place_x(x[i]):.0f}" cy="{place_y(y[i]):.0f}" '
            f'r="{radius}"/>'
        )
    return svg(300, 200, body, label)


def lines(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    label: str,
    across: str = "step",
    up: str = "loss",
) -> Markup:
    """Curves of what lies across and up, each with the class that colours it."""
    points = [point for _, curve in curves for point in curve]
    body, place_x, place_y = frame([a for a, _ in points], [b for _, b in points], across, up)
    for kind, curve in curves:
        path = " ".join(f"{place_x(a):.0f},{place_y(b):.0f}" for a, b in curve)
        body += f'<polyline class="curve {kind}" points="{path}"/>'
    return svg(300, 200, body, label)


def stacked(parts: Sequence[tuple[str, str, float]], label: str) -> Markup:
    """One bar of (class, name, amount) beside one another."""
    total = sum(amount for _, _, amount in parts) or 1.0
    body, at = "", 0.0
    for kind, name, amount in parts:
        width = 600 * amount / total
        title = f"<title>{escape(name)} {amount:.2f}</title>"
        body += f'<rect class="{kind}" x="{at:.1f}" y="0" width="{width:.1f}" height="26">'
        body += f"{title}</rect>"
        at += width
    return svg(600, 26, body, label, stretch=True)


def parallel(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    objectives: Sequence[float],
    label: str,
    goal: str = "objective",
    is_small: bool = False,
) -> Markup:
    """Parallel coordinates (Inselberg 1985): an axis a parameter and one for the objective, which
    is called `goal`, a line a configuration, coloured by fifths of the objective, the best on top.
    What a configuration does not have lies at the foot of the axis, below its values. One that
    `is_small` stands beside others."""
    left, gap = (44, 114) if is_small else (60, max(130, min(260, 960 // len(names))))
    top, bottom, foot = 42, 280, 312
    ways, body = [], ""
    columns: dict[str, Sequence[Any]] = {name: [row.get(name) for row in rows] for name in names}
    for i, (name, own) in enumerate([*columns.items(), (goal, objectives)]):
        x = left + gap * i
        places, marks = _axis(own, top, bottom)
        ways.append([(x, foot if place is None else place) for place in places])
        body += f'<path class="zero" d="M{x} {top}V{bottom}"/>'
        for j, part in enumerate(_two_lines(name)):
            body += f'<text class="mid name" x="{x}" y="{14 + 14 * j}">{escape(part)}</text>'
        for y, text in marks:
            body += f'<text x="{x + 6}" y="{y + 4:.0f}" class="halo">{escape(text)}</text>'
        if any(place is None for place in places):
            body += f'<text x="{x + 6}" y="{foot + 4}" class="halo">not there</text>'
    order = np.argsort(np.asarray(objectives), kind="stable")
    drawn = ""
    for rank, row in enumerate(order):
        path = " ".join(f"{x},{y:.0f}" for x, y in (way[row] for way in ways))
        drawn += f'<polyline class="way q{5 * rank // len(order)}" points="{path}"/>'
    width = left + gap * len(names) + 70
    faint = " many" if len(order) > 100 else ""
    body = f'<g class="ways{faint}">{drawn}</g>{body}'
    return svg(width, foot + 12, body, label, is_fixed=True)


def _axis(
    values: Sequence[Any], top: float, bottom: float
) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Where values lie on an axis, None for what is not there, and its marks."""
    known = [value for value in values if value is not None]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        low, high = float(min(known)), float(max(known))
        is_log = low > 0 and high / low >= 10
        scale = math.log if is_log else float

        def place(value: float) -> float:
            span = scale(high) - scale(low)
            share = (scale(value) - scale(low)) / span if span else 0.5
            return bottom - (bottom - top) * share

        marks = [(place(low), f"{low:.3g}"), (place(high), f"{high:.3g}")]
        return [None if v is None else place(v) for v in values], marks[: 1 + (high > low)]
    names = sorted({str(value) for value in known})
    step = (bottom - top) / max(1, len(names) - 1)
    spots = {name: bottom - step * i for i, name in enumerate(names)}
    found = [None if value is None else spots[str(value)] for value in values]
    return found, [(y, _short(name)) for name, y in spots.items()]


def frame(
    x: Sequence[float],
    y: Sequence[float],
    across: str,
    up: str,
    width: int = 300,
    height: int = 200,
) -> tuple[str, Any, Any]:
    """Axes with marks for a picture of a width and a height, and where values lie in it."""
    xs, ys = ticks_of(min(x), max(x), 4), ticks_of(min(y), max(y), 4)

    def place_x(value: float) -> float:
        return 44 + (width - 56) * (value - xs[0]) / (xs[-1] - xs[0])

    def place_y(value: float) -> float:
        return height - 36 - (height - 52) * (value - ys[0]) / (ys[-1] - ys[0])

    body = f'<text x="{width - 6}" y="{height - 4}" class="end">{escape(across)}</text>'
    body += f'<text x="48" y="10">{escape(up)}</text>'
    for tick in xs:
        body += f'<text x="{place_x(tick):.0f}" y="{height - 20}" class="mid">{tick:g}</text>'
    for tick in ys:
        body += f'<path class="grid" d="M44 {place_y(tick):.0f}H{width - 12}"/>'
        body += f'<text x="38" y="{place_y(tick) + 4:.0f}" class="end">{tick:g}</text>'
    return body, place_x, place_y


def ticks_of(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from below the least to above the most."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10, 20) if span / (unit * k) <= most)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * i, 10) for i in range(first, max(last, first + 1) + 1)]


def _step(gain: float) -> str:
    return f"{gain:+g}" if gain else "0"


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _two_lines(name: str) -> list[str]:
    """A parameter's name, in two lines where its phase stands before it."""
    phase, dot, rest = name.partition(".")
    return [_short(phase + dot), _short(rest)] if rest else [_short(name)]


def svg(
    width: float,
    height: float,
    body: str,
    label: str,
    stretch: bool = False,
    is_fixed: bool = False,
    about: str = "",
) -> Markup:
    """A picture with a name, and `about` it what else is told. One that can `stretch` fills its
    place whatever its shape; one that `is_fixed` has the size of its letters, and is scrolled
    where it is too wide."""
    how = ' preserveAspectRatio="none"' if stretch else ""
    size = f' style="width:{width:g}px"' if is_fixed else ""
    told = f"<desc>{escape(about)}</desc>" if about else ""
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}"'
        f"{how}{size}>{told}{body}</svg>"
    )
