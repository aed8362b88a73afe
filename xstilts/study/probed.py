"""What probes say of the encoders of a study's arms, before their intermediates and after.

An arm stands for all trials of search that it selects, each of which has an encoder of its own;
before it are the pretrained encoders of its models. A number is the mean over them, and there is
none unless each of them has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from xstilts.config.derive import NONE
from xstilts.config.probe_checks import unprobed_languages
from xstilts.config.study_arms import selects
from xstilts.records import TrialRecord
from xstilts.scores.probes import UNITS, Name, mean_over_languages
from xstilts.study.answer import Probed
from xstilts.study.arm_runs import StudyRuns


def probed(runs: StudyRuns) -> tuple[tuple[Probed, ...], tuple[str, ...]]:
    """The probes of every arm, means over languages first, and what could not be read, a line each;
    nothing where the sweep asks for none."""
    if runs.sweep.probes is None:
        return (), ()
    searched = runs.results.searched
    languages: dict[str, dict[str, None]] = {probe: {} for probe in UNITS}
    for name in sorted({Name.of(key) for one in searched for key in one.probes}, key=str):
        languages[name.probe][name.language] = None
    found = [one for arm in runs.study.arms for one in _of_arm(runs, arm, languages)]
    unread = {
        f"{probe} of {one.model}: {why}"
        for one in searched
        for probe, why in one.probe_holes.items()
    }
    lacking = unprobed_languages(runs.sweep)
    of_text = [f"{runs.sweep.probes.parallel} in {', '.join(lacking)}"] if lacking else []
    return tuple(found), (*of_text, *sorted(unread))


def _of_arm(
    runs: StudyRuns, arm: str, languages: Mapping[str, Mapping[str, None]]
) -> Iterator[Probed]:
    spec, members = runs.study.arms[arm], runs.members_of(arm)
    pairs = {(one.intermediate, one.model) for one in members}
    models = {one.model for one in members}
    searched = runs.results.searched
    own = [
        one
        for one in searched
        if (one.intermediate, one.model) in pairs
        and selects(
            runs.sweep, spec, {**one.point, "intermediate": one.intermediate, "model": one.model}
        )
    ]
    pretrained = [one for one in searched if one.intermediate == NONE and one.model in models]
    for probe, codes in languages.items():
        if not codes:
            continue
        sides = [[_mean(records, probe, code) for code in codes] for records in (pretrained, own)]
        before, after = (mean_over_languages(probe, side) for side in sides)
        yield Probed(arm, probe, None, before, after)
        for code, *both in zip(codes, *sides, strict=True):
            yield Probed(arm, probe, code, *both)


def _mean(records: Sequence[TrialRecord], probe: str, code: str) -> float | None:
    values = [one.probes.get(str(Name(probe, code))) for one in records]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
