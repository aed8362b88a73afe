"""The work of `xstilts bench` by transformers' Trainer, in turn with it: how many times as fast.

Dynamic padding, the same optimiser, the same dropout. Ratios are medians of the turns' ratios,
`ratio_spread` their least and most; `ratio_tuned` is against Trainer with the matmul that its
switch selects. Needs accelerate, as the extra `test` has it.

    python -m tests.benchmarks.trainer xlmr-base --work mnli udpos squad [--precision bf16]
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from xstilts import kinds
from xstilts.bench.__main__ import main
from xstilts.bench.measure import Case
from xstilts.bench.stopwatch import Stopwatch, now
from xstilts.bench.workloads import vocabulary_of
from xstilts.data.batches import columns_of, example_order
from xstilts.kinds.kind import Batch, Encoded
from xstilts.plan.stage import Train
from xstilts.training.heads import build_heads
from xstilts.training.model import settings


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


class BesideTrainer(Case):
    """Times Trainer after ours in every turn, as it comes and with the other matmul."""

    def train(self) -> dict[str, Any]:
        """See `Case`."""
        order = example_order(self.stage.parts[0], self.stage.seed, self.stage.phase).tolist()

        def peer() -> float:
            copied = copy.deepcopy(self.encoder)
            return train_with_trainer(copied, self.stage, self.rows, order, self.device)[1]

        return super().train() | _both_matmuls(peer)

    def evaluate(self) -> dict[str, float]:
        """See `Case`."""
        ours, copied = super().evaluate(), copy.deepcopy(self.encoder)
        return ours | _both_matmuls(
            lambda: evaluate_with_trainer(copied, self.stage, self.rows, self.device)
        )

    def figures_beside(self, turns: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
        """See `Case`."""
        ratios = sorted(turn["peer"] / turn["ours"] for turn in turns)
        seconds = median(turn["peer"] for turn in turns)
        return {
            "peer_version": f"transformers {transformers.__version__}",
            "peer_examples_per_s": count / seconds,
            "ratio": median(ratios),
            "ratio_spread": [ratios[0], ratios[-1]],
            "ratio_tuned": median(turn["tuned"] / turn["ours"] for turn in turns),
        }


def _both_matmuls(seconds: Callable[[], float]) -> dict[str, float]:
    """The peer's seconds as it comes, and with the matmul that the switch selects."""
    was = torch.get_float32_matmul_precision()
    found = {}
    for name, precision in (("peer", "highest"), ("tuned", "medium")):
        torch.set_float32_matmul_precision(precision)
        found[name] = seconds()
        torch.set_float32_matmul_precision(was)
    return found


def train_with_trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, order: Sequence[int], device: str
) -> tuple[Peer, float]:
    """The trained peer and the seconds of its middle steps."""
    watch = Stopwatch(device, stage.num_steps)
    with _trainer(encoder, stage, rows, order, device) as trainer:
        trainer.add_callback(_Timed(watch))
        trainer.train()
        return trainer.model, watch.seconds


def evaluate_with_trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, device: str
) -> float:
    """The seconds of one pass over the rows in their order; of the outputs only losses are kept."""
    with _trainer(encoder, stage, rows, range(rows.features.num_rows), device) as trainer:
        begun = now(device)
        trainer.evaluate()
        return now(device) - begun


class _Timed(TrainerCallback):  # type: ignore[misc]
    def __init__(self, watch: Stopwatch):
        self._watch = watch

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._watch.after(state.global_step)


@contextmanager
def _trainer(
    encoder: PreTrainedModel, stage: Train, rows: Encoded, order: Sequence[int], device: str
) -> Iterator[Any]:
    """Trainer for rows in an order, and a folder for what it leaves."""
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


if __name__ == "__main__":
    main(BesideTrainer)
