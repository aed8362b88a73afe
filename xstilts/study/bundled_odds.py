"""Odds ratios in a bundle that was made where R with lme4 is, and compared by whoever verifies.

What was fitted, the digest of its table among it, follows from the items, and so do intervals and p
from what lme4 gave; both are computed again everywhere. The fits themselves are believed, or made
again on request: they need R, and take longer than all else. A bundle without them is one that was
made without R: nothing is fitted for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from xstilts.report.results import Results
from xstilts.study import glmer
from xstilts.study.agreement import first_difference
from xstilts.study.answer import LogisticFit, Odds
from xstilts.study.arm_runs import StudyRuns
from xstilts.study.bundle_reader import Bundle
from xstilts.study.odds import AT_ONCE, ItemTable, fitted, item_tables, judged

ODDS = "odds.json"

NEAR, ALIKE = 0.02, 0.02
"""How far log odds may be apart, in standard errors, and these, of their size: what optimisers of
two versions of lme4 leave open."""


@dataclass(frozen=True, slots=True)
class OddsVerified:
    """How many fits were made again, by which versions of R and lme4, and how many are believed:
    where none were asked for, and where one of two fits was not to be had or has not converged."""

    fitted: int = 0
    believed: int = 0
    by: tuple[str, str] | None = None


def verify_odds(bundle: Bundle, results: Results, other: str, refit: bool) -> OddsVerified:
    """Compare the odds ratios in a bundle with those of its items, and with `refit` the fits with
    new ones.

    Raises:
        BundleError: with the first that differs, and `other` for a reason.
    """
    if ODDS not in bundle.manifest.parts:
        return OddsVerified()
    recorded = bundle.json(ODDS)
    try:
        odds = _ODDS.validate_python(recorded)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise bundle.error(ODDS, f"{where}: {first['msg']}") from error
    tables = {one.of.contrast: one for one in item_tables(results)}
    made = _followed(odds, tables, StudyRuns(results).study.alpha)
    wrong = first_difference(recorded, to_jsonable_python(made), 1e-6)
    if wrong is not None:
        raise bundle.error(ODDS, wrong, other)
    versions = glmer.software() if refit else None
    if versions is None:
        return OddsVerified(believed=len(odds.contrasts))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        again = list(pool.map(fitted, tables.values()))
    count = 0
    for i, (one, found) in enumerate(zip(odds.contrasts, again, strict=True)):
        if one.fit is None or isinstance(found, str):
            continue
        if not (one.fit.has_converged and found.has_converged):
            continue
        if (wrong := _between(one.fit, found)) is not None:
            made_by = (
                f"fitted by lme4 {odds.lme4} in R {odds.r}, here by {versions[1]} in {versions[0]}"
            )
            raise bundle.error(ODDS, f"contrasts[{i}].fit.{wrong}", f"{made_by}; {other}")
        count += 1
    return OddsVerified(count, len(odds.contrasts) - count, versions)


def _followed(odds: Odds, tables: dict[str, ItemTable], alpha: float) -> Odds:
    """The odds ratios as they follow from items and from what lme4 is said to have given."""
    known = {one.contrast: one for one in odds.contrasts}
    found = []
    for name, table in tables.items():
        one = known.get(name)
        fit: LogisticFit | str = "" if one is None else one.fit or one.without
        found.append(judged(table.of, table.of.without or fit, alpha))
    return Odds(odds.r, odds.lme4, tuple(found))


def _between(recorded: LogisticFit, again: LogisticFit) -> str | None:
    """In what two fits differ by more than optimisers do; None where in nothing."""
    if abs(recorded.log_odds - again.log_odds) > NEAR * again.error:
        return f"log_odds: {recorded.log_odds} recorded, {again.log_odds} fitted"
    if abs(recorded.error / again.error - 1) > ALIKE:
        return f"error: {recorded.error} recorded, {again.error} fitted"
    return None


_ODDS: TypeAdapter[Odds] = TypeAdapter(Odds)
