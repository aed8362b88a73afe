"""The tables of a report, each from the results of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from xstilts.config.derive import NONE, benchmark_of, is_fixed, measured_by, overlaps
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.plan.stage import class_of
from xstilts.records import TrialRecord
from xstilts.report.looking_back import selection_table
from xstilts.report.probes import probe_table
from xstilts.report.results import Results
from xstilts.report.signal_ranks import signal_ranks
from xstilts.report.standings import race_columns, standings
from xstilts.report.table import Table
from xstilts.report.trial_hints import trial_lines
from xstilts.report.verdict_table import (
    COLLAPSED,
    HEADER,
    OVERLAP,
    verdict_note,
    verdict_numbers,
    verdict_rows,
)
from xstilts.run.costs import HOURS
from xstilts.scores.aggregate import (
    AVERAGE,
    DEV,
    GROUP,
    SHORT,
    ZERO_SHOT,
    Metric,
    is_profile,
    mean_of,
)
from xstilts.scores.best import Best, Entry, expected_of
from xstilts.tasks.benchmarks import CUSTOM, groups_of
from xstilts.tracking.tracker import metric_name


def verdict_table(results: Results) -> Table:
    """What the sweep may say of every target, from confirmation alone; else what search found."""
    rows = verdict_rows(results)
    marks = f" {COLLAPSED}: some of its runs collapsed." if COLLAPSED in str(rows) else ""
    note = verdict_note(results) + _precision_note(results) + _overlap_note(results) + marks
    return Table("Verdicts", HEADER, rows, note, gap=2, numbers=verdict_numbers(results))


def search_table(results: Results) -> Table:
    """Search's best intermediate per target by dev, with the baseline beside it."""
    rows = []
    fixed = [one for one in results.sweep.targets if is_fixed(results.sweep, one, NONE)]
    for best in results.best:
        entry, baseline = best.best, best.baseline
        rows.append(
            [
                best.target,
                _marked(results, entry.intermediate, best.target),
                _run_score(entry, entry.intermediate == NONE and best.target in fixed),
                _number(best.expected),
                "-" if baseline is None else _run_score(baseline, best.target in fixed),
                "-" if best.gain is None else f"{best.gain:+.1f}",
                f"{entry.dev:.1f}" + ("" if best.selected_on == best.target else "*"),
                f"{best.candidates}/{best.baseline_candidates}",
            ]
        )
    seeds = len(results.sweep.seeds)
    spread = f", ± sd over {seeds} seeds" if seeds > 1 else ", of one seed"
    if results.sweep.search.is_race:
        spread = f" and runs, at most {seeds} (table Race), ± their sd"
    header = ("target", "best", "score", "at equal n", "none", "search gain", "dev", "n")
    return Table(
        "Search: best intermediate per target by dev",
        header,
        rows,
        f"score: {results.sweep.evaluation.split} mean over languages{spread}; none: the baseline "
        "by the same rule; n: configurations with / without intermediate choice, from which each "
        "was chosen by dev (*: dev/avg, where a target has no dev set); at equal n: what the best "
        "of as many as none was chosen from is expected to score. "
        + (f"Not trained, the same for every seed: none of {', '.join(fixed)}. " if fixed else "")
        + _confirm_note(results)
        + _precision_note(results)
        + _overlap_note(results)
        + (f" {COLLAPSED}: some of its runs collapsed." if COLLAPSED in str(rows) else ""),
        gap=2,
        numbers=_search_numbers(results.best),
    )


def _search_numbers(found: Sequence[Best]) -> dict[str, list[float | None]]:
    """What the columns of `search_table` are, as numbers."""
    return {
        "value": [one.best.score for one in found],
        "sd": [one.best.spread for one in found],
        "seeds": [one.best.seeds for one in found],
        "none_value": [one.baseline.score if one.baseline else None for one in found],
        "none_sd": [one.baseline.spread if one.baseline else None for one in found],
        "gain_value": [one.gain for one in found],
        "dev_value": [one.best.dev for one in found],
        "expected": [one.expected for one in found],
        "configurations": [one.candidates for one in found],
        "baseline_configurations": [one.baseline_candidates for one in found],
    }


