"""Toys for the training loop: rows of token ids whose label is a token, and stages over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xstilts.config.recipe import StageRecipe
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.stage import Part, Pretrained, Rows, Train
from xstilts.records import Outcome
from xstilts.tasks import Source, Task, lookup
from xstilts.training.feed import PartData
from xstilts.training.heads import build_heads
from xstilts.training.loop import train
from xstilts.training.model import Model, load_encoder, load_encoder_with_lm_head, settings

LABELS = ("red", "green", "blue")
MARKERS = (10, 11, 12)
"""The token after `<s>` says the label."""


@dataclass(frozen=True)
class Toy:
    """Builds rows, stages and models of toy tasks on the tiny model."""

    folder: Path
    vocabulary: Vocabulary
    declare: Callable[[Task], Task]

    def task(self, name: str, kind: str = "pair") -> Task:
        """A declared task of that name."""
        return self.declare(
            Task(
                name=name,
                kind=kind,
                source=Source("toy/toy"),
                languages=("en",),
                splits={"train": "train", "dev": "dev"} if kind != "mlm" else {"train": "train"},
                metrics={"mlm": (), "dual_encoder": ("map_20",)}.get(kind, ("accuracy",)),
                labels=() if kind in ("mlm", "dual_encoder") else LABELS,
            )
        )

    def rows(self, kind: str, count: int, seed: int) -> Encoded:
        """Encoded rows: `<s> marker noise ... </s>`, of 3 to 9 tokens."""
        random = np.random.default_rng(seed)
        labels = random.integers(0, 3, count).tolist()
        ids = [
            [0, MARKERS[label], *random.integers(20, 200, random.integers(0, 7)).tolist(), 2]
            for label in labels
        ]
        if kind == "dual_encoder":
            return self.pairs(count, random)
        features: dict[str, Any] = {"example": list(range(count)), "input_ids": ids}
        examples: dict[str, Any] = {"id": [str(i) for i in range(count)]}
        if kind == "pair":
            features["label"] = labels
            examples["label"] = [LABELS[label] for label in labels]
        elif kind == "tagging":
            features |= {"positions": [[1]] * count, "labels": [[label] for label in labels]}
            examples["tags"] = [[LABELS[label]] for label in labels]
        return Encoded(pa.table(features), pa.table(examples))

    def pairs(self, count: int, random: np.random.Generator) -> Encoded:
        """Queries and candidates that share a token of twelve; what a candidate is, it says."""
        keys = random.integers(0, 12, count).tolist()

        def sequence(key: int) -> list[int]:
            noise = random.integers(40, 200, random.integers(0, 7)).tolist()
            return [0, 20 + key, *noise, 2]

        ids = [[sequence(key), sequence(key)] for key in keys]
        names = [[f"c{key}"] for key in keys]
        features = {"example": list(range(count)), "input_ids": ids, "key": keys}
        examples = {"id": [str(i) for i in range(count)], "keys": names, "gold": names}
        return Encoded(pa.table(features), pa.table(examples))

    def stage(
        self,
        *tasks: str,
        examples: int = 256,
        train_rows: int = 128,
        dev_rows: int = 60,
        batch_size: int = 16,
        seed: int = 0,
        phase: str = "target",
        precision: str = "fp32",
        **recipe: Any,
    ) -> Train:
        """A stage over declared tasks, all of one size."""
        values = {"learning_rate": 3e-3, "checks": 4, "dev_examples": 30, **recipe}
        common = StageRecipe(batch_size=batch_size, epochs=1, max_length=16, **values)

        def rows(task: str, use: str, count: int) -> Rows:
            return Rows(task, use, "a" * 64, (("en", count),), 1, 1, lookup(task).labels, 16)

        parts = tuple(
            Part(
                rows(name, "train", train_rows),
                rows(name, "dev", dev_rows) if dev_rows and "dev" in lookup(name).splits else None,
                examples,
                batch_size,
                (1.0,),
            )
            for name in tasks
        )
        parent = Pretrained("tiny", str(self.folder), "w" * 64, "t" * 64)
        return Train(parent, phase, "toy", parts, common, seed, precision)

    def data(self, stage: Train) -> list[PartData]:
        """The rows of a stage's parts."""
        data = []
        for part in stage.parts:
            kind = lookup(part.train.task).kind
            dev = self.rows(kind, part.dev.num_rows, seed=1) if part.dev else None
            data.append(PartData([self.rows(kind, part.train.num_rows, seed=0)], dev))
        return data

    def model(self, stage: Train) -> Model:
        """The tiny model with the stage's fresh heads."""
        tasks = {part.train.task: lookup(part.train.task) for part in stage.parts}
        lm_tasks = [name for name, task in tasks.items() if task.kind == "mlm"]
        others = {name: task for name, task in tasks.items() if task.kind != "mlm"}
        lm_heads: dict[str, Any] = {}
        if lm_tasks:
            encoder, head = load_encoder_with_lm_head(self.folder)
            lm_heads = dict.fromkeys(lm_tasks, head)
        else:
            encoder = load_encoder(self.folder)
        heads = build_heads(others, *settings(encoder), stage.seed, stage.phase)
        return Model(encoder, {**heads, **lm_heads})

    def train(self, stage: Train, model: Model | None = None) -> tuple[Model, Outcome]:
        """A model after the stage, and the stage's outcome."""
        model = model or self.model(stage)
        return model, train(model, stage, self.data(stage), self.vocabulary)


@pytest.fixture
def toy(tiny_model: Path, tiny_tokenizer: Any, declare: Callable[[Task], Task]) -> Toy:
    """Toys on the tiny model."""
    return Toy(tiny_model, Vocabulary.of(tiny_tokenizer), declare)
