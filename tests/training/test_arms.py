"""Arms in training: each takes the steps of torch's own, or of a loop that is written out here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from transformers import (
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_wsd_schedule,
)

from xstilts import kinds
from xstilts.config.adapt import SCHEDULES, Adapt
from xstilts.errors import Preempted
from xstilts.kinds.kind import Batch
from xstilts.plan.stage import Train
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.dropout import Dropout
from xstilts.training.feed import Feed
from xstilts.training.layers import layer_numbers
from xstilts.training.loop import train
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, build_model, load_encoder
from xstilts.training.optimizer import build_optimizer, learning_rate
from xstilts.training.outcome import Options
from xstilts.training.token_embeddings import decay_after, tokens_of

Toy = Any  # of conftest.py, which tests cannot import

STEPS, RATE, DECAY = 20, 3e-3, 0.05
KINDS = {"toy_a": "pair", "toy_t": "tagging", "toy_m": "mlm"}
TABLE = "encoder.embeddings.word_embeddings.weight"


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def calm(model: Model) -> Model:
    """Without dropout, which a plain loop would draw otherwise."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    return model


def stage_of(toy: Toy, adapt: Adapt, *tasks: str, **values: Any) -> Train:
    """Twenty steps, over the tasks in turns, with checks after 5, 10, 15 and 20."""
    tasks = tasks or ("toy_a",)
    said = {"weight_decay": DECAY, "dev_rows": 0, "clip_norm": 0.5, **values}
    return toy.stage(
        *tasks, examples=16 * STEPS // len(tasks), learning_rate=RATE, adapt=adapt, **said
    )


@contextmanager
def watched() -> Iterator[list[tuple[str, Batch]]]:
    """The batches that the loop trains, in their order."""
    batches: list[tuple[str, Batch]] = []
    original = Feed.batch

    def record(feed: Feed, number: int) -> Batch:
        batch = original(feed, number)
        batches.append((feed.task.name, batch))
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "batch", record)
        yield batches


def trained(toy: Toy, stage: Train) -> tuple[Model, list[tuple[str, Batch]]]:
    """What the loop makes of a stage, and the batches that it saw."""
    model = calm(toy.model(stage))
    with watched() as batches:
        train(model, stage, toy.data(stage), toy.vocabulary)
    return model, batches


Groups = Callable[[Model], list[dict[str, Any]]]
Penalty = Callable[[Model], Tensor]


def plainly(
    toy: Toy,
    stage: Train,
    batches: list[tuple[str, Batch]],
    groups: Groups,
    penalty: Penalty | None = None,
    after: Callable[[int, Model], None] | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
) -> Model:
    """The stage by a loop with nothing of ours but the encoder's pass and the kind's loss: torch's
    optimiser over `groups`, whose `lr` is the peak of each, and the schedule of transformers."""
    model = calm(toy.model(stage)).train()
    optimizer = torch.optim.AdamW(groups(model), eps=stage.recipe.adam_epsilon, fused=True)
    made = scheduler or (lambda own: get_linear_schedule_with_warmup(own, 2, len(batches)))
    steps = made(optimizer)
    for step, (task, batch) in enumerate(batches):
        if step < 2:  # the first step of transformers' warm-up has a rate of 0, ours has not
            for group, peak in zip(optimizer.param_groups, steps.base_lrs, strict=True):
                group["lr"] = peak * (step + 1) / 2
        hidden = model.hidden(one_micro_batch(model.encoder, batch.inputs))
        kind = kinds.get(KINDS[task])
        loss = kind.loss(model.heads[task], hidden, batch)
        if penalty is not None:
            loss = loss + penalty(model)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), stage.recipe.clip_norm)
        optimizer.step()
        steps.step()
        if after is not None:
            after(step + 1, model)
    return model


def as_usual(model: Model) -> list[dict[str, Any]]:
    own = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in own if p.dim() > 1], "lr": RATE, "weight_decay": DECAY},
        {"params": [p for p in own if p.dim() < 2], "lr": RATE, "weight_decay": 0.0},
    ]


def assert_alike(toy: Toy, stage: Train, found: Model, expected: Model) -> None:
    """All weights to float tolerance; of the table the rows that the stage reads."""
    features = [rows.features for part in toy.data(stage) for rows in part.train]
    read = tokens_of(features, [1])
    after, wanted = weights(found), weights(expected)
    for name, tensor in wanted.items():
        if name.endswith("key.bias"):
            continue  # its gradient is nothing but rounding errors, which differ
        one, two = (x[read] if name == TABLE else x for x in (after[name], tensor))
        torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n} {m}")