def grid_table(results: Results) -> Table:
    """Targets x intermediates."""
    grid = results.grid
    names = column_names(results)
    rows = [
        [
            target,
            *(
                _marked(results, name, target, f"{row[name]:.1f}") if name in row else "-"
                for name in names
            ),
        ]
        for target, row in grid.items()
    ]
    rows.append(_mean_row("mean", grid, names))
    rows += _counts(results, names)
    # The same targets for every column, or the means would not compare.
    free = {
        t: row for t, row in grid.items() if not any(overlaps(results.sweep, n, t) for n in names)
    }
    if free and len(free) < len(grid):
        rows.append(_mean_row(f"mean of {len(free)} without °", free, names))
    note = (_precision_note(results) + _overlap_note(results)).strip()
    return Table("Scores by target and intermediate", ("target", *names), rows, note)


def equal_table(results: Results) -> Table | None:
    """Targets x intermediates at equal search effort; None where all had the same."""
    names = column_names(results)
    if not _counts(results, names):
        return None
    row_of = results.configurations
    least = min(len(own) for row in row_of.values() for own in row.values())
    rows = [
        [
            target,
            *(f"{expected_of(row[name], least):.1f}" if name in row else "-" for name in names),
        ]
        for target, row in row_of.items()
    ]
    note = (
        f"what the best by dev of {least} of the configurations above is expected to score: the "
        "best of many is compared with the best of few"
    )
    return Table(f"Expected best of {least} each", ("target", *names), rows, note)


def _counts(results: Results, names: Sequence[str]) -> list[list[str]]:
    """The row that says how many configurations a column's cells were chosen from, if that differs
    between them."""
    counts = {
        name: sorted({len(row[name]) for row in results.configurations.values() if name in row})
        for name in names
    }
    if len({count for own in counts.values() for count in own}) < 2:
        return []
    return [["n", *("-".join(map(str, {own[0]: 0, own[-1]: 0})) for own in counts.values())]]


