"""Families without padding, in turns with Trainer and with XLM-R: tokens a second, and the padding.

Every turn trains the same rows with each family as xstilts does and by transformers' Trainer with
dynamic padding and the same matmul, and with XLM-R's shape of `xstilts bench`. Ratios are medians
of the turns, with their least and most; seconds are those of the CPU, one thread, which a busy
machine lengthens less. To Trainer: how many times as fast, beside the positions that it computes by
the tokens that there are. To XLM-R, as it is and without its dropout, which the others do not have:
operations of matrix products in the same time. States of a batch and their gradient are compared
with transformers' on padded rows: the largest difference, and the norm of it by the norm. Needs
accelerate.

    python -m tests.benchmarks.families [--family modernbert-mini eurobert-mini] [--rounds 3]
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
import torch
from torch import nn

from tests.benchmarks.trainer import train_with_trainer
from xstilts.bench import stopwatch
from xstilts.bench.measure import Case, count_work, model_of
from xstilts.bench.stopwatch import AFTER, BEFORE
from xstilts.bench.workloads import WORKLOADS, encoder_of, rows_of, stage_of, vocabulary_of
from xstilts.data.batches import example_order
from xstilts.training.feed import Feed, PartData
from xstilts.training.matmul import choose_matmul
from xstilts.training.micro_batches import MicroBatcher, one_micro_batch
from xstilts.training.model import Model
from xstilts.training.outcome import Options
from xstilts.training.packed.distances import table_rows

BATCH_SIZE = 32
BESIDE, PLAIN = "xlmr-mini", "xlmr-mini without dropout"


def case_of(family: str, work: str, steps: int) -> Case:
    """A stage over a work's rows with an encoder of a shape."""
    examples = BATCH_SIZE * (BEFORE + steps + AFTER)
    encoder = encoder_of(BESIDE if family == PLAIN else family)
    if family == PLAIN:
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    rows = rows_of(WORKLOADS[work], examples, encoder.config.vocab_size, 0)
    stage = stage_of(WORKLOADS[work], examples, BATCH_SIZE, 0, "fp32")
    return Case(encoder, stage, rows, "cpu", model_of(encoder, stage, "cpu"), Options())


def trainer_seconds(case: Case) -> float:
    """Of Trainer's middle steps with the matmul that ours takes."""
    order = example_order(case.stage.parts[0], case.stage.seed, case.stage.phase).tolist()
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    encoder = copy.deepcopy(case.encoder)
    seconds = train_with_trainer(encoder, case.stage, case.rows, order, case.device)[1]
    torch.set_float32_matmul_precision(was)
    return seconds


def padding(case: Case) -> float:
    """Positions of batches that are padded to their longest, by their tokens."""
    data = PartData([case.rows], None)
    feed = Feed(case.stage.parts[0], data, case.stage, vocabulary_of(case.encoder.config))
    numbers = range(BEFORE, case.stage.num_steps - AFTER)
    masks = [feed.batch(number).inputs["attention_mask"] for number in numbers]
    return sum(mask.numel() for mask in masks) / sum(int(mask.sum()) for mask in masks)


def differences(case: Case) -> tuple[float, float]:
    """From transformers' own: of states the largest, of gradients the norm by theirs."""
    data = PartData([case.rows], None)
    feed = Feed(case.stage.parts[0], data, case.stage, vocabulary_of(case.encoder.config))
    inputs = feed.batch(0).inputs
    theirs, real = copy.deepcopy(case.encoder).eval(), inputs["attention_mask"].bool()
    ours = Model(copy.deepcopy(theirs), {}).eval()
    found = []
    for encoder, states in (
        (theirs, theirs(**inputs).last_hidden_state[real]),
        (ours.encoder, ours.hidden(one_micro_batch(ours.encoder, inputs))[real]),
    ):
        (states * torch.arange(len(states))[:, None].cos()).mean().backward()
        grads = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
        found.append((states.detach(), torch.cat(grads)))
    (expected, of_expected), (got, of_got) = found
    return float((got - expected).abs().max()), float(
        (of_got - of_expected).norm() / of_expected.norm()
    )


def operations_of(case: Case) -> float:
    """Operations of all matrix products that the timed steps need, forward and backward: with
    weights, and of attention for every pair of tokens of which one is read: two where places are
    rotated or added, four where DeBERTa compares contents with places both ways, whose table's rows
    are projected for each pass. Of local layers the pairs within reach."""
    config, micro_batcher = case.encoder.config, MicroBatcher.of(case.encoder, torch.device("cpu"))
    data = PartData([case.rows], None)
    feed = Feed(case.stage.parts[0], data, case.stage, vocabulary_of(config))
    has_places = config.model_type == "deberta-v2"
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    products = 0.0
    for number in range(BEFORE, case.stage.num_steps - AFTER):
        for work in micro_batcher.divide(feed.batch(number)):
            assert work.layout is not None
            lengths = work.layout.lengths.astype(float)
            for layer, kind in enumerate(kinds):
                is_last = layer == len(kinds) - 1
                seen = lengths
                if kind == "sliding_attention":
                    seen = np.minimum(lengths, config.local_attention + 1)
                reads = work.layout.num_read if is_last else lengths
                products += (4 if has_places else 2) * float(reads @ seen) * config.hidden_size
                if has_places:
                    rows = len(set(table_rows(config, int(lengths.max())).tolist()))
                    products += 2 * rows * config.hidden_size**2
    return count_work(case.encoder, case.stage, case.rows).operations + 6 * products


def told(ratios: Sequence[float]) -> str:
    """Median, least and most."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    """Print a row for every family and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", nargs="+", default=["modernbert-mini", "eurobert-mini"])
    parser.add_argument("--work", nargs="+", default=sorted(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    choose_matmul("cpu")
    stopwatch.now = lambda device: time.process_time()
    names = ("states", "gradients", "times Trainer", "its padding", "XLM-R", "without dropout")
    print(f"| family | rows like | {' | '.join(names)} | load |")
    print(f"|---|---|{'---|' * len(names)}---|")
    for work in options.work:
        cases = {
            name: case_of(name, work, options.steps) for name in (BESIDE, PLAIN, *options.family)
        }
        operations = {name: operations_of(one) for name, one in cases.items()}
        ours: dict[str, list[float]] = {name: [] for name in cases}
        trainer: dict[str, list[float]] = {name: [] for name in options.family}
        for turn in range(options.rounds + 1):
            for name, case in cases.items():
                ours[name].append(case.train()["ours"])
                if name in trainer:
                    trainer[name].append(trainer_seconds(case))
            if not turn:  # it warms up
                for seconds in (*ours.values(), *trainer.values()):
                    seconds.clear()
        for name in options.family:
            pairs = zip(trainer[name], ours[name], strict=True)
            times = [theirs / own for theirs, own in pairs]
            row = [name, work, *(f"{one:.0e}" for one in differences(cases[name]))]
            row += [told(times), f"{padding(cases[name]):.2f}"]
            for other in (BESIDE, PLAIN):
                share = operations[name] / operations[other]
                both = zip(ours[other], ours[name], strict=True)
                row.append(told([share * theirs / own for theirs, own in both]))
            print(f"| {' | '.join(row)} | {os.getloadavg()[0]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
