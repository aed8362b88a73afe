"""What a mirror has for the tasks of the catalogue: the command `data check --root`.

Only READMEs and the footers of Parquet files are read, no rows, so that it is quick on any mirror.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xstilts.data.hub_layout import declared_files
from xstilts.data.sources import Folders, check_columns, count_rows, count_slice
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.tasks import Slice, Task, known_tasks


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one use of a task: in how many `of` its languages. `deviations` names every split
    whose rows are not as many as were published."""

    task: str
    use: str
    num_rows: int
    num_languages: int
    of: int
    remark: str
    deviations: tuple[str, ...] = ()


def check_mirror(root: Path) -> tuple[list[Found], list[str]]:
    """Every use of every task that the mirror has any rows for, in the catalogue's order; and what
    is wrong with data sets that cannot be read.

    Raises:
        ConfigError: the folder holds no data set.
    """
    datasets = [path.parent for path in sorted(root.glob("*/*/README.md"))]
    if not datasets:
        rule = "is no mirror: it holds no <owner>/<name>/README.md"
        repair = "import original files with `xstilts data import`"
        raise ConfigError([Problem("--root", rule, f'"{root}"', repair)])
    folders: dict[str, Path] = {}
    broken: dict[str, None] = {}
    for path in datasets:
        try:
            declared_files(path)
            folders[path.relative_to(root).as_posix()] = path
        except DataError as error:
            broken[str(error)] = None
    found = []
    for task in known_tasks():
        for use in task.splits:
            try:
                row = _check(folders, task, use)
            except DataError as error:
                broken[str(error)] = None
            else:
                found += [row] if row.num_languages else []
    return found, list(broken)


def _check(folders: Folders, task: Task, use: str) -> Found:
    slices = task.slices_of(use)
    filters = [one.filter for one in slices if one.filter]
    languages = task.languages_of(use)
    counts: dict[str, int] = {}
    remarks = []
    deviations: list[str] = []
    for language in languages:
        absent = [name for one in slices for name in _absent(folders, one, language)]
        if absent:
            if len(absent) < sum(len(one.origin.configs_of(language)) for one in slices):
                remarks.append(f"{language}: no {', '.join(absent[:3])}")
            continue
        if any(source.hub_id not in folders for source in task.sources_of(use)):
            # A slice may need a second data set, to leave out what that one has.
            remarks.append(f"needs {', '.join(filters)}")
            continue
        check_columns(folders, task, use, language)
        deviations += _deviations(folders, task, use, language)
        counts[language] = count_rows(folders, task, use, language)
    missing = [language for language in languages if language not in counts]
    if missing and counts:
        remarks.append(f"without {' '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}")
    elif counts:
        remarks += filters
    return Found(
        task=task.name,
        use=use,
        num_rows=sum(counts.values()),
        num_languages=len(counts),
        of=len(languages),
        remark="; ".join(dict.fromkeys(remarks)),
        deviations=tuple(dict.fromkeys(deviations)),
    )


def _absent(folders: Folders, rows: Slice, language: str) -> list[str]:
    """The configurations of one language that a slice needs and the mirror does not have."""
    source = rows.origin
    present = declared_files(folders[source.hub_id]) if source.hub_id in folders else {}
    return [
        f"{config} {rows.split}"
        for config in source.configs_of(language)
        if (config, rows.split) not in present
    ]


def _deviations(folders: Folders, task: Task, use: str, language: str) -> Iterator[str]:
    """Splits of one language that have other than their published number of rows."""
    for one in task.slices_of(use):
        source = one.origin
        published = source.size_of(one.split, language)
        if published is None:
            continue
        rows = count_slice(folders, task, Slice(one.split, source), language)
        if rows != published:
            config = source.config_of(language)
            yield f"{source.hub_id} {config} {one.split}: {rows:,} rows, published {published:,}"
