"""The training loop: it learns, repeats bit for bit, keeps the best check, fails loudly."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from xstilts import kinds
from xstilts.config.recipes import RECIPES
from xstilts.data.batches import example_order
from xstilts.errors import StageError
from xstilts.kinds.kind import Batch, Encoded
from xstilts.tasks import lookup
from xstilts.training import dev_checks, loop
from xstilts.training.dev_checks import DevChecks, dev_sample
from xstilts.training.dropout import Dropout
from xstilts.training.feed import Feed, PartData
from xstilts.training.loop import train
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model
from xstilts.training.optimizer import build_optimizer, check_steps, learning_rate
from xstilts.training.predict import Predictor
from xstilts.training.token_embeddings import tokens_of

Toy = Any  # of conftest.py, which tests cannot import

TABLE = "encoder.embeddings.word_embeddings.weight"


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Batch]]:
    """The batches that the loop trains, in their order."""
    batches: list[tuple[str, Batch]] = []
    original = Feed.batch

    def record(feed: Feed, number: int) -> Batch:
        batch = original(feed, number)
        batches.append((feed.task.name, batch))
        return batch

    monkeypatch.setattr(Feed, "batch", record)
    return batches


def test_a_separable_task_is_learnt(toy: Toy) -> None:
    toy.task("toy_a")
    shares: list[float] = []
    stage = toy.stage("toy_a", examples=800)
    model = toy.model(stage)
    outcome = train(model, stage, toy.data(stage), toy.vocabulary, shares.append)
    losses = [point["loss"] for point in outcome.curve]
    assert len(losses) == 4 and losses[-1] < 0.3 * losses[0]
    assert outcome.dev["toy_a"]["accuracy"] > 95
    assert outcome.dev_rows == {"toy_a": 60}
    assert 30 < outcome.floor["toy_a"] < 60 and outcome.collapsed == []
    assert outcome.steps == 50 and outcome.examples == {"toy_a": {"en": 800}}
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_run_repeats_bit_for_bit(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a")
    first, one = toy.train(stage)
    torch.manual_seed(99)  # what happened before in the process does not matter
    second, other = toy.train(stage)
    assert same(weights(first), weights(second))
    times = dict.fromkeys(("model_s", "wait_s", "total_s"), 0.0)
    assert asdict(replace(one, **times)) == asdict(replace(other, **times))
    third, _ = toy.train(replace(stage, seed=1))
    assert not same(weights(first), weights(third))


def test_another_learning_rate_sees_the_same_draws(toy: Toy, seen: list[tuple[str, Batch]]) -> None:
    toy.task("toy_a")
    toy.task("toy_m", "mlm")
    runs = []
    for rate in (1e-4, 1e-2):
        seen.clear()
        stage = toy.stage("toy_a", "toy_m", examples=64, learning_rate=rate)
        model = toy.model(stage)
        before = weights(model)
        toy.train(stage, model)
        runs.append((before, list(seen), weights(model)))
    (before, batches, after), (before_too, batches_too, after_too) = runs
    assert same(before, before_too)
    assert len(batches) == len(batches_too) == 8
    for (task, batch), (task_too, batch_too) in zip(batches, batches_too, strict=True):
        assert task == task_too
        assert same(batch.inputs, batch_too.inputs) and same(batch.targets, batch_too.targets)
    assert not same(after, after_too)


def test_a_mixture_trains_each_task_with_exactly_its_examples(
    toy: Toy, seen: list[tuple[str, Batch]]
) -> None:
    for name, kind in (("toy_a", "pair"), ("toy_t", "tagging"), ("toy_m", "mlm")):
        toy.task(name, kind)
    stage = toy.stage("toy_a", "toy_t", "toy_m", checks=1)
    parts = [
        replace(part, examples=examples)
        for part, examples in zip(stage.parts, (50, 33, 16), strict=True)
    ]
    stage = replace(stage, parts=tuple(parts))
    model = toy.model(stage)
    before = weights(model)
    _, outcome = toy.train(stage, model)
    drawn: dict[str, list[int]] = {}
    for name, batch in seen:
        drawn.setdefault(name, []).append(len(batch.inputs["input_ids"]))
    assert drawn == {"toy_a": [16, 16, 16, 2], "toy_t": [16, 16, 1], "toy_m": [16]}
    drawn = {"toy_a": 50, "toy_t": 33, "toy_m": 16}
    assert outcome.examples == {task: {"en": count} for task, count in drawn.items()}
    assert outcome.tokens == sum(int(batch.inputs["attention_mask"].sum()) for _, batch in seen)
    assert set(outcome.dev) == {"toy_a", "toy_t"}
    after = weights(model)
    for name in ("toy_a", "toy_t", "toy_m"):
        own = [key for key in before if key.startswith(f"heads.{name}.") and "weight" in key]
        assert own and not all(before[key].equal(after[key]) for key in own)


def test_the_best_check_is_kept(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier one of equals; its weights come back, not only its number."""
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=320)
    script = iter([10.0, 50.0, 50.0, 20.0])
    states = []
    original = Predictor.predict

    def record(self: Predictor, *arguments: Any) -> Any:
        states.append(weights(self.models[0]))
        return original(self, *arguments)

    monkeypatch.setattr(Predictor, "predict", record)
    monkeypatch.setattr(dev_checks, "task_score", lambda metrics, values: next(script, 0.0))
    model, outcome = toy.train(stage)
    assert outcome.best_step == 10
    assert len(states) == 6, "four checks, and the full dev set by the last and the kept weights"
    assert not same(states[1], states[2])
    assert same(states[4], states[3]) and same(states[5], states[1])
    final, best = weights(model), states[1]
    # In a stage the table holds the rows that are read.
    features = [rows.features for part in toy.data(stage) for rows in (*part.train, part.dev)]
    read = final.pop(TABLE)[tokens_of(features, [1])]
    assert read.equal(best.pop(TABLE)) and same(final, best)


