"""The commands that pack a sweep into a bundle, and that verify one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xstilts.cli.app import Json, Name, Storage, command, note, out, print_json, results_of
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.study.bundled_odds import OddsVerified
    from xstilts.study.verify import Verified


@command("xstilts bundle quickstart --out quickstart.bundle.zip")
def bundle(
    name: Name,
    storage: Storage = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="The file; NAME.bundle.zip here unless said.")
    ] = None,
) -> None:
    """Pack a finished sweep into one file that anyone can verify: its definition and registration,
    records, what every item gave, the languages, the environment, the commands, the numbers.

    What it prints of its manifest, published, stands for all that the file says.
    """
    from xstilts.study.packing import pack

    results = results_of(name, storage, with_plugins=False).details
    path = file or Path(f"{results.sweep.name}.bundle.zip")
    _tell(path, pack(results, path, note))


@command("xstilts verify quickstart.bundle.zip")
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE...", help="Files of `bundle`.", show_default=False),
    ],
    refit: Annotated[
        bool, typer.Option("--refit", help="Also fit odds ratios again, by R with lme4.")
    ] = False,
    as_json: Json = False,
) -> None:
    """See that bundles are as they were written, and compute every number again from the items.

    The first file, byte or number that differs is named, and the exit status is 1; it is 2 where a
    file is no bundle of this format. Nothing that a bundle holds is run.
    """
    from xstilts.study.verify import verify as verified

    if refit:
        _check_r()
    found = []
    for file in files:
        found.append(verified(file, refit))
        if not as_json:
            _tell(file, found[-1])
    if as_json:
        print_json([asdict(one) for one in found])


def _check_r() -> None:
    from xstilts.study import glmer

    if glmer.software() is None:
        rule, got = "needs Rscript with lme4", "none on the PATH"
        repair = "install them, or leave it out: all but the fits is computed again"
        raise ConfigError([Problem("--refit", rule, got, repair)])


def _tell(file: Path, found: Verified) -> None:
    out.print(f"{file}: {found.sweep} verifies", markup=False, soft_wrap=True)
    out.print(
        f"  {found.parts} parts as their digests say; of {found.trials} trials {found.scores:,} "
        f"scores from their items, and their averages; {found.numbers:,} numbers that follow",
        markup=False,
        soft_wrap=True,
    )
    out.print(
        f"  believed: {found.believed:,} scores without items (dev, profiles), which runs learnt, "
        "hours, the items themselves",
        markup=False,
        soft_wrap=True,
    )
    if told := _of_odds(found.odds):
        out.print(f"  odds ratios: {told}", markup=False, soft_wrap=True)
    out.print(f"  sha256 of its manifest: {found.manifest_sha256}", soft_wrap=True)


def _of_odds(found: OddsVerified) -> str:
    """Which of them were fitted again; nothing where a bundle has none."""
    if found.by is None:
        why = "of the items, their fits believed; --refit makes them again by R"
        return f"{found.believed} {why}" if found.believed else ""
    r, lme4 = found.by
    rest = f", {found.believed} believed, as a fit did not converge, or was not to be had"
    return f"{found.fitted} fitted again by lme4 {lme4} in R {r}{rest if found.believed else ''}"