@pytest.fixture
def tasks(toy: Toy) -> Toy:
    for name, kind in KINDS.items():
        toy.task(name, kind)
    return toy


def test_the_plain_loop_is_that_of_full(tasks: Toy) -> None:
    """Without an arm both are alike: what differs below is the arm's."""
    stage = stage_of(tasks, Adapt())
    model, batches = trained(tasks, stage)
    assert len(batches) == STEPS
    assert_alike(tasks, stage, model, plainly(tasks, stage, batches, as_usual))


def scheduled(name: str) -> Callable[[Any, int, int], Any]:
    """A schedule of transformers; the last three tenths of the steps decay."""
    if name == "linear":
        return get_linear_schedule_with_warmup
    if name == "cosine":
        return get_cosine_schedule_with_warmup
    return lambda optimizer, warmup, steps: get_wsd_schedule(
        optimizer,
        warmup,
        round(0.3 * steps),
        num_training_steps=steps,
        decay_type="linear",
        min_lr_ratio=0.0,
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 10])
def test_schedules_are_those_of_transformers(toy: Toy, name: Any, warmup: int) -> None:
    """Behind the warm-up, whose first step has a rate here."""
    toy.task("toy_a")
    adapt = Adapt(schedule=name, decay_share=0.3)
    recipe = stage_of(toy, adapt, warmup_ratio=warmup / 100).recipe
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = scheduled(name)(optimizer, warmup, 100)
    for step in range(100):
        if step >= warmup:
            expected = optimizer.param_groups[0]["lr"]
            assert learning_rate(recipe, step, 100) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_of_a_schedule_are_those_of_a_plain_loop(tasks: Toy, name: Any) -> None:
    stage = stage_of(tasks, Adapt(schedule=name, decay_share=0.3))
    model, batches = trained(tasks, stage)
    expected = plainly(
        tasks, stage, batches, as_usual, scheduler=lambda own: scheduled(name)(own, 2, STEPS)
    )
    assert_alike(tasks, stage, model, expected)


def by_layer(model: Model) -> list[dict[str, Any]]:
    """Rates of the tiny model's two layers, 0.5 apart, and decay on matrices alone."""
    shares = {"encoder.embeddings.": 0.125, "encoder.encoder.layer.0.": 0.25}
    shares |= {"encoder.encoder.layer.1.": 0.5, "heads.": 1.0}
    groups = []
    for name, parameter in model.named_parameters():
        (share,) = (own for start, own in shares.items() if name.startswith(start))
        decay = DECAY if parameter.dim() > 1 else 0.0
        groups.append({"params": [parameter], "lr": RATE * share, "weight_decay": decay})
    return groups


@pytest.mark.parametrize("names", [("toy_a",), ("toy_a", "toy_t")])
def test_layer_decay_is_a_rate_for_each_layer(tasks: Toy, names: tuple[str, ...]) -> None:
    stage = stage_of(tasks, Adapt(layer_decay=0.5), *names)
    model, batches = trained(tasks, stage)
    assert_alike(tasks, stage, model, plainly(tasks, stage, batches, by_layer))
    # Tokens that no row has decay at the rate of the table.
    read = tokens_of((rows.features for part in tasks.data(stage) for rows in part.train), [1])
    others = torch.ones(len(weights(model)[TABLE]), dtype=torch.bool)
    others[read] = False
    before = load_encoder(tasks.folder).get_input_embeddings().weight.detach()
    decay = decay_after(stage.recipe, STEPS, STEPS, 0.125)
    assert decay < 1
    torch.testing.assert_close(weights(model)[TABLE][others], before[others] * decay)


@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("names", [("toy_a",), ("toy_a", "toy_t"), ("toy_a", "toy_m")])
def test_what_is_frozen_stays_and_the_rest_takes_the_steps_of_a_plain_loop(
    tasks: Toy, frozen: int, names: tuple[str, ...]
) -> None:
    stage = stage_of(tasks, Adapt(frozen=frozen), *names)
    before = weights(tasks.model(stage))
    model, batches = trained(tasks, stage)
    below = ["encoder.embeddings.", *(f"encoder.encoder.layer.{i}." for i in range(frozen))]
    stays = [name for name in before if name.startswith(tuple(below))]
    after = weights(model)
    assert stays and all(after[name].equal(before[name]) for name in stays)
    moved = [name for name in before if name not in stays and name.endswith("weight")]
    if "toy_m" in names:  # whose head's matrix is the table
        moved = [name for name in moved if not before[name].equal(before[TABLE])]
    assert moved and not any(after[name].equal(before[name]) for name in moved)

    def groups(plain: Model) -> list[dict[str, Any]]:
        for name, parameter in plain.named_parameters():
            if name.startswith(tuple(below)):
                parameter.requires_grad_(False)
        return as_usual(plain)

    assert_alike(tasks, stage, model, plainly(tasks, stage, batches, groups))


