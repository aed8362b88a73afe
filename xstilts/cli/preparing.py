"""The command `prepare`, its progress bar, and the table of what it told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from xstilts.cli.app import File, Json, Overrides, command, err, inputs_of, out, print_json

if TYPE_CHECKING:
    from xstilts.run.preparation import Job, Prepared


@command("xstilts prepare builtin:quickstart")
def prepare(
    file: File,
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is missing; exit status 1 if any.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch and tokenise all that a sweep reads, once, in parallel; a second call does nothing."""
    sweep, places, inventory = inputs_of(file, overrides)
    from xstilts.driver import Terminal
    from xstilts.files import write_json
    from xstilts.plan.plan import Planner
    from xstilts.report.columns import WholeNames
    from xstilts.run.places import PREPARED
    from xstilts.run.preparation import jobs_of, missing_jobs

    jobs = jobs_of(Planner(sweep, inventory, {}))
    missing = missing_jobs(jobs, places.storage, inventory)
    rows = sum(job.num_rows for job in missing)
    if check:
        if as_json:
            print_json({"rows": rows, "missing": [_names(job) for job in missing]})
        else:
            out.print(f"{len(missing)} of {len(jobs)} parts are missing, {rows:,} rows")
        raise typer.Exit(1 if missing else 0)
    done, seconds = Terminal(out, err).prepare(jobs, places.storage, inventory)
    places.sweep.mkdir(exist_ok=True)
    write_json(places.sweep / PREPARED, inventory.to_json())
    if as_json:
        print_json([{**_names(prepared.job), **prepared.statistics} for prepared in done])
        return
    for table in statistics_tables(done):
        out.print(WholeNames(table, (0, 1, 2)))
    out.print(WholeNames(fertility_table(done), (0, 1)))
    for line in warnings_of(done):
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    for line in unanswerable_lines(done):
        out.print(line)
    rate = f", {rows / max(seconds, 1e-9):,.0f} rows a second" if missing else ""
    out.print(
        f"{len(missing)} of {len(jobs)} parts were missing: {rows:,} rows in {seconds:.1f} s{rate}"
    )


def statistics_tables(done: list[Prepared]) -> Iterator[Table]:
    """A table of every model, with a row for every task, use and language."""
    several = len({prepared.job.model for prepared in done}) > 1
    for model, own in groupby(done, key=lambda prepared: prepared.job.model):
        title = f"models.{model}" if several else None
        table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("task", "use", "lang"):
            table.add_column(name)
        for name in ("rows", "tokens/word", "unknown %", "cut %", "words cut"):
            table.add_column(name, justify="right")
        for prepared in own:
            rows, figures = prepared.job.rows, prepared.statistics
            table.add_row(
                *(rows.task, rows.use, prepared.job.language, f"{figures['rows']:,}"),
                *(f"{figures[name]:.2f}" for name in ("fertility", "unknown", "cut")),
                f"{figures['cut_words']:,}",
            )
        yield table


def fertility_table(done: list[Prepared]) -> Table:
    """A row for every language and model: what its tokenizer makes of all rows of the language."""
    from xstilts.data.statistics import joined

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("lang", "model"):
        table.add_column(name)
    for name in ("tokens/word", "unknown %"):
        table.add_column(name, justify="right")
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    for prepared in done:
        key = (prepared.job.language, prepared.job.model)
        figures.setdefault(key, []).append(prepared.statistics)
    for (language, model), own in sorted(figures.items()):
        values = joined(own)
        table.add_row(language, model, f"{values['fertility']:.2f}", f"{values['unknown']:.2f}")
    return table


def warnings_of(done: list[Prepared]) -> list[str]:
    """A line for every task and language of which a model's tokenizer does not know much."""
    from xstilts.run.vocabulary import UNKNOWN_WARNED

    worst: dict[tuple[str, str, str], float] = {}
    for prepared in done:
        job, unknown = prepared.job, prepared.statistics["unknown"]
        if unknown >= UNKNOWN_WARNED:
            key = (job.model, job.rows.task, job.language)
            worst[key] = max(unknown, worst.get(key, 0.0))
    return [
        f"the tokenizer of models.{model} does not know {unknown:.0f}% of the tokens of {task} in "
        f"{language}: its scores there say little"
        for (model, task, language), unknown in worst.items()
    ]


def unanswerable_lines(done: list[Prepared]) -> list[str]:
    """Of every task, use and language with questions that cannot be answered, how many, and what
    becomes of them."""
    lines = []
    for prepared in done:
        rows, count = prepared.job.rows, int(prepared.statistics.get("unanswerable", 0))
        if count:
            where = f"{rows.task} {rows.use} {prepared.job.language}"
            fate = "left out of training" if rows.use == "train" else "scored as they are"
            total = f"{prepared.statistics['rows']:,}"
            lines.append(f"{where}: {count:,} of {total} cannot be answered, {fate}")
    if lines:
        lines.insert(0, "The tokenizer does not know where these answers begin or end:")
    return lines


def _names(job: Job) -> dict[str, str]:
    names = {"task": job.rows.task, "use": job.rows.use, "language": job.language}
    return {"model": job.model, **names}
