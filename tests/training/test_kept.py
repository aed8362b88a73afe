"""What a stage keeps of its checks: the best, the last, the mean of those of its second half."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xstilts.errors import Preempted
from xstilts.records import Outcome
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.dev_checks import DevChecks
from xstilts.training.kept import Kept
from xstilts.training.loop import train
from xstilts.training.outcome import State
from xstilts.training.token_embeddings import decay_after, tokens_of

Toy = Any  # of conftest.py, which tests cannot import
TABLE = "encoder.embeddings.word_embeddings.weight"
STEPS = 20


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def told(outcome: Outcome) -> dict[str, Any]:
    times = dict.fromkeys(("model_s", "wait_s", "checkpoint_s", "total_s"), 0.0)
    return asdict(replace(outcome, **times))


def stage_of(toy: Toy, keep: str, **values: Any) -> Any:
    """Twenty steps with four checks, after 5, 10, 15 and 20."""
    return toy.stage("toy_a", examples=16 * STEPS, keep=keep, weight_decay=0.1, **values)


def test_average_is_the_mean_of_the_checks_of_the_second_half(toy: Toy) -> None:
    toy.task("toy_a")
    stage = stage_of(toy, "average")
    model, at = toy.model(stage), {}
    whole = model.encoder.get_input_embeddings().weight.detach().clone()

    def note(share: float) -> None:
        at[round(share * STEPS)] = weights(model)

    outcome = train(model, stage, toy.data(stage), toy.vocabulary, note)
    found = weights(model)
    table = found.pop(TABLE)
    for name, tensor in found.items():
        expected = (at[15][name] + at[20][name]) / 2
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-8)
        assert not tensor.equal(at[20][name]) or tensor.equal(at[15][name]), name
    # Tokens that no row has only decayed: the mean of what they were at both checks.
    features = [rows.features for part in toy.data(stage) for rows in (*part.train, part.dev)]
    read = tokens_of(features, [1])
    torch.testing.assert_close(table[read], (at[15][TABLE] + at[20][TABLE]) / 2)
    others = torch.ones(len(table), dtype=torch.bool)
    others[read] = False
    decay = sum(decay_after(stage.recipe, step, STEPS) for step in (15, 20)) / 2
    assert 0 < decay < 1
    torch.testing.assert_close(table[others], whole[others] * decay)
    assert outcome.best_step == outcome.steps == STEPS


def test_dev_scores_are_those_of_the_mean(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what collapsed is judged by the last weights, as ever."""
    toy.task("toy_a")
    scored, whole = [], DevChecks.whole

    def note(self: DevChecks, model: Any, losses: Any) -> Any:
        scored.append((weights(model), whole(self, model, losses)))
        scored[-1][1].dev = {"toy_a": {"accuracy": float(len(scored))}}
        return scored[-1][1]

    monkeypatch.setattr(DevChecks, "whole", note)
    model, outcome = toy.train(stage_of(toy, "average"))
    (last, _), (mean, _) = scored
    kept = weights(model)
    head = [name for name in kept if name.startswith("heads.")]
    assert head and all(kept[name].equal(mean[name]) for name in head)
    assert not all(kept[name].equal(last[name]) for name in head)
    assert outcome.dev == {"toy_a": {"accuracy": 2.0}}


@pytest.mark.parametrize("keep", ["last", "average"])
def test_who_looks_at_no_dev_score_is_not_stopped_early(toy: Toy, keep: str) -> None:
    toy.task("toy_a")
    values = {"learning_rate": 1e-12, "patience": 1}
    assert toy.train(stage_of(toy, "best", **values))[1].steps < STEPS
    assert toy.train(stage_of(toy, keep, **values))[1].steps == STEPS


@pytest.mark.parametrize("stops", [(3,), (15,), (16,), (10, 7)])
def test_a_stopped_average_goes_on_to_the_same_bits(
    toy: Toy, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    toy.task("toy_a")
    stage = stage_of(toy, "average")
    expected, undisturbed = toy.train(stage)
    for number, stop in enumerate((*stops, 0)):
        asked = iter(range(1, 99))
        checkpoints = Checkpoints(
            tmp_path / "checkpoint",
            "stage",
            1e9,
            lambda stop=stop, asked=asked: next(asked) == stop,
        )
        model = toy.model(stage)
        if number < len(stops):
            with pytest.raises(Preempted):
                train(model, stage, toy.data(stage), toy.vocabulary, checkpoints=checkpoints)
        else:
            found = train(model, stage, toy.data(stage), toy.vocabulary, checkpoints=checkpoints)
    assert told(found) == told(undisturbed)
    one, other = weights(model), weights(expected)
    assert all(one[name].equal(other[name]) for name in one)


def test_the_mean_lies_on_the_cpu_in_float32_however_many_checks(toy: Toy) -> None:
    toy.task("toy_a")
    stage = stage_of(toy, "average")
    kept, model = Kept(stage.recipe, 100, range(1, 101)), toy.model(stage)
    name = next(iter(dict(model.named_parameters())))
    state = State()
    for step in range(1, 101):
        state.step = step
        with torch.no_grad():
            model.get_parameter(name).fill_(step)
        kept.check(model, state, None)
    assert kept.weights is not None
    assert {tensor.device.type for tensor in kept.weights.values()} == {"cpu"}
    assert kept.weights[name].dtype == torch.float32
    torch.testing.assert_close(kept.weights[name], torch.full_like(kept.weights[name], 75.5))
