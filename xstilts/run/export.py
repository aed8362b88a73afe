"""Export a finished trial: its predictions as an XTREME submission, with the labels if wanted, or
the model that it chose for a target."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from xstilts.config.derive import languages_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.data.encoding import TokenCache
from xstilts.errors import StoreError
from xstilts.files import FILE_MODE
from xstilts.kinds.kind import is_labelled
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, Train, stage_name
from xstilts.plan.trial_plan import TrialPlan, retried
from xstilts.records import TrialRecord
from xstilts.run.confirmation import plan_of
from xstilts.run.links import as_retried
from xstilts.run.pooled import Pool
from xstilts.run.predictions import label_lists, submitted
from xstilts.run.stage_results import WEIGHTS
from xstilts.run.store import Store, encoder_files
from xstilts.run.workshop import Workshop
from xstilts.scores.official import LABELS, PREDICTIONS
from xstilts.tasks import Task
from xstilts.training.huggingface import check_form, to_transformers
from xstilts.training.model import load_encoder, load_tokenizer


@dataclass(frozen=True, slots=True)
class Exported:
    """How many files were written, and what was left out and why."""

    num_files: int
    left_out: tuple[str, ...]


def export_submission(record: TrialRecord, sweep: Sweep, store: Store, folder: Path) -> Exported:
    """Write a finished trial's predictions into `folder`, as XTREME's scorer, or XTREME-R's, reads
    them.

    Raises:
        StoreError: the predictions are no longer in the store.
    """
    found: dict[str, Path] = {}
    for stage in record.stages:
        result = store.result(stage.name)
        for path in (result / "predictions").glob("*") if result else ():
            found[path.name] = path
    num_files = 0
    split = sweep.evaluation.split
    targets = record.confirms or record.targets or sweep.targets
    for task in (find_task(sweep, name) for name in targets):
        if task.name not in found:
            rule = "its predictions are no longer in the store"
            repair = f"`xstilts run FILE --trial {record.trial}` makes them again"
            raise StoreError(f"{record.trial}: {task.name}: {rule}; {repair}")
        ending = task.kind_spec.file_ending
        texts = {
            language: (found[task.name] / f"{split}-{language}.{ending}").read_bytes().decode()
            for language in languages_of(sweep, task)
        }
        num_files += _write(folder, task, texts, PREDICTIONS)
    return Exported(num_files, ())


def export_labels(plan: TrialPlan, planner: Planner, workshop: Workshop, folder: Path) -> Exported:
    """Write the gold of everything that a trial was scored on into `folder`, in the same layout.

    Raises:
        DataError: rows cannot be read.
    """
    facts = planner.inventory.models[plan.model]
    encoder, _ = workshop.token_cache_of(facts)
    num_files, left_out = 0, []
    for group in plan.target_sets:
        for name in group.targets:
            task = find_task(planner.sweep, name)
            stage = planner.evaluation(plan, task.name, None)
            rows, pool = stage.rows, _pool(stage, encoder)
            texts: dict[str, str] = {}
            for language, _ in rows.rows:
                examples = encoder.encoded(rows, language).examples
                if is_labelled(examples):
                    texts[language] = _gold(task, examples, pool)
                else:
                    left_out.append(f"{task.name} {language}: its labels are not published")
            num_files += _write(folder, task, texts, LABELS)
    return Exported(num_files, tuple(left_out))


def _write(folder: Path, task: Task, texts: Mapping[str, str], whole: str) -> int:
    """Write a task's texts, by language, and say in how many files; `whole` is the file of a task
    that has one for all languages."""
    files = submitted(task, texts, whole)
    for name, text in files.items():
        path = folder / task.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return len(files)


def export_model(
    record: TrialRecord,
    planner: Planner,
    workshop: Workshop,
    target: str,
    folder: Path,
    tell: Callable[[str], Any],
) -> None:
    """Write the model that a trial chose for a target, with its tokenizer, for `from_pretrained`.

    Weights that were dropped are trained again, to the same bytes.

    Args:
        tell: called with a line when that is to be done.

    Raises:
        StoreError: the trial's configuration does not lead to the stage that its record names.
        StageError: its head has no form in transformers.
    """
    stage = chosen_stage(record, planner, find_task(planner.sweep, target))
    task = stage.parts[0].train.entry  # with the labels that its rows have
    check_form(task, stage.recipe)
    weights = _weights(record, stage, workshop, tell)
    files = encoder_files(workshop.store, stage)
    to_transformers(weights, task, *files).save_pretrained(folder)
    load_tokenizer(Path(planner.inventory.models[record.model].path)).save_pretrained(folder)
    _open(folder)


def export_encoder(
    record: TrialRecord,
    planner: Planner,
    workshop: Workshop,
    folder: Path,
    tell: Callable[[str], Any],
) -> None:
    """Write the encoder that a trial's intermediate left, with its tokenizer, for
    `from_pretrained`; weights and `tell` as in `export_model`.

    Raises:
        ValueError: it is a trial of the baseline.
    """
    encoder = plan_of(planner, record).encoder
    if not isinstance(encoder, Train):
        raise ValueError(f"{record.trial}: has no intermediate")
    stage = _attempt(record, encoder)
    _weights(record, stage, workshop, tell)
    whole, adapters = encoder_files(workshop.store, stage)
    load_encoder(whole, adapters=adapters).save_pretrained(folder)
    load_tokenizer(Path(planner.inventory.models[record.model].path)).save_pretrained(folder)
    _open(folder)


def _open(folder: Path) -> None:
    """Give weights the mode that the umask says: safetensors lets their owner alone read them."""
    for path in folder.glob(WEIGHTS):
        path.chmod(FILE_MODE)


def _weights(
    record: TrialRecord, stage: Train, workshop: Workshop, tell: Callable[[str], Any]
) -> Path:
    for lost in workshop.lacking(stage):
        tell(f"{stage_name(lost)}: its weights were dropped, it is trained again")
        owner = f"{record.sweep}/{record.trial}"
        workshop.run(lost, owner, lambda share: None, with_weights=True)
    return workshop.store.weights(stage)


def _attempt(record: TrialRecord, encoder: Train) -> Train:
    """The intermediate stage that a trial's record is of; it may be a further attempt."""
    return retried(encoder, record.retries.get(encoder.label, 0))


