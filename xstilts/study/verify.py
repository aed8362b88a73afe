"""A bundle verified: digests first, then every number again from what every item gave.

Scores of the records come from the items, averages from the scores, the report's numbers and all
else that follows from both. What does not follow from anything in a bundle - items, dev scores,
which runs learnt, hours - is believed as it stands.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pydantic_core import from_json

from xstilts.config.derive import measured_by
from xstilts.config.own_tasks import find_task
from xstilts.errors import BundleError, XstiltsError
from xstilts.records import TrialRecord
from xstilts.report.comparison import evaluations_of
from xstilts.report.results import Results
from xstilts.run.costs import costs_of
from xstilts.run.node import ENVIRONMENT
from xstilts.run.outcomes import Items, read_outcomes
from xstilts.run.store import Store
from xstilts.run.trial_record import averaged
from xstilts.score_rows import OF_A_TRIAL
from xstilts.scores.table import ChosenScores
from xstilts.study.agreement import count_numbers, first_difference, is_close
from xstilts.study.bundle_reader import AGAIN, Bundle
from xstilts.study.bundled_items import ABOUT
from xstilts.study.bundled_odds import ODDS, OddsVerified, verify_odds
from xstilts.study.contents import ITEMS, TRIALS, environment, followed, unpacked

EQUAL = 1e-9
"""Up to here scores are equal, in points: what sums in another order differ by."""

ALIKE = 1e-6
"""Up to here numbers of a report are equal, of their size: what a fitted model differs by where
another build of BLAS has computed it."""

COST = "cost/"
"""How the names begin of a record's metrics that are no averages of scores."""

ALLOCATED = ("cost/gpu_hours", "cost/reused_gpu_hours")
"""Costs that hang on what a trial was given, which a launch may change."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found right: `scores` of records from their items, `numbers` of the report and what
    else follows from them. `believed` are the scores of records that no items are there of: dev
    scores, profiles by layer, evaluations that kept none. `odds` tells of odds ratios, which R
    fits."""

    sweep: str
    manifest_sha256: str
    parts: int
    trials: int
    scores: int
    believed: int
    numbers: int
    odds: OddsVerified


def verify(path: Path, refit: bool = False) -> Verified:
    """See that a bundle is as it was written, and that its numbers come from its items; with
    `refit` R fits its odds ratios again.

    Raises:
        ConfigError: the file is no bundle, or one of another format.
        BundleError: with the first part, or the first number, that is not what it should be.
    """
    with Bundle(path) as bundle, tempfile.TemporaryDirectory(prefix="xstilts-verify-") as folder:
        bundle.check()
        try:
            return _recomputed(bundle, Path(folder), refit)
        except BundleError:
            raise
        except XstiltsError as error:
            line = str(error).partition("\n")[0].replace(f"{folder}/", "")
            raise bundle.error("its parts", f"are no sweep's: {line}") from error
        except Exception as error:
            # A file from anywhere may hold what no sweep has written, in ways that nobody lists.
            reason = f"{type(error).__name__}: {error}"
            raise bundle.error("its parts", f"cannot be computed with: {reason}") from error


def _recomputed(bundle: Bundle, folder: Path, refit: bool) -> Verified:
    results, other = unpacked(bundle, folder), _other(bundle)
    items = _Scores(bundle, results)
    for record in results.records:
        wrong = _in_scores(results, record, items) or _in_averages(results, record)
        if wrong is not None:
            raise bundle.error(f"{TRIALS}/{record.trial}.json", wrong, other)
    for name in bundle.names(ITEMS):
        if name not in items.parts and not name.startswith(f"{ITEMS}/{ABOUT}/"):
            raise bundle.error(name, "is of no trial in the bundle")
    made, numbers = followed(results), 0
    for name, content in made.items():
        numbers += _compared(bundle, name, content, other)
    own = {*made, ENVIRONMENT, *([ODDS] if results.sweep.study else [])}
    for name in bundle.manifest.parts:
        if "/" not in name and name not in own:
            raise bundle.error(name, "is no part that a bundle has")
    return Verified(
        sweep=bundle.manifest.sweep,
        manifest_sha256=bundle.manifest_sha256,
        parts=len(bundle.manifest.parts),
        trials=len(results.records),
        scores=items.recomputed,
        believed=items.believed,
        numbers=numbers,
        odds=verify_odds(bundle, results, other, refit),
    )


