"""What the tracker says of a run, of the summary and of the experiment, as Markdown.

A note names no folder of this machine: a server shows it to others, and a storage moves.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from xstilts.config.derive import NONE
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.report.tables import verdict_table
from xstilts.report.verdict_table import use_lines
from xstilts.run.places import SWEEP_FILE
from xstilts.tasks.kinds import IN_TRANSFORMERS

LONGEST = 7500
"""Characters of the summary's note; MLflow keeps 8,000."""

WIDE = "&emsp;"
"""A blank that is not trimmed, as the letter itself is."""


def run_note(sweep: Sweep, record: TrialRecord, verdicts: Mapping[str, str] = {}) -> str:
    """What a trial is, what the sweep says of it, and how it is rebuilt and exported.

    Args:
        verdicts: by target, those of which it is one of the runs of the best.
    """
    lines = [_what(sweep, record)]
    if record.error:
        lines.append(f"It failed: {record.error.partition(chr(10))[0]}")
    lines += [
        f"Verdict on {target}: **{word}**; this is one of the runs of its best."
        for target, word in verdicts.items()
    ]
    for name, told in (("collapsed", "Collapsed on"), ("undecided", "Undecided on")):
        if targets := getattr(record, name):
            lines.append(f"{told} {', '.join(targets)}.")
    rebuild = f"xstilts run {SWEEP_FILE} --set storage=STORAGE --trial {shlex.quote(record.trial)}"
    lines.append(f"Rebuilt from its record: `{rebuild}` (`{SWEEP_FILE}` is among the artifacts).")
    if record.state == "finished":
        commands = "\n".join(f"    {command}" for command in _exports(sweep, record))
        lines.append(f"Exported, where the storage is:\n\n{commands}")
    return "\n\n".join(lines)


def summary_note(results: Results) -> str:
    """The sweep's tables: as many as the tracker takes, whole, the most wanted first."""
    uses = "".join(f"- {line}\n" for line in use_lines(results)) if results.finished else ""
    kept, left = [_title(results), uses], list[str]()
    for name, table in results.tables.items():
        text = _spaced(table)
        if not left and sum(map(len, kept)) + len(text) < LONGEST:
            kept.append(text)
        else:
            left.append(name)
    if left:
        kept.append(f"Not shown here, in `report.md` among the artifacts: {', '.join(left)}.\n")
    return "\n".join(kept)


def experiment_note(results: Results) -> str:
    """What the sweep is, what to use for every target, and the verdicts."""
    if not results.finished:
        return _title(results)
    more = "More tables and pictures are in the run `summary`."
    uses = [f"- {line}" for line in use_lines(results)]
    return "\n".join([_title(results), *uses, "", _spaced(verdict_table(results)), more])


def _spaced(table: Table) -> str:
    """A table in Markdown whose cells end in a wide blank: MLflow's page puts nothing between
    columns, and numbers would run together."""
    header, *rows = [[f"{cell}{WIDE}" for cell in row] for row in (table.header, *table.rows)]
    return replace(table, header=header, rows=rows).markdown()


def _title(results: Results) -> str:
    sweep = results.sweep
    intermediates = [name for name in sweep.intermediates if name != NONE]
    return (
        f"Sweep **{sweep.name}**: which of {', '.join(intermediates) or NONE} to train before "
        f"{', '.join(sweep.targets)} ({sweep.benchmark.name}, recipe {sweep.recipe.name}); "
        f"{len(results.finished)} finished trials, {len(results.confirmed)} of them to confirm.\n"
    )


def _what(sweep: Sweep, record: TrialRecord) -> str:
    """`Trial x of sweep s: nli (mini_nli 1) at 5e-04, then each target; seed 0.`"""
    trained = record.intermediate
    if trained == NONE:
        before = "no intermediate, the baseline"
    else:
        mixed = ", ".join(f"{task} {rate:g}" for task, rate in record.rates.items() if rate)
        before = f"intermediate {trained}" + (f" ({mixed})" if mixed else "")
        before += f" at {record.learning_rate:.1e}" if record.learning_rate else ""
    chosen = {name: one.learning_rate for name, one in record.chosen.items()}
    rates = ", ".join(f"{name} {rate:.1e}" for name, rate in chosen.items() if rate)
    role = "A run with a fresh seed, which confirms" if record.is_confirming else "A run of search"
    text = f"{role}, in sweep {sweep.name}: {record.model}, {before}, seed {record.seed}."
    return text + (f" Learning rates chosen for targets: {rates}." if rates else "")


def _exports(sweep: Sweep, record: TrialRecord) -> list[str]:
    """Commands that write what a finished trial has."""
    command = shlex.join(["xstilts", "export", sweep.name, record.trial])
    found = [f"{command} --submission predictions"]
    if record.intermediate != NONE:
        found.append(f"{command} --encoder encoder")
    for target in record.confirms or record.targets or sweep.targets:
        task = find_task(sweep, target)
        if task.kind in IN_TRANSFORMERS and find_task(sweep, task.head).is_trained:
            found.append(f"{command} --model {target} {target}-model")
    return found
