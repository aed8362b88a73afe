"""Odds ratios of a study's arms, beside its answer: a logistic mixed model of items right or wrong.

A row is an item of a language in a run, and nothing is summed over runs: each has an intercept, so
that no two rows of an item are one binomial. Random are what rows have in common:

- the item and, where languages share it, its translation;
- what an arm does to an item. Without it all that runs of an arm get right together counts as so
  many draws: on the study world errors of items alone were a quarter of what they are;
- the run. A seed is a term of its own from six on; below that its runs' intercepts have it,
  as the linear models of studies have no term of so few levels. So for members of arms;
- the cell, a target in a language, from six on; of fewer each has a fixed effect.

Errors are by Wald's z, which takes variances as known: too narrow where runs are few. So the figure
is exploratory, whatever the standing of its contrast. Slopes and interactions have none: a language
is what they are about, and Wald's z over few of them claims what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from math import exp

import numpy as np
from scipy.special import ndtr, ndtri

from xstilts.config.study_checks import cells
from xstilts.report.results import Results
from xstilts.study import glmer
from xstilts.study.answer import Interval, LogisticFit, Odds, OddsRatio
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import ArmRuns, StudyRuns

TESTS = ("difference", "equivalence", "non_inferiority")
"""Of contrasts that have one."""

ROWS, LEAST_ITEMS = 10_000, 1_000
"""Of a fit, some five seconds of a core, and of items in languages, each in all runs: of more as
many are drawn. That leaves nearly all items, in fewer languages each: items differ most in what an
arm does to them."""

LEAST_LEVELS = 6
"""Of a random term but the run's, of which a study has six."""

SHARED = 1.5
"""Languages of an item, on average, from which on its translations are a term of their own: where
fewer are shared, next to nothing tells them from items."""

AT_ONCE = 2
"""Fits that run at one time."""

_EXACT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """What is fitted of a contrast: the odds ratio that waits for its fit, and the columns, (rows,)
    each."""

    of: OddsRatio
    columns: dict[str, np.ndarray]


def odds_of(results: Results) -> Odds | None:
    """The odds ratios of a study's contrasts; None where there is no R with lme4, or no contrast
    has items that are right or wrong."""
    versions = glmer.software()
    tables = list(item_tables(results)) if versions else []
    if versions is None or not tables:
        return None
    alpha = StudyRuns(results).study.alpha
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = tuple(pool.map(lambda one: judged(one.of, fitted(one), alpha), tables))
    return Odds(*versions, found)


def item_tables(results: Results) -> Iterator[ItemTable]:
    """What would be fitted of each contrast that has all its runs and items right or wrong."""
    runs = StudyRuns(results)
    items = ArmItems(runs)
    if runs.unfinished:
        return
    for name, spec in runs.study.contrasts.items():
        if spec.test not in TESTS:
            continue
        places = cells(runs.sweep, runs.study, spec)
        own = tuple((target, code) for target, codes in places.items() for code in codes)
        arms = [runs.arm(arm, own) for arm in spec.arms]
        if any(arm.missing for arm in arms):
            continue
        table = _table(name, items, arms)
        if table is not None:
            yield table


def fitted(table: ItemTable) -> LogisticFit | str:
    """The fit of a table, or in words why there is none."""
    if table.of.without:
        return table.of.without
    return glmer.fit(table.columns, table.of.formula)


def judged(of: OddsRatio, found: LogisticFit | str, alpha: float) -> OddsRatio:
    """An odds ratio with what its fit says: interval and p by Wald's z."""
    if isinstance(found, str):
        return replace(of, without=found)
    far = float(ndtri(1 - alpha / 2)) * found.error
    ratio = Interval(*(_exp(found.log_odds + off) for off in (0.0, -far, far)))
    p = 2 * float(ndtr(-abs(found.log_odds) / found.error))
    return replace(of, fit=found, ratio=ratio, p=p)


def _table(name: str, items: ArmItems, arms: list[ArmRuns]) -> ItemTable | None:
    """What is fitted of a contrast's arms; None where items are not known, or not all are right or
    wrong."""
    labels = _runs(arms)
    count, weighted = len(labels["run"]), []
    for number, arm in enumerate(arms):
        own = np.flatnonzero(labels["arm"] == 0.5 - number)
        weights = np.zeros((count, len(arm.members), len(arm.seeds)))
        weights.reshape(count, -1)[own, np.arange(len(own))] = 1.0
        weighted.append((arm, weights))
    outcomes = items.sums(arms[0].cells, weighted)
    if outcomes is None:
        return None
    is_right = outcomes.values > 50
    if (np.abs(outcomes.values - 100 * is_right) > _EXACT).any():
        return None
    kept = _sample(len(outcomes.items), count)
    cell, item = outcomes.cells[kept], outcomes.items[kept]
    run, row = (axis.ravel() for axis in np.indices((count, len(item))))
    columns = {"right": is_right[:, kept].ravel().astype(np.int64)}
    columns |= {label: own[run] for label, own in labels.items()}
    columns |= {"item": item[row], "cell": cell[row]}
    formula = _formula(columns)
    digest = sha256(glmer.as_csv(columns)).hexdigest()
    runs = (int((labels["arm"] > 0).sum()), int((labels["arm"] < 0).sum()))
    of = OddsRatio(name, formula, runs, len(kept), len(outcomes.items), len(run), digest)
    return ItemTable(replace(of, without=_obstacle(columns)), columns)


def _runs(arms: list[ArmRuns]) -> dict[str, np.ndarray]:
    """What the runs of two arms are, (runs,) each: by arm, member and seed."""
    found = [
        (0.5 - number, (number, member), seed)
        for number, arm in enumerate(arms)
        for member in range(len(arm.members))
        for seed in arm.seeds
    ]
    members = list(dict.fromkeys(member for _, member, _ in found))
    return {
        "arm": np.array([arm for arm, _, _ in found]),
        "run": np.arange(len(found)),
        "member": np.array([members.index(member) for _, member, _ in found]),
        "seed": np.array([seed for _, _, seed in found]),
    }


def _sample(count: int, runs: int) -> np.ndarray:
    """The numbers of those of so many items in languages that are read, always the same."""
    most = max(LEAST_ITEMS, ROWS // runs)
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _formula(columns: dict[str, np.ndarray]) -> str:
    """The model in lme4's words."""
    levels = {name: len(np.unique(own)) for name, own in columns.items()}
    pairs = len(np.unique(np.stack([columns["item"], columns["cell"]]), axis=1).T)
    terms = ["arm", "(1 | item)", "(0 + arm | item)", "(1 | run)"]
    if pairs >= SHARED * levels["item"]:
        terms.append("(1 | item:cell)")
    terms += [
        f"(1 | {name})" for name in ("member", "seed", "cell") if levels[name] >= LEAST_LEVELS
    ]
    if 1 < levels["cell"] < LEAST_LEVELS:
        terms.append("cell")
    return f"right ~ {' + '.join(terms)}"


def _obstacle(columns: dict[str, np.ndarray]) -> str:
    """Why there is nothing to fit; empty where there is."""
    for arm in np.unique(columns["arm"]):
        if len(np.unique(columns["right"][columns["arm"] == arm])) < 2:
            return "an arm has all items right, or all wrong"
    return ""


def _exp(value: float) -> float:
    """Of what is beyond any odds the largest number, which JSON has."""
    return exp(min(value, 700.0))