def _other(bundle: Bundle) -> str:
    """What to do where a number differs: another version may have computed it otherwise."""
    made, here = bundle.json(ENVIRONMENT), environment()
    keys = ("xstilts", "code")
    if all(made[key] == here[key] for key in keys):
        return f"it was changed since it was made; {AGAIN}"
    was, now = (" ".join(str(one[key]) for key in keys) for one in (made, here))
    return f"it was changed, or the code was: made by xstilts {was}, this is {now}; verify by that"


class _Scores:
    """The scores of evaluations, from their items; how many of the records' were compared with
    them, how many were believed, and which parts they are from."""

    def __init__(self, bundle: Bundle, results: Results):
        self._bundle, self._sweep = bundle, results.sweep
        self._store = Store(results.places.storage)
        self._known: dict[str, dict[str, Items] | None] = {}
        self.recomputed = self.believed = 0

    @property
    def parts(self) -> Collection[str]:
        """Names of the parts that were read."""
        return self._known.keys()

    def of(self, record: TrialRecord) -> dict[str, dict[str, Items] | None]:
        """The items of a record's targets by language; None where its evaluation kept none.

        Raises:
            BundleError: the bundle lacks an evaluation.
        """
        found = {}
        for target, stage in evaluations_of(self._sweep, record).items():
            name = f"{ITEMS}/{stage}/{target}.json"
            if name not in self._known:
                result = self._store.result(stage)
                if result is None:
                    raise self._bundle.error(name, "is missing")
                self._known[name] = read_outcomes(result, target)
            found[target] = self._known[name]
        return found


def _in_scores(results: Results, record: TrialRecord, scores: _Scores) -> str | None:
    """In which of its scores a record is not what its items gave; None where in none."""
    of_targets, missing = scores.of(record), dict[tuple[str, str], None]()
    for target, items in of_targets.items():
        missing |= {(target, language): None for language in items or ()}
    for row in record.scores:
        target, language, metric = row["target"], row["language"], row["metric"]
        where = f"scores: {target} in {language} by {metric}"
        if row["split"] == "dev":
            scores.believed += 1
            continue
        if target not in of_targets:
            return f"{where}: of no evaluation in the bundle"
        items = of_targets[target]
        if items is not None and language not in items:
            return f"{where}: of no item in the bundle"
        outcomes = items[language].outcomes if items else None
        if outcomes is None or metric not in outcomes.counts:
            scores.believed += 1
            continue
        missing.pop((target, language), None)
        made = outcomes.scores[metric]
        if not is_close(row["value"], made, EQUAL):
            return f"{where}: {row['value']} recorded, {made} recomputed from its items"
        # Pairs of sentences are mined, and kept in blocks.
        if row["n"] != len(outcomes.rows) and find_task(results.sweep, target).kind != "mining":
            return f"{where}: {row['n']} items recorded, {len(outcomes.rows)} in the bundle"
        scores.recomputed += 1
    lacks = next(iter(missing), None)
    return None if lacks is None else f"scores: {lacks[0]} in {lacks[1]}: items, and no score"


def _in_averages(results: Results, record: TrialRecord) -> str | None:
    """In which number a record is not what follows from its scores and stages."""
    sweep = results.sweep
    scored = record.confirms or record.targets or sweep.targets
    table = ChosenScores(record.scores)
    metrics, missing = averaged(sweep, table, scored, record.phase)
    costs = costs_of(record.stages, sweep.resources.gpus_per_trial)
    metrics |= {name: value for name, value in costs.items() if name not in ALLOCATED}
    told = {name: value for name, value in record.metrics.items() if name.startswith(COST)}
    is_whole = record.state == "finished" and not record.is_short
    recorded = {
        "scores": record.scores.once,
        "metrics": record.metrics,
        "missing": record.missing,
        "objective": record.objective,
    }
    made = {
        "scores": {name: getattr(record, name) for name in OF_A_TRIAL} if record.scores else {},
        "metrics": {**told, **metrics},
        "missing": missing if is_whole else [],
        "objective": record.metrics.get(measured_by(sweep)),
    }
    return first_difference(recorded, made, EQUAL)


def _compared(bundle: Bundle, name: str, content: bytes, other: str) -> int:
    """Compare a part with what it was made to be again; the numbers in it.

    Raises:
        BundleError: with the first number, or line, that differs.
    """
    recorded = bundle.read(name)
    if name.endswith(".json"):
        value = from_json(content)
        wrong = first_difference(bundle.json(name), value, ALIKE)
        if wrong is not None:
            raise bundle.error(name, wrong, other)
        return count_numbers(value)
    lines = zip_longest(recorded.splitlines(), content.splitlines())
    for number, (one, made) in enumerate(lines, 1):
        if one != made:
            raise bundle.error(f"{name}:{number}", "is another line than follows", other)
    return 0
