"""The report of a study as one page of HTML that needs no network, from its answer alone.

`study.html` beside this module has the words; style and tables are those of the report's page,
which it extends. Names that users chose are escaped by the template, and in pictures by `pictures`.
Equal answers give equal bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.report.page_parts import environment, number, write
from xstilts.study import pictures
from xstilts.study.answer import Answer, Contrast, Odds
from xstilts.study.answer_tables import (
    BY_MARGIN,
    arm_table,
    check_table,
    compared_table,
    contrast_table,
    contrast_tables,
    design_lines,
    estimate,
    level,
    losing_table,
    minus,
    ordered,
    probability,
    probe_tables,
    tested,
    variance_table,
)
from xstilts.study.odds_tables import odds_table
from xstilts.tasks.languages import COLUMNS, language

LONG = 240
"""Letters of an answer that is printed smaller."""


def write_page(answer: Answer, path: Path, odds: Odds | None = None) -> Path:
    """Write the page of a study; its path. `odds` stand beside the answer where they are known.

    Raises:
        ConfigError: it cannot be written there.
    """
    return write(page(answer, odds), path)


def page(answer: Answer, odds: Odds | None = None) -> str:
    """The page of a study, finished or not."""
    template = environment(Path(__file__).parent).get_template("study.html")
    return template.render(
        answer=answer,
        is_long=len(answer.says) > LONG,
        level=level(answer),
        forest=_forest(answer),
        contrasts=contrast_table(answer),
        said=ordered(answer),
        scatters=_scatters(answer),
        losing=losing_table(answer),
        tables=contrast_tables(answer),
        design=list(design_lines(answer)),
        arms=arm_table(answer),
        compared=compared_table(answer),
        checks=check_table(answer),
        odds=odds_table(answer, odds),
        variances=variance_table(answer),
        probes=probe_tables(answer),
    )


def _forest(answer: Answer) -> dict[str, Any]:
    """The forest of contrasts by their standing, on one scale."""
    scale = pictures.scale_of(answer)
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in ordered(answer):
        row = {
            "name": one.name,
            "about": f"{minus(one)}; {tested(one)}",
            "bar": pictures.bar(one, answer, scale),
            "effect": estimate(one.effect),
            "judged": f"adjusted p {probability(one.adjusted)}",
            "beside": "" if one.holds else _beside(one),
            "withheld": one.withheld,
            "holds": one.holds,
        }
        rows.setdefault(one.standing, []).append(row)
    return {"rows": rows, "axis": pictures.axis(scale)}


def _beside(one: Contrast) -> str:
    """What stands beside a contrast that does not hold: what it would have taken."""
    if one.test not in BY_MARGIN:
        return f"; detectable {number(one.detectable)}"
    return f"; {one.seeds_needed} seeds of each arm would be needed" if one.seeds_needed else ""


def _scatters(answer: Answer) -> list[dict[str, Any]]:
    """A scatter of each contrast that has a covariate."""
    found = []
    for one in ordered(answer):
        if one.covariate is None or (drawn := pictures.scatter(one)) is None:
            continue
        picture, without = drawn
        column = COLUMNS.get(one.covariate)
        about = f"{one.covariate}: {column.about}." if column else ""
        found.append(
            {
                "name": one.name,
                "arms": minus(one),
                "about": about,
                "picture": picture,
                "without": ", ".join(language(code).name for code in without),
                "unknown": ", ".join(language(code).name for code in one.unknown),
                "has_line": bool(one.lines),
                "sides": [pictures.called(line) for line in one.lines if line.side],
            }
        )
    return found
