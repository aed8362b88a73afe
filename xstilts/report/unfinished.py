"""What a sweep has not done yet, as its records show it: it marks a report made meanwhile."""

from __future__ import annotations

from xstilts.config.derive import confirm_seeds, num_configurations
from xstilts.files import names_in
from xstilts.report.results import Results
from xstilts.run.confirmation import num_confirming, read_choice
from xstilts.run.spending import is_spent


def unfinished(results: Results) -> str:
    """What is missing, as a clause; empty where all that was asked for has ended.

    A trial that failed has ended. What a spent budget left is not missing. Whom a race will still
    run hangs on what its policy sees, so of one only what runs or is to be confirmed is missing.
    """
    sweep, places = results.sweep, results.places
    parts = []
    have = sum(not record.is_confirming for record in results.records)
    wanted = num_configurations(sweep) * len(sweep.seeds)
    if have < wanted and not sweep.search.is_race and not is_spent(places, sweep):
        parts.append(f"{have} of {wanted} trials of search have ended")
    if sweep.confirm is not None:
        fresh = sum(record.is_confirming for record in results.records)
        choice = read_choice(places, sweep)
        if choice is None or not {*confirm_seeds(sweep)} <= {*choice.seeds}:
            parts.append("its choice is not confirmed yet")
        elif fresh < (count := num_confirming(places, sweep)):
            parts.append(f"{fresh} of {count} trials of confirmation have ended")
    running = {*names_in(places.trials)} - {record.trial for record in results.records}
    if running and not parts:
        parts.append(f"trials that have not ended: {len(running)}")
    return "; ".join(parts)
