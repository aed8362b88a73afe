"""Compute one stage: from its description and its parent's folder to files and a manifest.

Everything random in a stage comes from its own seed, so a stage gives the same bytes whichever
trial, process or day computes it - on one device class, precision and number of threads, which
the manifest records.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from xstilts.config.probes import FERTILITY
from xstilts.config.schema import ResourcesSpec
from xstilts.data.encoding import TokenCache
from xstilts.errors import Diverged, LeaseLost, Preempted, StageError, StoreError
from xstilts.files import read_json_if_whole, sha256_of, write_json
from xstilts.kinds.kind import Vocabulary
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.plan.stage import (
    PROBE,
    RETRIEVAL,
    Computable,
    Evaluate,
    Part,
    Pretrained,
    Signal,
    Train,
    fingerprint,
    root_of,
    stage_name,
)
from xstilts.records import SCHEMA, StageManifest, manifest_of
from xstilts.run.evaluation import Evaluator
from xstilts.run.kept_weights import kept_by_all
from xstilts.run.outcomes import Items, write_outcomes
from xstilts.run.predictions import write_predictions
from xstilts.run.probes import ProbeReader, lm_head, read_fertility
from xstilts.run.signals import read_signal
from xstilts.run.stage_results import BASE, is_done
from xstilts.run.store import CHECKPOINTS, Claim, Store, encoder_files
from xstilts.scores.probes import PERPLEXITY
from xstilts.training import model as models
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.feed import PartData
from xstilts.training.heads import load_heads
from xstilts.training.matmul import check_precision, choose_matmul
from xstilts.training.memory import give_back
from xstilts.training.outcome import Options
from xstilts.training.predict import Predictor, replicas
from xstilts.training.processes import Job, run_together

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Computed:
    """A stage that is done: its folder and what it says of itself; whether it was there before;
    seconds that were waited for another process."""

    folder: Path
    manifest: StageManifest
    is_reused: bool
    wait_s: float


@dataclass
class Workshop:
    """What a process needs to compute stages; keeps tokenizers and encoded rows open.

    Once `must_stop` is true, a training stage writes a checkpoint and ends with `Preempted`.
    """

    storage: Path
    store: Store
    inventory: Inventory
    resources: ResourcesSpec
    must_stop: Callable[[], bool] = lambda: False
    _token_caches: dict[str, TokenCache] = field(default_factory=dict)
    _vocabularies: dict[str, Vocabulary] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Threads of each process of a trial."""
        return max(1, self.resources.cpus_per_trial // self.resources.processes)

    @property
    def device(self) -> torch.device:
        """The one device of a trial."""
        return torch.device("cuda" if self.resources.gpus_per_trial else "cpu")

    def token_cache_of(self, facts: ModelFacts) -> tuple[TokenCache, Vocabulary]:
        """Encoded rows and vocabulary of a model's tokenizer."""
        if facts.tokenizer not in self._token_caches:
            tokenizer = models.load_tokenizer(Path(facts.path))
            folders = {name: Path(folder) for name, folder in self.inventory.folders.items()}
            self._token_caches[facts.tokenizer] = TokenCache(
                self.storage, folders, tokenizer, facts.tokenizer
            )
            self._vocabularies[facts.tokenizer] = Vocabulary.of(tokenizer)
        return self._token_caches[facts.tokenizer], self._vocabularies[facts.tokenizer]

    def run(
        self,
        stage: Computable,
        owner: str,
        progress: Progress,
        with_weights: bool = False,
    ) -> Computed:
        """The stage from the store, computed now if nobody has.

        Args:
            owner: who pays for it, `sweep/trial`; goes into the manifest.
            progress: called with the share that is done, 0-1.
            with_weights: of a training stage: its weights too, should they have been dropped.

        Raises:
            StageError: the training failed.
            DataError: rows cannot be read.
            Preempted: `must_stop` became true.
            StorageFull: the disk is full.
        """

        name = stage_name(stage)
        self._stop_if_told(name)
        while True:
            is_there = self.store.has_weights if with_weights else self.store.has
            for lost in [] if is_there(stage) else self.lacking(stage.parent):
                self.run(lost, owner, progress, with_weights=True)
            try:
                found = self.store.get(
                    stage,
                    lambda claim: self._compute(stage, owner, claim, progress),
                    lambda: self._stop_if_told(name),
                    with_weights,
                )
                break
            except (StageError, StoreError):
                # Another sweep may have dropped the parent's weights before they were loaded.
                if not self.lacking(stage.parent):
                    raise
        give_back(self.device)
        if not found.is_reused:
            for path in self._checkpoint_files(name):
                path.unlink(missing_ok=True)
        manifest = manifest_of(found.manifest, str(found.folder))
        return Computed(found.folder, manifest, found.is_reused, found.wait_s)

    def lacking(self, stage: Pretrained | Train) -> list[Train]:
        """The stages whose weights an encoder is made of and that have none any more, each before
        those that go on from it."""
        if isinstance(stage, Pretrained):
            return []
        before = [] if stage.lora is None else self.lacking(stage.parent)
        return before if self.store.has_weights(stage) else [*before, stage]

    def progress_of(self, name: str) -> list[Any]:
        """Stands for how far the stage of that name is: equal as long as nothing is gained."""
        written = [path.stat().st_mtime_ns for path in self._checkpoint_files(name)]
        return [name, is_done(self.store.folder / name), max(written, default=0)]

    def let_go(self, name: str) -> None:
        """Drop the weights of a stage that this trial needs no more, unless a sweep keeps them."""
        if name not in kept_by_all(self.storage):
            self.store.drop_weights(name)

    def _compute(
        self, stage: Computable, owner: str, claim: Claim, progress: Progress
    ) -> dict[str, Any]:
        """Compute a stage into a claim's folder; its manifest."""
        started = time.time()
        # Threads change the order of sums, hence the last bits of a result; OpenMP counts them
        # for each calling thread, so this is said at every stage.
        torch.set_num_threads(self.threads)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        if isinstance(stage, Train):
            manifest = self._train(stage, claim, progress)
        elif isinstance(stage, Signal):
            manifest = self._signal(stage, claim)
        else:
            manifest = self._evaluate(stage, claim, progress)
        # Those before a checkpoint count: somebody paid for them.
        trained_s = manifest.get("outcome", {}).get("total_s", 0.0)
        seconds = max(time.time() - started, trained_s)
        logger.info("%s: %.1f s", fingerprint(stage)[:12], seconds)
        environment = {
            **environment_of(self.device.type),
            "threads": self.threads,
            "processes": self.resources.processes,
        }
        return {
            **manifest,
            "schema": SCHEMA,
            "seconds": seconds,
            "started": started,
            "computed_by": owner,
            "environment": environment,
        }

    def _train(self, stage: Train, claim: Claim, progress: Progress) -> dict[str, Any]:
        token_cache, vocabulary = self.token_cache_of(self._model_of(stage))
        limit = self._limit(stage)
        processes = self.resources.processes
        encoder, adapters = encoder_files(self.store, stage.parent)
        job = Job(
            stage,
            encoder,
            [self._part_data(part, token_cache) for part in stage.parts],
            vocabulary,
            self.device.type,
            self.threads,
            Options(limit.read(), self.resources.gradient_checkpointing, self.resources.compile),
            adapters,
        )
        checkpoints = Checkpoints(
            claim.checkpoint,
            fingerprint(stage),
            60 * self.resources.checkpoint_minutes,
            lambda: self.must_stop() or claim.is_lost(),
            self._checkpoint_files(stage_name(stage)),
        )
        try:
            if processes > 1:
                outcome = run_together(job, processes, claim.folder, progress, checkpoints)
            else:
                outcome = job.run(claim.folder, progress, checkpoints)
        except Diverged:
            checkpoints.clear()  # going on from it would diverge again
            raise
        except Preempted as error:
            if claim.is_lost():
                raise LeaseLost(str(error)) from error
            raise
        if outcome.halvings:
            limit.write(outcome.max_tokens)
        manifest: dict[str, Any] = {"outcome": asdict(outcome)}
        if stage.lora is not None and isinstance(stage.parent, Train):
            manifest[BASE] = stage_name(stage.parent)
        return manifest

    def _signal(self, stage: Signal, claim: Claim) -> dict[str, Any]:
        facts = self._model_of(stage)
        token_cache, vocabulary = self.token_cache_of(facts)
        go_on = partial(self._go_on, stage, claim)
        if stage.signal == FERTILITY:
            return {"values": read_fertility(stage, token_cache)}
        if stage.signal in (RETRIEVAL, PROBE):
            return {"values": read_signal(stage, self._predictor(stage), token_cache, go_on)}
        heads: dict[str, torch.nn.Module] = {}
        if stage.signal == PERPLEXITY:
            try:
                # The head of the checkpoint, with its output matrix, whatever was trained since.
                heads["mlm"] = lm_head(Path(facts.path), vocabulary)
            except StageError as error:
                return {"values": {}, "hole": str(error).removeprefix(f"{facts.path}: ")}
        predictor = self._predictor(stage, heads)
        return {"values": ProbeReader(stage, predictor, token_cache, go_on).read()}

    def _predictor(
        self, stage: Evaluate | Signal, heads: dict[str, torch.nn.Module] | None = None
    ) -> Predictor:
        """What predicts with the encoder of a stage's parent, and its heads or those given."""
        _, vocabulary = self.token_cache_of(self._model_of(stage))
        encoder_folder, adapters = encoder_files(self.store, stage.parent)
        backbone = models.load_encoder(encoder_folder, adapters=adapters)
        heads = heads or {}
        # A head of the intermediate stage is no target's.
        has_heads = isinstance(stage, Evaluate) and stage.rows.entry.is_trained
        if has_heads and isinstance(stage.parent, Train):
            hidden_size, _, _ = models.settings(backbone)
            trained = {part.train.task: part.train.entry for part in stage.parent.parts}
            recipe = stage.parent.recipe
            own = self.store.weights(stage.parent)
            found = load_heads(own, trained, hidden_size, recipe)
            (head,) = found.values()
            heads = {stage.rows.entry.head: head}  # of a chain it has the name of the last link
        net = models.Model(backbone, heads).to(self.device)
        models.check_vocabulary(net, vocabulary, encoder_folder)
        check_precision(stage.precision, self.device)
        choose_matmul(self.device.type)
        nets = replicas(net, self.resources.processes)
        return Predictor(nets, vocabulary, stage.precision)

    def _go_on(self, stage: Evaluate | Signal, claim: Claim) -> None:
        """Before a pass: stop where told, or where another process has taken the stage over."""
        what = "signal" if isinstance(stage, Signal) else "evaluation"
        self._stop_if_told(f"{stage.rows.task} {what}")
        if claim.is_lost():
            claim.lease.renew()

    def _evaluate(self, stage: Evaluate, claim: Claim, progress: Progress) -> dict[str, Any]:
        token_cache, _ = self.token_cache_of(self._model_of(stage))
        task, go_on = stage.rows.entry, partial(self._go_on, stage, claim)
        evaluator = Evaluator(stage, task, self._predictor(stage), token_cache, go_on)
        scores: dict[str, dict[str, float]] = {}
        counts: dict[str, int] = {}
        items: dict[str, Items] = {}
        languages = [language for language, _ in stage.rows.rows]
        for i, (language, done) in enumerate(evaluator.evaluate(languages), start=1):
            if done.scores:
                scores[language] = done.scores
            if done.items is not None:
                items[language] = done.items
            counts[language] = done.examples.num_rows
            predictions = (done.predictions, done.examples)
            write_predictions(claim.folder, task, stage.split, language, *predictions)
            progress(i / len(languages))
        if items:
            write_outcomes(claim.folder, task.name, items)
        return {"scores": scores, "rows": counts, "evaluation_s": evaluator.seconds}

    def _stop_if_told(self, place: str) -> None:
        if self.must_stop():
            raise Preempted(f"{place}: stopped before its end; the same command goes on")

    def _checkpoint_files(self, name: str) -> list[Path]:
        """The checkpoints of a stage, whoever wrote them, the last holder's first."""
        return sorted((self.store.folder / name).glob(CHECKPOINTS), reverse=True)

    def _limit(self, stage: Train) -> Limit:
        """What memory held before, of this model at this length on this sort of device."""
        facts = self._model_of(stage)
        lengths = max(part.train.max_length for part in stage.parts)
        device = environment_of(self.device.type)["device_name"]
        kinds = sorted(part.train.entry.kind for part in stage.parts)
        resources = self.resources
        key = [
            facts.weights,
            lengths,
            kinds,
            device,
            stage.precision,
            resources.gpus_per_trial,
            resources.processes,
            resources.gradient_checkpointing,
            resources.compile,
        ]
        return Limit(self.storage / "limits" / f"{sha256_of(key)[:16]}.json")

    def _part_data(self, part: Part, token_cache: TokenCache) -> PartData:
        rows = [token_cache.encoded(part.train, language) for language, _ in part.train.rows]
        dev = None
        if part.dev is not None:
            dev = token_cache.encoded(part.dev, part.dev.rows[0][0])
        pivots = {}
        if part.pivots is not None:
            for language, _ in part.pivots.rows:
                pivots[language] = token_cache.encoded(part.pivots, language)
        return PartData(rows, dev, pivots)

    def _model_of(self, stage: Computable) -> ModelFacts:
        return self.inventory.models[root_of(stage).model]


@dataclass(frozen=True, slots=True)
class Limit:
    """The tokens that a training pass may hold, remembered once memory has ended."""

    path: Path

    def read(self) -> int | None:
        """The limit, None where memory has always sufficed."""
        known = read_json_if_whole(self.path, dict) or {}
        return int(known["max_tokens"]) if "max_tokens" in known else None

    def write(self, max_tokens: int) -> None:
        """Remember a limit."""
        write_json(self.path, {"max_tokens": max_tokens})


@cache
def environment_of(device: str) -> dict[str, str]:
    """What produced a stage: versions and the kind of device."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    packages = ("xstilts", "torch", "transformers", "datasets", "tokenizers", "numpy")
    return {
        "device": device,
        "device_name": name,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
