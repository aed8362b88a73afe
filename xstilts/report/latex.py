"""The tables of a paper in LaTeX, in the layout of Phang et al. 2020: targets across, intermediates
down, with their means; then a table of languages for each target.

They need booktabs alone. A table that would be wider than a page is continued below, under the
same first column. Bold is the highest of a column, a dagger is in the set of ties, a hole is `--`,
and no mean is taken over one. The numbers are those of `cells`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from xstilts.config.derive import NONE
from xstilts.errors import ConfigError, Problem
from xstilts.files import write_atomically
from xstilts.records import CONFIRM
from xstilts.report.cells import Cell
from xstilts.report.groups import group_table, grouped
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.report.unfinished import unfinished
from xstilts.tasks.languages import language

NO_FOLDERS = (".html", ".pdf")
"""How names end that are meant for files of another sort."""

HOLE, DAGGER = "--", r"$^\dagger$"

WIDTH = 79
"""Letters that fit side by side in the narrowest of the usual pages: 345 pt of 8 pt letters."""

NARROW, BROAD = frozenset("fijlt.,-:;I'"), frozenset("mwMW@%")
GAP = 1.5

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "–": "--",
    "—": "---",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "\xa0": "~",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}

_STACK = r"\begin{tabular}[t]{@{}l@{}}", r"\end{tabular}"

_HEAD = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
"""


def escaped(text: str) -> str:
    """Text as LaTeX prints it with any font; beyond ASCII what is no sign of print or of arithmetic
    becomes a question mark."""
    kept = (letter for letter in text if letter.isprintable() or not letter.isascii())
    return "".join(_ESCAPED.get(x, x if x.isascii() else "?") for x in kept)


def wrapped(text: str, letters: int) -> str:
    """A cell of text in lines of at most so many letters."""
    lines = [escaped(line) for line in textwrap.wrap(text, letters)] or [""]
    return lines[0] if len(lines) == 1 else _STACK[0] + r" \\ ".join(lines) + _STACK[1]


def latex_tables(results: Results, by: str | None = None) -> dict[str, str]:
    """The tables by the names of their files: `scores`, then `languages-TARGET` of each target that
    has a best; `by-COLUMN-TARGET` where groups of languages by a column are asked for."""
    found = results.cells
    note = unfinished(results)
    mark = rf" \textbf{{Unfinished:}} {escaped(note)}." if note else ""
    tables = {"scores": _scores(results, [c for c in found if not c["language"]], mark)}
    for target in results.sweep.targets:
        own = [c for c in found if c["language"] and c["target"] == target]
        if own:
            tables[f"languages-{target}"] = _languages(results, target, own, mark)
    for one in grouped(results, by) if by else []:
        tables[f"by-{by}-{one.target}"] = _groups(group_table(one, str(by)), mark)
    return tables


def write_latex(results: Results, path: Path, by: str | None = None) -> list[Path]:
    """Write one document with all tables where `path` ends in `.tex`, else a folder with a file for
    each and `report.tex`, which reads them; the paths written.

    Raises:
        ConfigError: it cannot be written there, or is the name of a page.
    """
    return write_tables(latex_tables(results, by), path)


def write_tables(tables: Mapping[str, str], path: Path) -> list[Path]:
    """Write tables by the names of their files, as `write_latex` does; the paths written."""
    repair = "give a folder, or a file that ends in .tex"
    if path.suffix in NO_FOLDERS:
        raise ConfigError([Problem("--latex", "is a folder or a FILE.tex", f'"{path}"', repair)])
    if path.suffix == ".tex":
        files = {path: _document(tables.values())}
    else:
        files = {path / f"{name}.tex": text for name, text in tables.items()}
        files[path / "report.tex"] = _document(rf"\input{{{name}}}" for name in tables)
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text)
    except OSError as error:
        raise ConfigError([Problem("--latex", "cannot be written", str(error), repair)]) from error
    return list(files)


