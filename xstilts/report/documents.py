"""The report whole: as a page of Markdown for people, as JSON and CSV for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic_core import to_json

from xstilts.report.cells import COLUMNS
from xstilts.report.probes import probe_numbers
from xstilts.report.results import Results
from xstilts.report.signal_ranks import Ranked, signal_ranks
from xstilts.report.standings import standings
from xstilts.report.table import csv_text
from xstilts.report.unfinished import unfinished
from xstilts.report.verdict_table import verdict_json, verdict_lines

TOLD = ("trial", "state", "intermediate", "seed", "phase", "point", "objective", "metrics")
"""What the report's JSON tells of every trial."""


def as_json(results: Results) -> dict[str, Any]:
    """The report as one JSON document."""
    records = {record.trial: record for record in results.finished}
    ranks, probed = signal_ranks(results), probe_numbers(results)
    race = [
        {**asdict(one), **({"signals": _ranks_json(ranks[one.target])} if ranks else {})}
        for one in standings(results.sweep, results.trials, results.short)
    ]
    return {
        "sweep": results.sweep.name,
        "targets": {
            target: verdict_json(results.sweep, results.places, told, records)
            for target, told in results.verdicts.items()
        },
        "best": [best.to_json() for best in results.best],
        "grid": results.grid,
        "languages": results.languages,
        "trials": [{name: getattr(record, name) for name in TOLD} for record in results.records],
        **({"race": race} if race else {}),
        **({"probes": probed} if probed else {}),
        "cells": results.cells,
        "unfinished": unfinished(results),
        "confirm_cost": results.confirm_cost,
        "looking_back": [asdict(one) for one in results.looked_back],
        "warnings": results.warnings(),
    }


def _ranks_json(ranks: Mapping[str, Ranked]) -> dict[str, Any]:
    return {name: one._asdict() for name, one in ranks.items()}


def as_markdown(results: Results) -> str:
    """The report as one Markdown page."""
    first, *others = (table.markdown() for table in results.tables.values())
    lines = [line for line in verdict_lines(results) if line]
    # A command is code below the line that it belongs to.
    behind = "".join(f"\n      {x[2:]}\n\n" if x.startswith("  ") else f"- {x}\n" for x in lines)
    parts = [f"# {results.sweep.name}\n", first, behind, *others]
    parts += [f"- {line}" for line in results.warnings()]
    return "\n".join(parts)


def cells_csv(results: Results) -> str:
    """The numbers of `cells` as comma-separated values, whole; empty where not known."""
    return csv_text(COLUMNS, ([cell[name] for name in COLUMNS] for cell in results.cells))


def as_json_text(results: Results) -> str:
    """`as_json` as text; by pydantic, which takes a tenth of the time of `json` with an indent."""
    return to_json(as_json(results), indent=1, inf_nan_mode="constants").decode() + "\n"
