"""The sentences of an answer: what a contrast says, what the study says, what it does not show."""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.config.schema import Sweep
from xstilts.config.study import StudySpec
from xstilts.study.answer import Answer, Contrast, Interval


def says_of(found: Contrast, study: StudySpec) -> str:
    """What a contrast says, with its interval, in one sentence."""
    first, second = found.arms
    if found.withheld:
        return f"{first} against {second}: {found.withheld}."
    assert found.effect is not None and found.adjusted is not None
    what = _what(found, study)
    means = "Holm" if found.standing == "primary" else "Benjamini and Hochberg"
    judged = f"{_p(found.adjusted)} by {means}"
    text = f"{what}: {_points(found.effect, study.alpha)}, {judged}, {_where(found)}"
    if found.test == "difference" and not found.holds and found.detectable is not None:
        text += f"; {found.detectable:.1f} points would have been found with a probability of 80 %"
    if found.test in ("equivalence", "non_inferiority") and not found.holds:
        needed = found.seeds_needed
        text += (
            "; no number of seeds would show it on these items"
            if needed is None
            else f"; at this spread it takes {needed} seeds of each arm"
        )
    return f"{text}."


def says(answer: Answer, study: StudySpec) -> str:
    """The answer: what the contrasts say that the study calls primary."""
    told = []
    for one in answer.contrasts:
        if one.name in study.primary:
            told.append(one.says if one.standing == "primary" else f"Exploratory: {one.says}")
    return " ".join(told)


def limits(answer: Answer, sweep: Sweep) -> Iterator[str]:
    """What an answer does not show, a sentence each."""
    for one in answer.contrasts:
        if one.withheld:
            yield f"{one.name}: nothing is said; {one.withheld}."


def _what(found: Contrast, study: StudySpec) -> str:
    """What is shown, or not."""
    first, second = found.arms
    margin = f"{study.margin:g} point{'' if study.margin == 1 else 's'}"
    assert found.effect is not None
    if found.test == "equivalence":
        shown = "are as good as equal" if found.holds else "are not shown to be equal"
        return f"{first} and {second} {shown}, within {margin}"
    if found.test == "non_inferiority":
        shown = "is no worse than" if found.holds else "is not shown to be no worse than"
        return f"{first} {shown} {second}, within {margin}"
    if not found.holds:
        return f"no difference of {first} and {second} is shown"
    return f"{first} is {'better' if found.effect.value > 0 else 'worse'} than {second}"


def _points(found: Interval, alpha: float) -> str:
    share = f"{100 * (1 - alpha):g} %"
    if found.low is None or found.high is None:
        return f"{found.value:+.1f} points"
    return f"{found.value:+.1f} points ({share}: {found.low:+.1f} to {found.high:+.1f})"


def _where(found: Contrast) -> str:
    few = "language" if len(found.languages) == 1 else "languages"
    return f"on {', '.join(found.targets)} in {len(found.languages)} {few}"


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