def _document(parts: Iterable[str]) -> str:
    return _HEAD + "\n\\clearpage\n".join(parts) + "\n\\end{document}\n"


def _scores(results: Results, means: Sequence[Cell], mark: str) -> str:
    """Intermediates by targets, with means over the targets."""
    targets = results.sweep.targets
    rows: dict[str, dict[str, Cell]] = {}
    for name in (NONE, *results.sweep.intermediates):
        own = {cell["target"]: cell for cell in means if cell["intermediate"] == name}
        if own:
            rows[name] = own
    best = {
        target: max(row[target]["value"] for row in rows.values() if target in row)
        for target in targets
        if any(target in row for row in rows.values())
    }
    averages = {
        name: fmean(row[target]["value"] for target in targets)
        for name, row in rows.items()
        if all(target in row for target in targets)
    }
    lines = []
    for name, row in rows.items():
        texts = [_cell(row[target], best[target]) if target in row else HOLE for target in targets]
        average = _bold(averages[name], max(averages.values())) if name in averages else HOLE
        lines.append([escaped(name), *texts, average])
    fresh = sorted({cell["n"] for cell in means if cell["phase"] == CONFIRM})
    searched = sorted({cell["n"] for cell in means if cell["phase"] != CONFIRM})
    runs = [f"{_range(fresh)} of confirmation"] if fresh else []
    runs += [f"{_range(searched)} of search (slanted)"] if searched else []
    seeds = len(results.sweep.seeds)
    caption = (
        f"{escaped(results.sweep.name)}: mean scores over languages on the "
        f"{escaped(results.sweep.evaluation.split)} split, each intermediate with its best "
        f"configuration by English dev. $n$, the runs of a cell that learnt: {' or '.join(runs)}; "
        f"search had {seeds} seed{'s' * (seeds != 1)}. mean: over all targets. "
        f"Bold: the highest of a column; {DAGGER}: may be the best (95\\,\\%).{mark}"
    )
    header = ["", *map(escaped, targets), "mean"]
    return latex_table(header, lines, caption, f"scores:{results.sweep.name}")


def _languages(results: Results, target: str, own: Sequence[Cell], mark: str) -> str:
    """Languages by intermediates, then the gain of the target's best with its interval."""
    by_name: dict[str, dict[str, Cell]] = {}
    for name in (NONE, *results.sweep.intermediates):
        if found := {c["language"]: c for c in own if c["intermediate"] == name}:
            by_name[name] = found
    codes = sorted({cell["language"] for cell in own}, key=lambda code: language(code).name)
    best = results.verdicts[target].verdict.best
    gains = by_name.get(best, {}) if best is not None and best != NONE else {}
    lines: list[list[str] | None] = []
    for code in codes:
        most = max(row[code]["value"] for row in by_name.values() if code in row)
        texts = [_cell(row[code], most) if code in row else HOLE for row in by_name.values()]
        lines.append([escaped(language(code).name), *texts, *_gain(gains.get(code))])
    means = {
        name: fmean(row[code]["value"] for code in codes)
        for name, row in by_name.items()
        if len(row) == len(codes)
    }
    texts = [_bold(means[name], max(means.values())) if name in means else HOLE for name in by_name]
    lines += [None, ["mean", *texts, "", ""]]
    counts = {name: sorted({c["n"] for c in row.values()}) for name, row in by_name.items()}
    runs = ", ".join(f"{_range(n)} of {escaped(name)}" for name, n in counts.items())
    about = (
        f"; gain: of {escaped(best or NONE)} over none, intervals over seeds alone" if gains else ""
    )
    caption = (
        f"{escaped(target)} by language. $n$, the runs that learnt: {runs}; slanted: of search. "
        f"Bold: the highest of a row{about}.{mark}"
    )
    header = ["", *map(escaped, by_name), "gain", "95\\,\\%"]
    if not gains:
        header, lines = header[:-2], [line and line[:-2] for line in lines]
    return latex_table(header, lines, caption, f"languages:{target}")


