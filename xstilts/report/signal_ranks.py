"""How well what ordered a race's candidates foretold their scores: rank correlations by target."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from xstilts.config.derive import NONE
from xstilts.plan.inventory import Inventory
from xstilts.report.results import Results
from xstilts.run.places import PRIOR
from xstilts.scores.prior import candidate_of, cells_in, prior_values
from xstilts.scores.ranks import rank_correlation
from xstilts.scores.seen import columns_of
from xstilts.scores.signals import Told, signal_values


class Ranked(NamedTuple):
    """Spearman's rank correlation of a signal with candidates' scores on a target, None where these
    are too few, and their number."""

    correlation: float | None
    candidates: int

    def __str__(self) -> str:
        return "-" if self.correlation is None else f"{self.correlation:+.2f} ({self.candidates})"


def signal_ranks(results: Results) -> dict[str, dict[str, Ranked]]:
    """Target -> signal, or `prior` -> its correlation with the scores of the evaluation, means over
    a configuration's finished seeds; empty where nothing was to order candidates.

    The baseline is no candidate.
    """
    sweep = results.sweep
    if not (sweep.search.signals or sweep.search.prior):
        return {}
    points = {r.config: r.point for r in results.searched if r.intermediate != NONE}
    configs = sorted(points)
    told: dict[str, Told] = {r.config: r.signals for r in results.searched if r.signals}
    values = signal_values(sweep, [told.get(config, {}) for config in configs])
    columns = columns_of(sweep)
    definition = results.places.definition()
    if sweep.search.prior and definition is not None:
        models = Inventory.from_json(definition.inventory).models
        candidates = [
            candidate_of(sweep, models[point["model"]].weights, point["intermediate"])
            for point in (points[config] for config in configs)
        ]
        none: dict[str, Any] = {}
        cells = cells_in(results.places.latest(PRIOR, none))
        values["prior"] = prior_values(cells, candidates, columns)
    found: dict[str, dict[str, Ranked]] = {}
    for place, column in enumerate(columns):
        for target in column.targets:
            scores = _scores(results, configs, target)
            found[target] = {
                name: Ranked(*rank_correlation(own[:, place], scores))
                for name, own in values.items()
            }
    return {target: found[target] for target in sweep.targets}


def _scores(results: Results, configs: list[str], target: str) -> np.ndarray:
    """The mean score of each configuration on a target (configurations,), NaN without a run."""
    known: dict[str, list[float]] = defaultdict(list)
    for trial in results.trials:
        if target in trial.scores:
            known[trial.config].append(trial.scores[target])
    return np.array([np.mean(known[one]) if known[one] else np.nan for one in configs])