def test_no_pass_goes_below_what_is_trained_and_no_moment_is_kept_there(tasks: Toy) -> None:
    stage = stage_of(tasks, Adapt(frozen=1))
    model = tasks.model(stage)
    states: list[bool] = []
    for layer in model.encoder.encoder.layer:
        layer.register_forward_hook(
            lambda module, given, found: (
                states.append((found[0] if isinstance(found, tuple) else found).requires_grad)
                if module.training
                else None
            )
        )
    optimizers = []

    def noted(own: Model, recipe: Any) -> Any:
        optimizers.append(build_optimizer(own, recipe))
        return optimizers[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xstilts.training.loop.build_optimizer", noted)
        train(model, stage, tasks.data(stage), tasks.vocabulary)
    assert states == [False, True] * STEPS
    held = {id(p) for p in optimizers[0].state}
    numbers = layer_numbers(model.encoder)
    own = {id(p): numbers[name] for name, p in model.encoder.named_parameters()}
    assert {own[one] for one in held if one in own} == {2}
    assert held > {id(p) for p in model.heads.parameters()}


def test_frozen_layers_in_bf16_have_copies_without_gradients(tasks: Toy) -> None:
    stage = stage_of(tasks, Adapt(frozen=1), precision="bf16")
    before = weights(tasks.model(stage))
    model, _ = trained(tasks, stage)
    after = weights(model)
    first, second = (f"encoder.encoder.layer.{i}.output.dense.weight" for i in (0, 1))
    assert after[first].equal(before[first]) and not after[second].equal(before[second])
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(".layer.1." in name)
    working = BF16Weights(model.encoder, is_used=True)
    layers = [layer.output.dense.working[0].requires_grad for layer in model.encoder.encoder.layer]
    assert layers == [False, True]
    working.remove()


@pytest.mark.parametrize("names", [("toy_a",), ("toy_a", "toy_t"), ("toy_a", "toy_m")])
def test_l2_sp_is_a_penalty_on_the_distance_to_the_pretrained_weights(
    tasks: Toy, names: tuple[str, ...]
) -> None:
    """In a stage that goes on from another's encoder too: it is not its own start that draws it."""
    stage = stage_of(tasks, Adapt(l2_sp=0.5), *names)
    pretrained = dict(tasks.model(stage).encoder.state_dict())
    features = [rows.features for part in tasks.data(stage) for rows in part.train]
    read = torch.as_tensor(tokens_of(features, [1]))
    if "toy_m" in names:
        read = torch.arange(len(pretrained["embeddings.word_embeddings.weight"]))

    def elsewhere(own: Model) -> Model:
        """As after an intermediate stage."""
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in own.encoder.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=random)
        return own

    def penalty(plain: Model) -> Tensor:
        total = torch.zeros(())
        for name, own in plain.encoder.named_parameters():
            distance = own - pretrained[name]
            total = total + (distance[read] if "word_embeddings" in name else distance).pow(2).sum()
        return 0.25 * total

    def groups(plain: Model) -> list[dict[str, Any]]:
        encoder, heads = plain.encoder.parameters(), list(plain.heads.parameters())
        own = {id(p) for p in plain.encoder.parameters()}
        heads = [p for p in heads if id(p) not in own]
        return [
            {"params": list(encoder), "lr": RATE, "weight_decay": 0.0},
            {"params": [p for p in heads if p.dim() > 1], "lr": RATE, "weight_decay": DECAY},
            {"params": [p for p in heads if p.dim() < 2], "lr": RATE, "weight_decay": 0.0},
        ]

    moved = replace(tasks)
    object.__setattr__(moved, "model", lambda own: elsewhere(tasks.model(own)))
    model, batches = trained(moved, stage)
    expected = plainly(moved, stage, batches, groups, penalty)
    assert_alike(tasks, stage, model, expected)
    start = moved.model(stage).encoder.state_dict()
    name = "encoder.layer.1.output.dense.weight"
    ends = [own[name] - pretrained[name] for own in (start, model.encoder.state_dict())]
    assert ends[1].norm() < ends[0].norm()
    if "toy_m" not in names:  # token vectors that no row has stay
        others = torch.ones(len(start["embeddings.word_embeddings.weight"]), dtype=torch.bool)
        others[read] = False
        table = "embeddings.word_embeddings.weight"
        assert model.encoder.state_dict()[table][others].equal(start[table][others])