def _mean_row(
    title: str, grid: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> list[str]:
    """Means over targets; none over a hole."""
    means = [
        f"{fmean(row[name] for row in grid.values()):.1f}"
        if all(name in row for row in grid.values())
        else "-"
        for name in names
    ]
    return [title, *means]


def _marked(results: Results, intermediate: str, target: str, text: str = "") -> str:
    """A name, or a number, with the sign of overlap."""
    mark = OVERLAP if overlaps(results.sweep, intermediate, target) else ""
    return (text or intermediate) + mark


def _confirm_note(results: Results) -> str:
    """Whether the choice was run again with fresh seeds, and what that cost beside search."""
    if not results.confirmed:
        return "Not confirmed with fresh seeds."
    minutes = f"{60 * results.confirm_cost:.1f} minutes beside those of search"
    return f"{len(results.confirmed)} trials ran it again with fresh seeds, in {minutes}."


def _precision_note(results: Results) -> str:
    """The precision of what is scored, where it is not float32 throughout."""
    resources = results.sweep.resources
    if resources.scoring_precision == resources.training_precision == "fp32":
        return ""
    trained, scored = resources.training_precision, resources.scoring_precision
    return f" Scored in {scored}, trained in {trained}."


def _overlap_note(results: Results) -> str:
    pairs = ((n, t) for n in column_names(results) for t in results.sweep.targets)
    if not any(overlaps(results.sweep, name, target) for name, target in pairs):
        return ""
    return " °: overlap, the intermediate trained on the target's training data."


def race_table(results: Results) -> Table | None:
    """Where a race stands; None for a sweep that is none, or of which no candidate has run."""
    found, ranks = standings(results.sweep, results.trials, results.short), signal_ranks(results)
    if not found:
        return None
    header, rows, note = race_columns(results.sweep, found)
    if signals := tuple(next(iter(ranks.values()), ())):
        own = [[str(ranks[one.target][name]) for name in signals] for one in found]
        rows = [[*row, *cells] for row, cells in zip(rows, own, strict=True)]
        note += (
            f"; {', '.join(signals)}: rank correlation with the scores of so many candidates that "
            "have both; they order, and leave nobody out"
        )
    return Table("Race", (*header, *signals), rows, note)


def collapsed_table(results: Results) -> Table | None:
    """The configurations of the tables of which runs collapsed; None where none did."""
    rows = _collapsed_rows(results)
    note = (
        "collapsed: the training loss never came 2 % below the entropy of the labels' frequencies, "
        "or everything got one label, no tag or no answer"
    )
    header = ("target", "intermediate", "all runs", "those that learnt", "collapsed")
    return Table("Collapsed runs", header, rows, note) if rows else None


def _collapsed_rows(results: Results) -> list[list[str]]:
    return [
        [
            target,
            name,
            f"{entry.score:.1f}",
            _number(entry.learnt),
            f"{entry.collapsed} of {entry.seeds}",
        ]
        for target, row in results.entries.items()
        for name, entry in row.items()
        if entry.collapsed
    ]


def matched_table(results: Results) -> Table | None:
    """What compute-matched intermediates cost, beside those that they are matched to."""
    rows = []
    for name, spec in results.sweep.intermediates.items():
        if spec.match is not None and name in column_names(results):
            own, other = (_cost(results, one) for one in (name, spec.match.to))
            rows.append([name, spec.match.to, spec.match.by, own[0], other[0], own[1], other[1]])
    header = ("intermediate", "matched to", "by", "steps", "its", "tokens", "its")
    note = "its: of the intermediate that is matched; means over trials, as trained"
    return Table("Compute-matched", header, rows, note) if rows else None


def _cost(results: Results, intermediate: str) -> tuple[str, str]:
    """Steps and tokens of an intermediate's stage, the mean over its finished trials."""
    stages = [
        [stage for stage in record.stages if class_of(stage.name) == "intermediate"][-1]
        for record in results.finished
        if record.intermediate == intermediate and not record.is_short
    ]
    known = [(stage.steps, stage.tokens) for stage in stages if stage.steps]
    if not known:
        return "-", "-"
    steps, tokens = (fmean(counts) for counts in zip(*known, strict=True))
    return f"{steps:,.0f}", f"{tokens:,.0f}"


def languages_table(results: Results) -> Table:
    """Targets x languages, of the best configuration."""
    table = results.languages
    names = sorted({language for row in table.values() for language in row})
    rows = [
        [target, *(f"{row[name]:.1f}" if name in row else "-" for name in names)]
        for target, row in table.items()
    ]
    title = "Scores by target and language (best intermediate)"
    return Table(title, ("target", *names), rows, _precision_note(results).strip())


def trials_table(results: Results) -> Table:
    """Every trial: what it was, its objective, its average, its time."""
    names = [metric_name(mean_of(name)) for name in (results.sweep.benchmark.name, CUSTOM)]
    name = next((key for r in results.finished for key in names if key in r.metrics), "")
    rows = [
        [
            record.trial,
            record.state,
            _number(record.objective),
            _number(record.metrics.get(name)),
            f"{record.metrics[HOURS] * 60:.1f}",
        ]
        for record in results.records
    ]
    header = ("trial", "state", measured_by(results.sweep), name or "avg", "minutes")
    first, *commands = trial_lines(results)
    notes = [f"{first}: {', '.join(f'`{command.strip()}`' for command in commands)}."]
    if results.confirmed:
        notes.append(_confirm_note(results))
    return Table("Trials", header, rows, " ".join(notes))


def headlines(sweep: Sweep, record: TrialRecord) -> dict[str, float]:
    """The numbers of a trial that are told first: means over languages, dev, groups, the whole."""
    tasks = [find_task(sweep, name) for name in sweep.targets]
    wanted = {Metric(group, GROUP) for group in groups_of(tasks, benchmark_of(sweep))}
    wanted |= {Metric(name, DEV) for name in (*sweep.targets, AVERAGE)}
    for name in (*sweep.targets, sweep.benchmark.name, CUSTOM):
        wanted |= {mean_of(name), Metric(name, language=ZERO_SHOT)}
    scored = {(row["target"], row["metric"]) for row in record.scores}
    wanted |= {mean_of(name, SHORT.get(x, x)) for name, x in scored if not is_profile(x)}
    names = {metric_name(metric) for metric in wanted}
    return {name: value for name, value in record.metrics.items() if name in names}


def tables(results: Results) -> dict[str, Table]:
    """All tables of the report by the names of their files, the most wanted first."""
    extra = {
        "race": race_table(results),
        "equal": equal_table(results),
        "collapsed": collapsed_table(results),
        "matched": matched_table(results),
        "selection": selection_table(results),
        "probes": probe_table(results),
    }
    return {
        "best": verdict_table(results),
        "search": search_table(results),
        "intermediates": grid_table(results),
        **{name: table for name, table in extra.items() if table is not None},
        "languages": languages_table(results),
        "trials": trials_table(results),
    }


def column_names(results: Results) -> list[str]:
    """Intermediates with a result, `none` first, then in the file's order."""
    have = {name for row in results.grid.values() for name in row}
    return [name for name in ("none", *results.sweep.intermediates) if name in have]


def _run_score(entry: Entry, is_one_number: bool = False) -> str:
    spread = None if is_one_number else entry.spread
    return _spread(entry.score, spread) + (COLLAPSED if entry.collapsed else "")


def _spread(value: float, spread: float | None) -> str:
    return f"{value:.1f}" if spread is None else f"{value:.1f} ±{spread:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
