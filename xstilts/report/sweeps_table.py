"""The verdicts of several sweeps of one benchmark side by side.

Each gain is over its own sweep's baseline, with the seeds of that sweep alone: nothing is tested
across sweeps, whose models and recipes may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xstilts.errors import ConfigError, Problem
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.report.verdict_table import HEADER, verdict_numbers, verdict_rows
from xstilts.tasks import suggest


def sweeps_table(found: Sequence[Results], wanted: Sequence[str] = ()) -> Table:
    """A row for each target and sweep that has it, target by target.

    Args:
        wanted: the targets; all if not given.

    Raises:
        ConfigError: sweeps of different benchmarks, two of one name, or a target that none has.
    """
    first, *others = found
    for results in others:
        if results.sweep.benchmark.name != first.sweep.benchmark.name:
            rule = f"is compared with sweeps of one benchmark, {first.sweep.name} is of"
            rule += f" {first.sweep.benchmark.name}"
            got = f"{results.sweep.name}, of {results.sweep.benchmark.name}"
            raise ConfigError([Problem("NAME", rule, got, "report on it alone")])
    known = list(dict.fromkeys(target for one in found for target in one.sweep.targets))
    for target in wanted:
        if target not in known:
            rule = "is a target of one of the sweeps"
            raise ConfigError([Problem("--target", rule, f'"{target}"', suggest(target, known))])
    lines: list[tuple[int, list[str], list[float | None]]] = []
    numbers: dict[str, Any] = {}
    for results in found:
        numbers = verdict_numbers(results)
        more = zip(*numbers.values(), strict=True)
        for row, own in zip(verdict_rows(results), more, strict=True):
            if row[0] in (wanted or known):
                line = [row[0], results.sweep.name, *row[1:]]
                lines.append((known.index(row[0]), line, list(own)))
    lines.sort(key=lambda line: line[0])
    return Table(
        f"Verdicts of {len(found)} sweeps",
        (HEADER[0], "sweep", *HEADER[1:]),
        [row for _, row, _ in lines],
        "each gain is over the none of its own sweep; nothing is tested across sweeps",
        gap=2,
        numbers={name: [own[i] for _, _, own in lines] for i, name in enumerate(numbers)},
    )