def test_a_late_divergence_does_not_cost_what_was_learnt(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=800, checks=10)
    rates = [3e-3] * 30 + [10.0] * 20

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "learning_rate", lambda recipe, step, num_steps: rates[step])
        _, outcome = toy.train(stage)
    scores = [point["dev/toy_a"] for point in outcome.curve]
    assert scores[-1] < 70 < 95 < max(scores)
    assert outcome.best_step <= 30
    assert outcome.dev["toy_a"]["accuracy"] > 90


@pytest.mark.parametrize("checks", [1, 4])
def test_without_dev_the_last_step_is_kept(toy: Toy, checks: int) -> None:
    """And the number of checks changes nothing."""
    toy.task("toy_a")
    model, outcome = toy.train(toy.stage("toy_a", dev_rows=0, checks=1))
    again, other = toy.train(toy.stage("toy_a", dev_rows=0, checks=checks))
    assert same(weights(model), weights(again))
    assert other.best_step == 16 and other.dev == {} and outcome.collapsed == []


def test_checks_leave_the_training_alone(toy: Toy) -> None:
    """Neither dropout nor the order feels that a dev set is scored between steps."""
    toy.task("toy_a")
    final = []
    for count in (1, 8):
        stage = toy.stage("toy_a", checks=count)
        _, outcome = toy.train(stage)
        means = [point["loss"] for point in outcome.curve]
        final.append(sum(means) / len(means))
    assert final[0] == pytest.approx(final[1], rel=1e-6)