def _groups(table: Table, mark: str) -> str:
    """Groups of languages by intermediates: gains over none."""
    lines: list[list[str] | None] = [
        [escaped(name), *(HOLE if x == "-" else f"${x}$" if x[:1] in "+-" else x for x in cells)]
        for name, *cells in table.rows
    ]
    caption = f"{escaped(table.title)}. {escaped(table.note)}.{mark}"
    return latex_table([*map(escaped, table.header)], lines, caption, table.title.replace(" ", ":"))


def latex_table(
    header: Sequence[str], lines: Sequence[list[str] | None], caption: str, label: str
) -> str:
    """A table of which as many columns stand side by side as a page holds, the others below."""
    rows = [line for line in lines if line is not None]
    parts = []
    for chosen in _blocks([header, *rows]):
        columns = "l" + "r" * (len(chosen) - 1)
        body = [
            r"\midrule" if line is None else " & ".join(line[i] for i in chosen) + r" \\"
            for line in lines
        ]
        titles = " & ".join(header[i] for i in chosen) + r" \\"
        head = rf"\begin{{tabular}}{{{columns}}}", r"\toprule", titles, r"\midrule"
        parts.append("\n".join([*head, *body, r"\bottomrule", r"\end{tabular}"]))
    safe = "".join(letter if letter.isalnum() or letter in ":-." else "-" for letter in label)
    head = r"\begin{table}[p]", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"
    foot = rf"\caption{{{caption}}}", rf"\label{{tab:{safe}}}", r"\end{table}", ""
    return "\n".join([*head, "\n\n\\medskip\n".join(parts), *foot])


def _blocks(rows: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """The numbers of the columns that stand side by side, the first in each."""
    widths = [max(_printed(row[i]) for row in rows) + GAP for i in range(len(rows[0]))]
    block = [0]
    for i in range(1, len(widths)):
        if len(block) > 1 and sum(widths[j] for j in block) + widths[i] > WIDTH:
            yield block
            block = [0]
        block.append(i)
    yield block


def _printed(text: str) -> float:
    """About how many letters a cell is wide."""
    if text.startswith(_STACK[0]):
        lines = text.removeprefix(_STACK[0]).removesuffix(_STACK[1]).split(r" \\ ")
        return max(map(_printed, lines))
    wide = 0.3 if "textbf" in text else 0.0
    for command in (r"\textbf{", r"\textit{", r"\textbackslash", r"\,", *r"{}\$"):
        text = text.replace(command, "")
    if (dagger := "^dagger") in text:
        text, wide = text.replace(dagger, ""), wide + 0.8
    text = text.replace("pm", "+")
    sizes = (0.6 if x in NARROW else 1.7 if x in BROAD else 1.4 if x.isupper() else 1 for x in text)
    return sum(sizes) + wide


def _cell(cell: Cell, best: float) -> str:
    text = _bold(cell["value"], best)
    text = text if cell["phase"] == CONFIRM else rf"\textit{{{text}}}"
    return text + (DAGGER if cell["may_be_best"] else "")


def _bold(value: float, best: float) -> str:
    """Bold is what is printed like the highest."""
    text = f"{value:.1f}"
    return rf"\textbf{{{text}}}" if text == f"{best:.1f}" else text


def _gain(cell: Cell | None) -> tuple[str, str]:
    """A gain and its interval."""
    if cell is None or cell["gain"] is None:
        return HOLE, HOLE
    known = cell["low"] is not None
    interval = f"{_signed(cell['low'])} to {_signed(cell['high'])}" if known else HOLE
    return _signed(cell["gain"]), interval


def _signed(value: float) -> str:
    return f"${value:+.1f}$"


def _range(counts: Sequence[int]) -> str:
    """`3`, or `2 to 3`."""
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
