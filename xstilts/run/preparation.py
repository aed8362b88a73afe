"""Prepare a sweep: encode once, in parallel, every row that its trials may read.

What is prepared lies under the storage by content, so a second call does nothing and trials only
map it into memory.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xstilts.data.token_cache import CacheEntry
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Rows

PARALLEL_ROWS = 50_000
"""Fewer rows than that are encoded by the trials that need them before a pool has started."""


@dataclass(frozen=True, slots=True)
class Job:
    """The rows of one use of a task in one language, for one model's tokenizer."""

    model: str
    rows: Rows
    language: str

    @property
    def num_rows(self) -> int:
        """How many rows the language has."""
        return dict(self.rows.rows)[self.language]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is done, and what it told of its rows."""

    job: Job
    statistics: dict[str, float]


def jobs_of(planner: Planner) -> list[Job]:
    """Everything that trials of the sweep may read; tokenizers that are equal count once."""
    models = {facts.tokenizer: name for name, facts in planner.inventory.models.items()}
    return [
        Job(model, rows, language)
        for model in models.values()
        for rows in planner.rows_needed(model)
        for language, count in rows.rows
        if count
    ]


def missing_jobs(jobs: list[Job], storage: Path, inventory: Inventory) -> list[Job]:
    """The jobs whose rows are not encoded yet."""
    return [job for job in jobs if not _files(job, storage, inventory).are_there]


def known_figures(jobs: list[Job], storage: Path, inventory: Inventory) -> list[Prepared]:
    """What encoding told of the jobs whose rows are encoded."""
    figures = ((job, _files(job, storage, inventory).figures()) for job in jobs)
    return [Prepared(job, found) for job, found in figures if found is not None]


def _files(job: Job, storage: Path, inventory: Inventory) -> CacheEntry:
    return CacheEntry(storage, job.rows, job.language, inventory.models[job.model].tokenizer)


def prepare(
    jobs: list[Job],
    storage: Path,
    inventory: Inventory,
    processes: int,
    on_done: Callable[[Prepared], None] = lambda prepared: None,
) -> list[Prepared]:
    """Encode what is not encoded yet; what all jobs tell of their rows, in their order.

    Raises:
        DataError: rows cannot be read.
        StageError: a tokenizer cannot be loaded.
    """
    done = {prepared.job: prepared for prepared in known_figures(jobs, storage, inventory)}
    for prepared in done.values():
        on_done(prepared)
    left = [job for job in jobs if job not in done]
    if not left:
        return [done[job] for job in jobs]
    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    context = multiprocessing.get_context("spawn")
    # The largest first, so that no process is left with a long one in the end.
    ordered = sorted(left, key=lambda job: -job.num_rows)
    with ProcessPoolExecutor(max(1, min(processes, len(left))), mp_context=context) as pool:
        futures = {
            pool.submit(_encode, storage, folders, inventory.models[job.model], job): job
            for job in ordered
        }
        try:
            for future in as_completed(futures):
                prepared = Prepared(futures[future], future.result())
                done[prepared.job] = prepared
                on_done(prepared)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [done[job] for job in jobs]


def _encode(
    storage: Path, folders: dict[str, Path], facts: ModelFacts, job: Job
) -> dict[str, float]:
    # In the pool's processes only: who asks what is prepared need not wait for torch.
    from xstilts.data.encoding import TokenCache

    token_cache = TokenCache(storage, folders, _tokenizer(facts.path), facts.tokenizer)
    token_cache.encoded(job.rows, job.language)
    figures = CacheEntry(storage, job.rows, job.language, facts.tokenizer).figures()
    assert figures is not None
    return figures


@cache
def _tokenizer(folder: str) -> Any:
    """A process of the pool has many jobs with the same tokenizer."""
    from xstilts.training.model import load_tokenizer

    return load_tokenizer(Path(folder))
