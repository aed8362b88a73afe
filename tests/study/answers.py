"""Answers that tests make: of every test, withheld, exploratory, with many languages, with one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from xstilts.study.answer import (
    Answer,
    Arm,
    Cell,
    Contrast,
    Group,
    Interval,
    Line,
    Probed,
    Registered,
)
from xstilts.tasks.languages import LANGUAGES

HOSTILE = '<b> & "x" \\input{a} $_%#^~ | `z` *w*'
"""What HTML, LaTeX and Markdown would read as theirs."""

CODES = sorted(code for code, one in LANGUAGES.items() if one.family != "Constructed")
COVARIATES = {
    code: float(one.values["c_wals"])  # type: ignore[arg-type]
    for code, one in LANGUAGES.items()
    if one.values["c_wals"] is not None
}


def cells(codes: list[str], targets: tuple[str, ...] = ("udpos",)) -> tuple[Cell, ...]:
    """A cell for each language and target, its points a line of the covariate and a wave."""
    found = []
    for i, code in enumerate(codes):
        x = COVARIATES.get(code)
        for j, target in enumerate(targets):
            points = 6.0 * ((x if x is not None else 0.4) - 0.4) + 1.3 * math.sin(2.4 * i + j)
            half = 0.8 + 0.5 * math.cos(i) ** 2
            family = LANGUAGES[code].family if code in LANGUAGES else "not known"
            found.append(Cell(target, code, points, points - half, points + half, x, family))
    return tuple(found)


def line(side: str, tilt: float, shift: float = 0.0) -> Line:
    """A line with a band that is wider at its ends."""
    xs = tuple(i / 10 for i in range(1, 9))
    points = [shift + tilt * (x - 0.45) for x in xs]
    half = [0.5 + 4 * (x - 0.45) ** 2 for x in xs]
    low = tuple(y - h for y, h in zip(points, half, strict=True))
    high = tuple(y + h for y, h in zip(points, half, strict=True))
    return Line(side, xs, tuple(points), low, high)


def contrast(name: str = "rich_over_english", **changes: Any) -> Contrast:
    """A primary difference over four languages that holds."""
    codes = ["de", "fi", "tr", "vi"]
    whole = Contrast(
        name=name,
        standing="primary",
        test="difference",
        arms=("rich", "english"),
        differ_in=("languages",),
        confounds=(),
        covariate=None,
        targets=("udpos",),
        languages=tuple(codes),
        runs=(10, 5),
        difference=Interval(1.84, 0.62, 3.06, 7.3),
        effect=Interval(1.84, 0.62, 3.06, 7.3),
        p=0.0081,
        adjusted=0.0162,
        holds=True,
        detectable=1.6,
        seeds_needed=None,
        withheld="",
        unknown=(),
        cells=cells(codes),
        groups=(
            Group("family", "Indo-European", 1.2, 0.3, 2.1, ("de",), 1),
            Group("family", "Uralic", 2.4, None, None, ("fi",), 1),
            Group("target", "udpos", 1.84, 0.62, 3.06, tuple(codes), 4),
        ),
        lines=(),
        variances={"seed": 0.21, "items": 0.04},
        by_intermediate=None,
        permutation_p=None,
        items_p=0.0004,
        losing=1,
        worst=-0.7,
        by_items=Interval(1.84, 1.02, 2.66),
        by_items_and_languages=Interval(1.84, -0.11, 3.79, 2.8),
        says="rich beats english by 1.8 points [+0.6, +3.1], p = 0.016 by Holm, on udpos.",
    )
    return replace(whole, **changes)


def no_difference() -> Contrast:
    """One that does not hold, beside what would have been found."""
    effect = Interval(0.31, -0.92, 1.54, 6.1)
    says = (
        "rich and english are not told apart: +0.3 points [-0.9, +1.5]; 1.9 would have been found."
    )
    found = {"difference": effect, "effect": effect, "p": 0.42, "adjusted": 0.42, "holds": False}
    return contrast("rich_on_unseen", detectable=1.9, says=says, **found)


def equivalent(test: str = "equivalence") -> Contrast:
    """A test by the margin that does not hold, with the seeds that it would need."""
    effect = Interval(-0.2, -1.4, 1.0, 8.0)
    says = (
        "half and english are not shown to be equal within 1 point; it takes 14 seeds of each arm."
    )
    found = {"difference": effect, "effect": effect, "p": 0.09, "adjusted": 0.18, "holds": False}
    more = {"test": test, "seeds_needed": 14, "detectable": None, "arms": ("half", "english")}
    return contrast(f"half_{test}", says=says, **found, **more)


def slope(test: str = "slope", targets: tuple[str, ...] = ("udpos",)) -> Contrast:
    """A slope, or an interaction, over all languages, not all of which have the covariate."""
    known = sorted(COVARIATES)
    thirds = [known[i::3] for i in range(3)]
    is_slope = test == "slope"
    lines = [("", 6.0, 0.0)] if is_slope else [("lower", 1, 0), ("middle", 4, 0.2)]
    lines += [] if is_slope else [("upper", 8, 0.3)]
    return contrast(
        f"{test}_by_complexity",
        test=test,
        covariate="c_wals",
        targets=targets,
        languages=tuple(CODES),
        effect=Interval(3.4, 1.1, 5.7, 11.2),
        unknown=tuple(code for code in CODES if code not in COVARIATES),
        cells=cells(CODES, targets),
        groups=tuple(
            Group("third", name, points, points - 1, points + 1, tuple(own), len(own))
            for name, points, own in zip(
                ("lower", "middle", "upper"), (-1.1, 0.4, 2.2), thirds, strict=True
            )
        ),
        lines=tuple(line(*one) for one in lines),
        variances={"target": 1.21, "family": 0.4, "task": 0.0, "residual": 0.9},
        by_intermediate=None if is_slope else Interval(3.1, 0.4, 5.8, 6.0),
        permutation_p=0.013,
        collapsed=("mnli_sw on xlmr_base, seed 3: udpos",),
        learnt=Interval(3.9, 1.4, 6.4, 8.0),
        says="The difference grows by 3.4 points [+1.1, +5.7] from the lower to the upper third.",
    )


def withheld() -> Contrast:
    """One that nothing is tested of."""
    return contrast(
        "slope_on_few",
        test="slope",
        covariate="c_wals",
        effect=None,
        p=None,
        adjusted=None,
        holds=False,
        detectable=None,
        withheld="a slope needs 12 target languages with c_wals, there are 4",
        says="rich against english: a slope needs 12 target languages with c_wals, there are 4.",
        variances={},
        items_p=None,
        by_items=None,
        by_items_and_languages=None,
    )


def exploratory(one: Contrast) -> Contrast:
    """The same, as nobody had registered it."""
    return replace(one, name=f"{one.name}_too", standing="exploratory")


def answer(*contrasts: Contrast, **changes: Any) -> Answer:
    """An answer with these contrasts, all of them where none is named."""
    own = contrasts or (
        exploratory(contrast()),
        slope("interaction", ("udpos", "panx")),
        contrast(),
        no_difference(),
        equivalent(),
        equivalent("non_inferiority"),
        exploratory(slope()),
        withheld(),
    )
    whole = Answer(
        sweep="complexity",
        question="Does intermediate data in a rich language help rich targets more than English?",
        alpha=0.05,
        margin=1.0,
        seeds=5,
        registered=registered(),
        arms=(
            arm("english", ("mnli_en",), examples=20_000, steps=625, score=61.4),
            arm("rich", ("mnli_sw", "mnli_tr"), examples=20_000, steps=625, score=63.2, runs=10),
            arm("half", ("mnli_half", "mnli_more"), collapsed=2),
            arm("none", ("none",), score=60.0),
        ),
        contrasts=own,
        says="Yes: rich beats english by 1.8 points [+0.6, +3.1], p = 0.016 by Holm, on udpos.",
        limits=("Silver labels of PAN-X.", "Complexity is confounded with family and script."),
        missing=(),
    )
    return replace(whole, **changes)


def registered(**changes: Any) -> Registered:
    """A registration that nothing has changed since."""
    return replace(Registered("2026-11-30 01:00 UTC", "3f2a9c" * 10, 0, ()), **changes)


def arm(name: str, intermediates: tuple[str, ...], **changes: Any) -> Arm:
    """An arm of five seeds whose sizes differ."""
    whole = Arm(name, intermediates, ("xlmr_base",), (0, 1, 2, 3, 4), 5, 0, None, None, None)
    return replace(whole, **changes)


def hostile() -> Answer:
    """Names that are long, and full of what HTML, LaTeX and Markdown read as theirs."""
    name = "a_very_long_name_of_a_contrast_that_somebody_chose_for_it_all"
    one = contrast(
        name,
        arms=(HOSTILE, "an_arm_with_a_name_as_long_as_names_may_be_for_a_page_or_two"),
        says=f"{HOSTILE} is nothing.",
        targets=(HOSTILE,),
        cells=cells(["de", "qqx"], (HOSTILE,)),
    )
    held = replace(withheld(), withheld=HOSTILE, says=HOSTILE)
    changes: dict[str, Any] = dict.fromkeys(("question", "says", "sweep"), HOSTILE)
    arms = (arm(HOSTILE, (HOSTILE, HOSTILE)),)
    return answer(one, held, **changes, arms=arms, limits=(HOSTILE,), missing=(HOSTILE,))


def probed() -> tuple[Probed, ...]:
    """Two probes of two arms in two languages; one language of the second arm is a hole."""
    return (
        Probed("english", "fertility", None, 1.5, 1.5),
        Probed("english", "fertility", "fi", 1.75, 1.75),
        Probed("english", "fertility", "vi", 1.25, 1.25),
        Probed("english", "alignment", None, 17.4, -16.3),
        Probed("english", "alignment", "fi", 20.4, 12.0),
        Probed("english", "alignment", "vi", 14.4, 20.6),
        Probed("rich", "alignment", None, 17.4, None),
        Probed("rich", "alignment", "fi", 20.4, 21.0),
        Probed("rich", "alignment", "vi", 14.4, None),
    )
