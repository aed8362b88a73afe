"""The sentences of an answer: what a contrast says, what the study says, what it does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.config.study import StudySpec
from xstilts.study.answer import Answer, Contrast, Interval
from xstilts.study.registration import reasons

_FEW_SEEDS = 5


def says_of(found: Contrast, study: StudySpec) -> str:
    """What a contrast says, with its interval, in one sentence."""
    first, second = found.arms
    if found.withheld:
        return f"Of {first} and {second} nothing is said: {found.withheld}."
    assert found.effect is not None and found.adjusted is not None
    by = "Holm" if found.standing == "primary" else "Benjamini and Hochberg"
    points = points_of(found.effect, study.alpha)
    if found.test in ("slope", "interaction"):
        points += " between the outer thirds"
    text = f"{_shown(found, study)}: {points}, {_p(found.adjusted)} by {by}, {_where(found)}"
    if not found.holds:
        text += _instead(found)
    return f"{text[0].upper()}{text[1:]}."


def says(answer: Answer, study: StudySpec) -> str:
    """The answer: what the contrasts say that the study calls primary."""
    named = [one for one in answer.contrasts if one.name in study.primary]
    told = [one.says if one.standing == "primary" else f"Exploratory: {one.says}" for one in named]
    return " ".join(told)


def limits(answer: Answer, sweep: Sweep) -> Iterator[str]:
    """What an answer does not show, a sentence each."""
    yield from reasons(answer.registered)
    exploratory = [one.name for one in answer.contrasts if one.standing == "exploratory"]
    if exploratory:
        yield f"Exploratory, and for another study to confirm: {', '.join(exploratory)}."
    for one in answer.contrasts:
        yield from _of_contrast(one, answer.alpha)
    yield from (f"Not probed: {one}." for one in answer.unprobed)
    if len(sweep.seeds) < _FEW_SEEDS:
        yield f"{len(sweep.seeds)} seeds say little of how far runs spread; intervals are wide."
    if any(one.test not in ("slope", "interaction") for one in answer.contrasts):
        yield (
            "Differences are of these targets in these languages, which are taken as they are and "
            "not as a sample of others."
        )
    translated = [name for name in _intermediates(answer) if _is_translated(sweep, name)]
    if translated:
        yield f"Translated by machine, with what that does to a text: {', '.join(translated)}."


def points_of(found: Interval, alpha: float) -> str:
    """A number of points with its interval."""
    if found.low is None or found.high is None:
        return f"{found.value:+.1f} points"
    share = f"{100 * (1 - alpha):g} %"
    return f"{found.value:+.1f} points ({share}: {found.low:+.1f} to {found.high:+.1f})"


def _shown(found: Contrast, study: StudySpec) -> str:
    """What is shown, or not."""
    first, second = found.arms
    margin = f"within {study.margin:g} point{'' if study.margin == 1 else 's'}"
    assert found.effect is not None
    is_more = found.effect.value > 0
    if found.test == "equivalence":
        shown = "are as good as equal" if found.holds else "are not shown to be equal"
        return f"{first} and {second} {shown}, {margin}"
    if found.test == "non_inferiority":
        shown = "is no worse than" if found.holds else "is not shown to be no worse than"
        return f"{first} {shown} {second}, {margin}"
    if found.test == "difference":
        if not found.holds:
            return f"no difference of {first} and {second} is shown"
        return f"{first} is {'better' if is_more else 'worse'} than {second}"
    of = "the target language" if found.test == "slope" else "target and intermediate language"
    grows = f"{'grows' if is_more else 'falls'} with"
    change = grows if found.holds else "is not shown to change with"
    together = "" if found.test == "slope" else " together"
    return f"the difference of {first} over {second} {change} {found.covariate} of {of}{together}"


def _instead(found: Contrast) -> str:
    """What stands beside an answer that shows nothing."""
    if found.test in ("equivalence", "non_inferiority"):
        if found.seeds_needed is None:
            return "; no number of seeds would show it, on these items"
        return f"; at this spread it takes {found.seeds_needed} seeds of each arm"
    if found.detectable is None:
        return ""
    return f"; {found.detectable:.1f} points would have been found with a probability of 80 %"


def _of_contrast(found: Contrast, alpha: float) -> Iterator[str]:
    """What one contrast does not show."""
    if found.withheld:
        yield f"{found.name}: nothing is said, as {found.withheld}."
    if found.confounds:
        both = " and ".join((*found.differ_in, *found.confounds))
        yield f"{found.name}: its arms differ in {both}, and what each does is not told apart."
    if found.unknown:
        left = f"{found.covariate} is not known of {', '.join(found.unknown)}"
        yield f"{found.name}: {left}, which are in no slope and no third."
    if found.collapsed:
        number = sum(found.runs)
        own = f"{found.name}: {len(found.collapsed)} of {number} runs did not learn a target"
        own += f" ({'; '.join(found.collapsed)})"
        if found.test in ("slope", "interaction"):
            yield f"{own}; they have no row in the {found.test}, and count in the differences."
        elif found.learnt is None:
            yield f"{own}; they count."
        else:
            yield f"{own}; they count, and without their seeds it is {_learnt(found, alpha)}."
    if found.difference is not None and "items" not in found.variances and _is_of_means(found):
        yield (
            f"{found.name}: what its items add to the noise is not known, and the interval is of "
            "seeds alone."
        )
    alone = [_p(found.items_p)] if found.items_p is not None else []
    alone += [points_of(found.by_items, alpha)] if found.by_items else []
    if alone:
        told = f"{found.name}: by items alone {', '.join(alone)}, which speaks of these checkpoints"
        yield f"{told} and not of the method."


def _learnt(found: Contrast, alpha: float) -> str:
    assert found.learnt is not None
    return points_of(found.learnt, alpha)


def _is_of_means(found: Contrast) -> bool:
    return found.test not in ("slope", "interaction")


def _where(found: Contrast) -> str:
    few = "language" if len(found.languages) == 1 else "languages"
    return f"on {', '.join(found.targets)} in {len(found.languages)} {few}"


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


def _intermediates(answer: Answer) -> Sequence[str]:
    names = dict.fromkeys(name for arm in answer.arms for name in arm.intermediates)
    return [name for name in names if name != NONE]


def _is_translated(sweep: Sweep, name: str) -> bool:
    """Whether an intermediate has data that are translated, and not only the originals."""
    spec = sweep.intermediates[name]
    return spec.translated and set(spec.languages or ("en",)) != {"en"}
