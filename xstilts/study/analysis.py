"""A study answered: from the records of its sweep, the outcomes in its store and its file alone.

The same records give the same answer, whenever and wherever it is computed: nothing is drawn that
is not seeded, and sums do not hang on the number of cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from xstilts.config.study_checks import cells
from xstilts.errors import ConfigError, Problem
from xstilts.plan.stage import class_of
from xstilts.records import TrialRecord
from xstilts.report.results import Results
from xstilts.run.places import INVENTORY
from xstilts.scores.contrasts import claims
from xstilts.study.answer import Answer, Arm, Contrast
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import ArmRuns, StudyRuns
from xstilts.study.probed import probed
from xstilts.study.registration import primary_of, registered, statement
from xstilts.study.tested import Tester
from xstilts.study.words import limits, says, says_of


def answered(results: Results) -> Answer:
    """What a sweep answers to the question of its file.

    Raises:
        ConfigError: the file asks none.
    """
    sweep = results.sweep
    if sweep.study is None:
        raise ConfigError(
            [
                Problem(
                    "study",
                    f"{sweep.name} was launched without one, and answers no question",
                    repair="state it in the file, and launch that again",
                )
            ]
        )
    runs = StudyRuns(results)
    now = statement(sweep, results.places.latest(INVENTORY, {}))
    primary = primary_of(results.places, now)
    with threadpool_limits(1, user_api="blas"):
        tester = Tester(runs, ArmItems(runs))
        found = [
            tester.contrast(name, "primary" if name in primary else "exploratory")
            for name in sweep.study.contrasts
        ]
    contrasts = _judged([contrast for contrast, _ in found], sweep.study.alpha)
    contrasts = tuple(replace(one, says=says_of(one, sweep.study)) for one in contrasts)
    arms, lacking = _arms(runs)
    missing = [*(line for _, lines in found for line in lines), *lacking, runs.unfinished]
    probes, unprobed = probed(runs)
    answer = Answer(
        sweep=sweep.name,
        question=sweep.study.question,
        alpha=sweep.study.alpha,
        margin=sweep.study.margin,
        seeds=sweep.study.seeds,
        registered=registered(results.places, now),
        arms=arms,
        contrasts=contrasts,
        says="",
        limits=(),
        missing=tuple(dict.fromkeys(filter(None, missing))),
        probes=probes,
        unprobed=unprobed,
    )
    answer = replace(answer, says=says(answer, sweep.study))
    return replace(answer, limits=tuple(limits(answer, sweep)))


def _judged(found: Sequence[Contrast], alpha: float) -> tuple[Contrast, ...]:
    """The contrasts, each judged among those of its standing."""
    p = {one.name: np.nan if one.p is None else one.p for one in found}
    claimed = claims(p, [one.name for one in found if one.standing == "primary"], alpha)
    return tuple(
        one
        if one.p is None
        else replace(one, adjusted=claimed[one.name].p, holds=claimed[one.name].holds)
        for one in found
    )


def _arms(runs: StudyRuns) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """The arms as they were run, and the runs that they lack."""
    study = runs.study
    read: dict[tuple[str, str], None] = {}
    for contrast in study.contrasts.values():
        for target, codes in cells(runs.sweep, study, contrast).items():
            read |= dict.fromkeys((target, code) for code in codes)
    used = [name for contrast in study.contrasts.values() for name in contrast.arms]
    arms = [runs.arm(name, tuple(read)) for name in study.arms]
    shared = np.all([np.isfinite(arm.scores).all((0, 1)) for arm in arms], axis=0)
    told = tuple(_arm(runs, arm, shared) for arm in arms)
    # Those that contrasts use have said for themselves what they lack on their cells.
    return told, tuple(line for arm in arms if arm.name not in used for line in arm.missing)


def _arm(runs: StudyRuns, arm: ArmRuns, shared: np.ndarray) -> Arm:
    there = np.isfinite(arm.scores).any(-1)
    learnt = (arm.learnt | ~np.isfinite(arm.scores)).all(-1)
    targets = dict.fromkeys(target for target, _ in arm.cells)
    records = {
        run.trial: runs.record_of(run)
        for member in arm.members
        for target in targets
        for run in runs.runs_of(member, target).values()
    }
    trained = {_trained(record) for record in records.values()}
    examples, steps = trained.pop() if len(trained) == 1 else (None, None)
    return Arm(
        name=arm.name,
        intermediates=tuple(dict.fromkeys(member.intermediate for member in arm.members)),
        models=tuple(dict.fromkeys(member.model for member in arm.members)),
        seeds=tuple(seed for seed, any_ in zip(arm.seeds, there.any(0), strict=True) if any_),
        runs=int(there.sum()),
        collapsed=int((there & ~learnt).sum()),
        examples=examples,
        steps=steps,
        score=float(arm.scores[..., shared].mean()) if shared.any() else None,
    )


def _trained(record: TrialRecord) -> tuple[int, int | None]:
    """Examples and steps of a trial's intermediate stages; steps None where a record of before
    they were told lacks them."""
    examples = sum(sum(own.values()) for own in record.examples.values())
    steps = [one.steps for one in record.stages if class_of(one.name) == "intermediate"]
    return examples, None if None in steps else sum(filter(None, steps))