def test_a_loss_that_is_not_finite_stops_the_stage(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a")
    model = toy.model(stage)
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight[11] = float("nan")
    with pytest.raises(StageError, match="toy: the loss is nan by step 4"):
        toy.train(stage, model)


def test_a_constant_predictor_is_flagged(toy: Toy) -> None:
    toy.task("toy_a")
    _, outcome = toy.train(toy.stage("toy_a", learning_rate=1e-12))
    assert (outcome.collapsed, outcome.undecided) == (["toy_a"], [])
    assert outcome.dev["toy_a"]["accuracy"] < outcome.floor["toy_a"] + 10


def test_what_a_stage_learnt_is_seen_at_its_end_not_at_its_best(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage whose last weights say one thing has collapsed, though an earlier check is kept."""
    toy.task("toy_a")
    sample = DevChecks.sample
    values = iter([20.0, 30.0, 90.0, 10.0])

    def fall(self: DevChecks, model: Model) -> Any:
        value = next(values)
        if value == 10:
            with torch.no_grad():
                model.heads["toy_a"].output.weight.zero_()
        sample(self, model)
        return value, {"toy_a": value}

    monkeypatch.setattr(DevChecks, "sample", fall)
    _, outcome = toy.train(toy.stage("toy_a", examples=800))
    assert outcome.best_step < outcome.steps
    assert outcome.collapsed == ["toy_a"]
    assert outcome.dev["toy_a"]["accuracy"] > 95


def test_each_task_of_a_mixture_is_judged_by_its_own_loss(toy: Toy) -> None:
    toy.task("toy_a")
    toy.task("toy_b")
    stage = toy.stage("toy_a", "toy_b", examples=800)
    _, outcome = toy.train(stage)
    keys = {"step", "loss", "loss/toy_a", "loss/toy_b", "dev/toy_a", "dev/toy_b"}
    assert set(outcome.curve[-1]) == keys and outcome.collapsed == []
    for point in outcome.curve:
        assert min(point["loss/toy_a"], point["loss/toy_b"]) <= point["loss"] + 1e-6


def rates_of(num_steps: int, **values: Any) -> list[float]:
    """The rates of a schedule whose peak is 1, and what would follow it."""
    recipe = replace(RECIPES["mini"].target, learning_rate=1.0, **values)
    return [learning_rate(recipe, step, num_steps) for step in range(num_steps + 1)]


def test_rates_rise_and_fall_linearly() -> None:
    expected = [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0]
    assert rates_of(10, warmup_ratio=0.2) == pytest.approx(expected)
    assert rates_of(10, warmup_steps=2) == pytest.approx(expected)
    assert rates_of(4, warmup_ratio=0.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert rates_of(1, warmup_ratio=0.0)[0] == 1.0


def test_steps_run_at_the_schedules_rates_with_clipped_gradients(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.task("toy_a")
    rates, norms = [], []

    def build(model: torch.nn.Module, recipe: Any) -> torch.optim.AdamW:
        optimizer = build_optimizer(model, recipe)

        def record(*_: Any) -> None:
            rates.append([group["lr"] for group in optimizer.param_groups])
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))

        optimizer.register_step_pre_hook(record)
        return optimizer

    monkeypatch.setattr(loop, "build_optimizer", build)
    toy.train(
        toy.stage("toy_a", examples=160, warmup_ratio=0.2, learning_rate=1e-3, clip_norm=0.05)
    )
    expected = [1e-3 * rate for rate in rates_of(10, warmup_steps=2)[:10]]
    assert rates == [pytest.approx([rate, rate]) for rate in expected]
    assert max(norms) == pytest.approx(0.05, rel=1e-3)
    rates.clear()
    toy.train(toy.stage("toy_a", examples=160, warmup_steps=5, learning_rate=1e-3))
    assert [rate for rate, _ in rates] == pytest.approx(
        [1e-3 * rate for rate in rates_of(10, warmup_steps=5)[:10]]
    )


def test_biases_and_norms_do_not_decay(toy: Toy) -> None:
    toy.task("toy_a")
    toy.task("toy_m", "mlm")
    stage = toy.stage("toy_a", "toy_m", weight_decay=0.3)
    model = toy.model(stage)
    optimizer = build_optimizer(model, stage.recipe)
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    named = dict(model.named_parameters())
    assert len(decays) == len(named) == sum(len(g["params"]) for g in optimizer.param_groups)
    for name, parameter in named.items():
        is_free = name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name
        assert decays[id(parameter)] == (0.0 if is_free else 0.3), name
    assert {group["eps"] for group in optimizer.param_groups} == {stage.recipe.adam_epsilon}


def test_checks_are_at_equal_distances_and_end_with_the_last_step() -> None:
    def steps(num_steps: int, **values: int) -> list[int]:
        return sorted(check_steps(num_steps, replace(RECIPES["mini"].target, **values)))

    assert steps(100, checks=4) == [25, 50, 75, 100]
    assert steps(7, checks=3) == [3, 5, 7]
    assert steps(3, checks=10) == [1, 2, 3]
    assert steps(100, check_every=30) == [30, 60, 90, 100]
    assert steps(60, check_every=30) == [30, 60]
    assert steps(20, check_every=30) == [20]


def test_patience_ends_a_stage_that_no_longer_gains(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.task("toy_a")
    values = iter([50.0, 60.0, 60.0, 55.0, 99.0])
    monkeypatch.setattr(DevChecks, "sample", lambda *_: (next(values), {}))
    _, outcome = toy.train(toy.stage("toy_a", examples=160, check_every=2, patience=2))
    assert (outcome.best_step, outcome.steps) == (4, 8)
    assert outcome.examples == {"toy_a": {"en": 8 * 16}}, "what was drawn, not what was planned"


def test_the_last_check_can_be_kept(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.task("toy_a")
    for keep, best in (("best", 4), ("last", 10)):
        values = iter([50.0, 60.0, 60.0, 55.0, 40.0])
        monkeypatch.setattr(DevChecks, "sample", lambda *_, values=values: (next(values), {}))
        _, outcome = toy.train(toy.stage("toy_a", examples=160, check_every=2, keep=keep))
        assert outcome.best_step == best


def test_a_dev_sample_has_the_shares_of_the_labels(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", dev_examples=20)
    examples = pa.table({"label": ["a"] * 30 + ["b"] * 24 + ["c"] * 6})
    chosen = [examples["label"][i].as_py() for i in dev_sample(stage, stage.parts[0], examples)]
    assert Counter(chosen) == {"a": 10, "b": 8, "c": 2}
    first = toy.stage("toy_a", dev_examples=20, dev_sample="first")
    assert dev_sample(first, first.parts[0], examples) == list(range(20))


@pytest.mark.parametrize("kind", ["first", "stratified"])
def test_a_sample_of_a_joined_dev_set_has_the_shares_of_what_is_joined(toy: Toy, kind: str) -> None:
    stage = toy.stage("anli_plus", dev_rows=3200, dev_examples=500, dev_sample=kind)
    examples = pa.table({"label": ["neutral", "entailment"] * 1600})
    sample = dev_sample(stage, stage.parts[0], examples)
    assert len(set(sample)) == 500 and sample == sorted(sample)
    rounds = Counter(min(i // 1000, 2) for i in sample)
    assert [rounds[i] / 500 for i in range(3)] == pytest.approx(
        [10 / 32, 10 / 32, 12 / 32], abs=0.05
    )
    everything = toy.stage("anli_plus", dev_rows=3200, dev_examples=10**6, dev_sample=kind)
    assert dev_sample(everything, everything.parts[0], examples) == list(range(3200))


def test_checks_score_a_fixed_sample_and_the_end_all(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.task("toy_a")
    sampled: list[Any] = []
    original = Predictor.predict

    def record(self: Predictor, encoded: Any, task: Any, rows: Any) -> Any:
        sampled.append(rows)
        return original(self, encoded, task, rows)

    monkeypatch.setattr(Predictor, "predict", record)
    for rate in (1e-3, 1e-4):
        toy.train(toy.stage("toy_a", examples=64, dev_examples=20, learning_rate=rate))
    sample = sampled[0]
    assert [rows for rows in sampled if rows is not None] == [sample] * 8
    # The last weights, and those that are kept where they are others.
    assert sampled[4] is None and 2 <= sampled.count(None) <= 4
    assert len(set(sample)) == 20 and sample == sorted(sample) and max(sample) < 60
    stage = toy.stage("toy_a", dev_examples=20)
    examples = pa.table({"label": ["a"] * 60})
    seeds = [dev_sample(replace(stage, seed=seed), stage.parts[0], examples) for seed in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]
    whole = toy.stage("toy_a", dev_examples=500)
    assert dev_sample(whole, whole.parts[0], examples) == list(range(60))


def test_every_draw_of_an_article_reads_another_window(toy: Toy) -> None:
    """Of two languages; a batch has as many sequences as examples, and passes read everything."""
    toy.task("toy_m", "mlm")
    owners = [[0, 0, 0, 1], [1, 0, 1, 1]]
    tokens = [[50 + i for i in range(4)], [70 + i for i in range(4)]]
    tables = [
        Encoded(
            pa.table({"example": own, "input_ids": [[0, token, 2] for token in ids]}),
            pa.table({"id": ["0", "1"]}),
        )
        for own, ids in zip(owners, tokens, strict=True)
    ]
    stage = toy.stage("toy_m", examples=12, batch_size=3)
    rows = replace(stage.parts[0].train, rows=(("en", 2), ("th", 2)))
    part = replace(stage.parts[0], train=rows, shares=(0.5, 0.5))
    feed = Feed(part, PartData(tables, None), stage, toy.vocabulary)
    batches = [feed.batch(number) for number in range(4)]
    # The one ordinary token of a sequence is always masked: the label says which it was.
    drawn = [token for batch in batches for token in batch.targets["label"][:, 1].tolist()]
    assert len(drawn) == 12
    # Six draws a language are three of each article.
    assert Counter(drawn) == {50: 1, 51: 1, 52: 1, 53: 3, 70: 1, 71: 3, 72: 1, 73: 1}
    again = Feed(part, PartData(tables, None), stage, toy.vocabulary).batch(2)
    assert again.targets["label"].equal(batches[2].targets["label"])


def test_all_windows_of_an_example_come_together(toy: Toy) -> None:
    """Over the tables of two languages, and whatever order the features stand in."""
    toy.task("toy_t", "tagging")

    def rows(owners: list[int], first: int) -> Encoded:
        count = len(owners)
        ids = [[0, first + i, 2] for i in range(count)]
        features = {
            "example": owners,
            "input_ids": ids,
            "positions": [[1]] * count,
            "labels": [[0]] * count,
        }
        return Encoded(pa.table(features), pa.table({"id": [str(i) for i in sorted({*owners})]}))

    stage = toy.stage("toy_t", examples=5, batch_size=5)
    train_rows = replace(stage.parts[0].train, rows=(("en", 3), ("th", 2)))
    part = replace(stage.parts[0], train=train_rows, shares=(0.6, 0.4))
    data = PartData([rows([0, 2, 0, 1, 2], 50), rows([1, 1, 0], 70)], None)
    feed = Feed(part, data, stage, toy.vocabulary)
    batch = feed.batch(0)
    order = example_order(part, stage.seed, stage.phase)
    windows = {0: [50, 52], 1: [53], 2: [51, 54], 3: [72], 4: [70, 71]}
    expected = [token for row in order for token in windows[row]]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert batch.inputs["input_ids"][:, 1].tolist() == expected
    assert feed.drawn(1) == {"en": 3, "th": 2}


def without_dropout(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    return model


def test_dropout_is_on_in_training_and_off_after(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=64)
    model, _ = toy.train(stage)
    assert not model.training
    calm, _ = toy.train(stage, without_dropout(toy.model(stage)))
    assert not same(weights(model), weights(calm))


def test_steps_are_those_of_a_plain_loop(toy: Toy, seen: list[tuple[str, Batch]]) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=64, dev_rows=0, checks=1, weight_decay=0.0, clip_norm=1e9)
    model, _ = toy.train(stage, without_dropout(toy.model(stage)))
    plain = without_dropout(toy.model(stage)).train()
    # The same implementation: where a gradient is nothing but rounding errors AdamW makes a whole
    # step of their sign.
    optimizer = torch.optim.AdamW(
        plain.parameters(), lr=stage.recipe.learning_rate, weight_decay=0, fused=True
    )
    for step, (_, batch) in enumerate(seen):
        optimizer.param_groups[0]["lr"] = 3e-3 * rates_of(4)[step]
        hidden = plain.hidden(one_micro_batch(plain.encoder, batch.inputs))
        loss = kinds.get("pair").loss(plain.heads["toy_a"], hidden, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after, expected = weights(model), weights(plain)
    # A key's bias moves all scores of a query alike: its gradient is nothing but rounding errors,
    # which differ by the CPU.
    compared = [name for name in expected if not name.endswith("key.bias")]
    assert len(compared) < len(expected)
    assert all(torch.allclose(after[name], expected[name], atol=1e-5) for name in compared)


def test_rows_of_a_batch_keep_input_and_label_together(
    toy: Toy, seen: list[tuple[str, Batch]]
) -> None:
    toy.task("toy_a")
    toy.train(toy.stage("toy_a", examples=128, checks=1))
    for _, batch in seen:
        markers = batch.inputs["input_ids"][:, 1].numpy()
        assert np.array_equal(markers - 10, batch.targets["label"].numpy())
    assert sum(len(batch.targets["label"]) for _, batch in seen) == 128


def test_attention_makes_no_plan_for_a_shape(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN would make one for every length of a batch, in training and in prediction."""
    enabled = torch.backends.cuda.cudnn_sdp_enabled
    toy.task("toy_a")
    stage = toy.stage("toy_a", examples=32)
    seen: list[bool] = []
    hidden = Model.hidden

    def watched(self: Model, *arguments: Any, **named: Any) -> torch.Tensor:
        seen.append(enabled())
        return hidden(self, *arguments, **named)

    monkeypatch.setattr(Model, "hidden", watched)
    data = toy.data(stage)
    assert enabled()
    model, _ = toy.train(stage)
    Predictor([model], toy.vocabulary).predict(data[0].dev, lookup("toy_a"))
    assert len(seen) > 2 and not any(seen) and enabled()
