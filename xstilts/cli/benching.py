"""`xstilts bench`: what this machine trains and evaluates a second."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from xstilts.cli.app import Json, command, err, out, print_json
from xstilts.errors import ConfigError, Problem
from xstilts.files import write_json

PRECISIONS = ("fp32", "bf16")


@command("xstilts bench --model xlmr-base --out bench.json")
def bench(
    model: Annotated[
        str,
        typer.Option(help="xlmr-base, mmbert-base, another shape, or a folder with config.json."),
    ] = "xlmr-mini",
    work: Annotated[str, typer.Option(help="mnli, udpos, squad, or several with commas.")] = "mnli",
    precision: Annotated[str, typer.Option(help="fp32, bf16, or both with a comma.")] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="Examples of an optimiser step.")] = 32,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Timed steps of a turn: 10, or 100 on a GPU, unless said."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns; figures are medians.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of this process.")] = 1,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile training, as resources.compile does.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the rows.")] = 0,
    to: Annotated[Path | None, typer.Option("--out", help="Write the figures as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Measure training and evaluation throughput on this machine, with random weights."""
    from xstilts.bench.measure import Benchmark, measure
    from xstilts.bench.workloads import WORKLOADS

    benchmark = Benchmark(
        model,
        works=_chosen("--work", work, tuple(WORKLOADS)),
        precisions=_chosen("--precision", precision, PRECISIONS),
        batch_size=batch,
        steps=steps,
        rounds=rounds,
        threads=threads,
        compiled=compiled,
        seed=seed,
    )
    found = measure(benchmark, lambda line: err.print(line, markup=False, highlight=False))
    if to is not None:
        write_json(to, found)
    if as_json:
        print_json(found)
    else:
        out.print(_train_table(found))
        out.print(_evaluation_table(found))


def _chosen(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        rule = f"is one or several of {', '.join(known)}"
        raise ConfigError([Problem(option, rule, f'"{name}"') for name in unknown])
    return names


def _train_table(found: dict[str, Any]) -> Table:
    caption = "peak: share of the matmul rate; padded: of positions; loader: of the time"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    names = ["training", "dtype", "rows/s", "tokens/s", "peak", "padded", "loader"]
    for name in names:
        table.add_column(name, justify="left" if name in ("training", "dtype") else "right")
    for row in found["train"]:
        cells = [
            row["work"],
            row["dtype"],
            f"{row['examples_per_s']:,.1f}",
            f"{row['tokens_per_s']:,.0f}",
            f"{row['share_of_peak']:.0%}",
            f"{row['padded_share']:.1%}",
            f"{row['loader_share']:.1%}",
        ]
        table.add_row(*cells)
    return table


def _evaluation_table(found: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names = ["evaluation", "dtype", "rows/s", "tokens/s"]
    for name in names:
        table.add_column(name, justify="left" if name in ("evaluation", "dtype") else "right")
    for row in found["evaluate"]:
        cells = [row["work"], row["dtype"]]
        cells += [f"{row['examples_per_s']:,.1f}", f"{row['tokens_per_s']:,.0f}"]
        table.add_row(*cells)
    return table