def chosen_stage(record: TrialRecord, planner: Planner, task: Task) -> Train:
    """The stage that a trial chose for a target; it, and its encoder, may be a further attempt.

    Raises:
        StoreError: the trial's configuration does not lead to the stage that its record names.
    """
    chosen = record.chosen[task.head]
    name = chosen.selected or chosen.stage
    plan = plan_of(planner, record)
    if isinstance(plan.encoder, Train):
        plan = planner.with_encoder(plan, _attempt(record, plan.encoder))
    for group in plan.target_sets:
        for number, cell in enumerate(group.cells):
            planned = as_retried(cell.stage, partial(group.label, number), record.retries)
            stage = retried(planned, record.retries.get(group.label(number), 0))
            if stage_name(stage) == name:
                return planner.final(stage, chosen.best_step or 0) or stage
    raise StoreError(f"{record.trial}: {name}: another version of the package trained it")


def _pool(stage: Evaluate, encoder: TokenCache) -> Pool | None:
    """The candidates that an evaluation ranks, where rows do not bring their own."""
    if stage.pool is None:
        return None
    pool = Pool()
    for language, _ in stage.pool.rows:
        pool.add(encoder.encoded(stage.pool, language).examples)
    return pool


def _gold(task: Task, examples: pa.Table, pool: Pool | None) -> str:
    form = task.kind_spec.prediction
    if form == "ranking":
        if pool is not None:
            examples = pool.with_gold(examples)
        gold = zip(*(examples[x].to_pylist() for x in ("id", "gold")), strict=True)
        return json.dumps(dict(gold), ensure_ascii=False, indent=0)
    if form == "answer":
        columns = zip(*(examples[name].to_pylist() for name in ("id", "answers")), strict=True)
        questions = [
            {"id": name, "question": "", "answers": [{"text": text} for text in texts]}
            for name, texts in columns
        ]
        paragraphs = [{"context": "", "qas": questions}]
        return json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]})
    if form == "labels":
        return label_lists(examples["labels"].to_pylist())
    if form == "tags":
        tags = examples["tags"].to_pylist()
        return "\n".join("".join(f"{tag}\n" for tag in sentence) for sentence in tags)
    if form == "pair":
        pairs = [pair for pairs in examples["gold"].to_pylist() for pair in pairs]
        return "".join(f"{source}\t{target}\n" for source, target in pairs)
    column = task.kind_spec.label or "gold"
    return "".join(f"{value}\n" for value in examples[column].to_pylist())