@pytest.mark.parametrize("names", [("toy_a",), ("toy_a", "toy_t")])
def test_label_smoothing_takes_the_steps_of_torchs(tasks: Toy, names: tuple[str, ...]) -> None:
    stage = stage_of(tasks, Adapt(label_smoothing=0.2), *names)
    model, batches = trained(tasks, stage)
    assert {batch.smoothing for _, batch in batches} == {0.2}
    plain = functional.cross_entropy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "xstilts.kinds.smoothing.functional.cross_entropy",
            lambda *given, **named: plain(*given, **named, label_smoothing=0.2),
        )
        bare = [(task, replace(batch, smoothing=0.0)) for task, batch in batches]
        expected = plainly(tasks, stage, bare, as_usual)
    assert_alike(tasks, stage, model, expected)
    other, _ = trained(tasks, stage_of(tasks, Adapt(), *names))
    with pytest.raises(AssertionError):
        assert_alike(tasks, stage, other, expected)


def test_labels_are_smoothed_however_a_batch_is_divided(tasks: Toy) -> None:
    stage = stage_of(tasks, Adapt(label_smoothing=0.2), "toy_a", "toy_t")
    whole, _ = trained(tasks, stage)
    divided = calm(tasks.model(stage))
    options = Options(max_tokens=30)
    train(divided, stage, tasks.data(stage), tasks.vocabulary, options=options)
    assert_alike(tasks, stage, divided, whole)


@pytest.mark.parametrize("last", [1, 3])
def test_the_average_of_the_last_checks_is_that_of_torch(tasks: Toy, last: int) -> None:
    stage = stage_of(tasks, Adapt(average=last), keep="average")
    mean: list[AveragedModel] = []

    def after(step: int, plain: Model) -> None:
        if step in (5, 10, 15, 20)[-last:]:
            if not mean:
                mean.append(AveragedModel(plain))
            mean[0].update_parameters(plain)

    model, batches = trained(tasks, stage)
    plainly(tasks, stage, batches, as_usual, after=after)
    assert int(mean[0].n_averaged) == last
    assert_alike(tasks, stage, model, mean[0].module)


ARMS = {
    "frozen": Adapt(frozen=1),
    "layer_decay": Adapt(layer_decay=0.8),
    "l2_sp": Adapt(l2_sp=0.1),
    "schedule": Adapt(schedule="cosine"),
    "smoothing": Adapt(label_smoothing=0.1),
    "average": Adapt(average=2),
    "all": Adapt(
        frozen=0,
        layer_decay=0.9,
        l2_sp=0.1,
        schedule="constant_then_decay",
        label_smoothing=0.1,
        average=3,
    ),
}


@pytest.mark.parametrize("name", ARMS)
def test_a_stopped_stage_goes_on_to_the_same_bits(tasks: Toy, name: str, tmp_path: Path) -> None:
    kept = {"keep": "average"} if ARMS[name].average else {}
    stage = stage_of(tasks, ARMS[name], "toy_a", "toy_t", dev_rows=20, **kept)
    expected, _ = tasks.train(stage)
    for stop in (7, 9, 0):
        asked = iter(range(1, 99))
        checkpoints = Checkpoints(
            tmp_path / "checkpoint",
            "stage",
            1e9,
            lambda stop=stop, asked=asked: next(asked) == stop,
        )
        model = tasks.model(stage)
        if stop:
            with pytest.raises(Preempted):
                train(model, stage, tasks.data(stage), tasks.vocabulary, checkpoints=checkpoints)
        else:
            train(model, stage, tasks.data(stage), tasks.vocabulary, checkpoints=checkpoints)
    one, other = weights(model), weights(expected)
    assert all(one[key].equal(other[key]) for key in other)


def test_dropout_is_the_phases_and_not_what_is_saved(tasks: Toy) -> None:
    stage = stage_of(tasks, Adapt(dropout=0.3))
    model = build_model(stage, tasks.folder, torch.device("cpu"))
    rates = {module.p for module in model.modules() if isinstance(module, Dropout)}
    assert rates == {0.3}
    usual = build_model(stage_of(tasks, Adapt()), tasks.folder, torch.device("cpu"))
    assert model.encoder.config.to_dict() == usual.encoder.config.to_dict()
    assert model.encoder.config.hidden_dropout_prob == 0.1
    mixed = stage_of(tasks, Adapt(dropout=0.3), "toy_a", "toy_m")
    model = build_model(mixed, tasks.folder, torch.device("cpu"))
    assert {module.p for module in model.modules() if isinstance(module, Dropout)} == {0.3}
    assert model.encoder.config.hidden_dropout_prob == 0.1
