"""The same work by transformers' Trainer: dynamic padding, same optimiser, same dropout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from xstilts import kinds
from xstilts.bench.stopwatch import Stopwatch, now
from xstilts.bench.workloads import vocabulary_of
from xstilts.data.batches import columns_of
from xstilts.errors import ConfigError, Problem
from xstilts.kinds.kind import Batch, Encoded
from xstilts.plan.stage import Train
from xstilts.training.model import build_heads, settings


class Peer(nn.Module):
    """transformers' own encoder and the kind's head; a loss, as Trainer wants it."""

    def __init__(self, encoder: PreTrainedModel, stage: Train):
        super().__init__()
        task = stage.parts[0].train.entry
        heads = build_heads({task.name: task}, *settings(encoder), stage.seed, stage.phase)
        self.encoder = encoder
        self.head = heads[task.name]
        self.kind = kinds.get(task.kind)

    def forward(self, labels: dict[str, Tensor], **inputs: Tensor) -> dict[str, Tensor]:
        """The mean loss of a padded batch."""
        hidden = self.encoder(**inputs).last_hidden_state
        return {"loss": self.kind.loss(self.head, hidden, Batch(inputs, labels))}


class _Order(Dataset[int]):
    """The positions of the rows in the order of the stage's draws."""

    def __init__(self, order: Sequence[int]):
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> int:
        return self._order[place]


def train_with_trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, order: Sequence[int], device: str
) -> tuple[Peer, float]:
    """The trained peer and the seconds of its middle steps.

    Raises:
        ConfigError: accelerate, which Trainer needs, is not installed.
    """
    watch = Stopwatch(device, stage.num_steps)
    with _trainer(encoder, stage, rows, order, device) as trainer:
        trainer.add_callback(_timed_by(watch))
        trainer.train()
        return trainer.model, watch.seconds


def evaluate_with_trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, device: str
) -> float:
    """The seconds of one pass over the rows in their order; of the outputs only losses are kept.

    Raises:
        ConfigError: accelerate, which Trainer needs, is not installed.
    """
    with _trainer(encoder, stage, rows, range(rows.features.num_rows), device) as trainer:
        begun = now(device)
        trainer.evaluate()
        return now(device) - begun


def _timed_by(watch: Stopwatch) -> Any:
    from transformers import TrainerCallback

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
            watch.after(state.global_step)

    return Timed()


@contextmanager
def _trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, order: Sequence[int], device: str
) -> Iterator[Any]:
    """Trainer for rows in an order, and a folder for what it leaves."""
    if find_spec("accelerate") is None:
        rule = "needs the package accelerate: pip install 'xstilts[bench]'"
        raise ConfigError([Problem("--peer", rule)])
    from transformers import PrinterCallback, Trainer, TrainingArguments

    peer = Peer(encoder, stage)
    vocabulary = vocabulary_of(encoder.config)
    random = np.random.default_rng(0)

    def collate(places: list[int]) -> dict[str, Any]:
        batch = peer.kind.collate(columns_of(rows.features.take(places)), vocabulary, random)
        return {**batch.inputs, "labels": batch.targets}

    recipe = stage.recipe
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=recipe.batch_size,
            prediction_loss_only=True,
            num_train_epochs=1,
            learning_rate=recipe.learning_rate,
            warmup_steps=0,
            weight_decay=recipe.weight_decay,
            adam_epsilon=recipe.adam_epsilon,
            max_grad_norm=recipe.clip_norm,
            lr_scheduler_type="linear",
            train_sampling_strategy="sequential",  # in the stage's own draws
            optim="adamw_torch_fused",
            bf16=stage.precision == "bf16",
            use_cpu=device == "cpu",
            seed=0,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_num_workers=0,
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # one device, as ours has
        data = _Order(order)
        trainer = Trainer(
            model=peer, args=arguments, data_collator=collate, train_dataset=data, eval_dataset=data
        )
        trainer.remove_callback(PrinterCallback)
        yield trainer
