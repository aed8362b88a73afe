"""Low-rank adapters: what they train, as peft does; what a stage keeps, how it is merged."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from xstilts.config.adapt import Adapt, Lora
from xstilts.errors import Preempted, StageError
from xstilts.kinds.kind import Batch
from xstilts.plan.stage import Train
from xstilts.training import loop
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.feed import Feed
from xstilts.training.loop import train
from xstilts.training.lora import ADAPTERS_FILE, adapters_of, add_adapters, merge_adapters
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, build_model, load_encoder, save
from xstilts.training.optimizer import build_optimizer, learning_rate
from xstilts.training.outcome import Options
from xstilts.training.packed import self_attention
from xstilts.training.processes import Job, run_together
from xstilts.training.token_embeddings import EmbeddingRows

from .test_families import make, padded, states_of
from .test_kills import digest, launch, wait_until

Toy = Any  # of conftest.py, which tests cannot import

CPU = torch.device("cpu")
LORA = Lora(rank=4, alpha=8.0, modules=("query", "value"))
THIN = Adapt(lora=LORA)

FAMILIES = (
    *("albert", "bert", "deberta", "deberta-v2", "distilbert", "eurobert", "gte", "mbart"),
    *("modernbert", "mpnet", "mt5", "xlm", "xlm-roberta-xl"),
)


def stage_of(toy: Toy, *tasks: str, adapt: Adapt = THIN, **changes: Any) -> Train:
    stage: Train = toy.stage(*tasks, adapt=adapt, **changes)
    return stage


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def changed(model: Model, before: dict[str, Tensor]) -> set[str]:
    """The names of weights that are not what they were, those of the encoder without its prefix."""
    return {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}


@pytest.fixture
def tasks(toy: Toy) -> tuple[str, ...]:
    for name, kind in (("first", "pair"), ("second", "tagging"), ("third", "mlm")):
        toy.task(name, kind)
    return "first", "second", "third"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapters_and_heads_alone_are_trained(
    toy: Toy, tasks: Any, device: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a mixture with masked-language modelling; with the attention of a CPU and that of a GPU.
    No gradient of a frozen weight is ever computed, and the optimiser has no moments of one."""
    if device == "gpu":
        monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
    optimizers: list[torch.optim.Optimizer] = []

    def build(*arguments: Any) -> torch.optim.AdamW:
        optimizers.append(build_optimizer(*arguments))
        return optimizers[-1]  # type: ignore[return-value]

    monkeypatch.setattr(loop, "build_optimizer", build)
    stage = stage_of(toy, *tasks, precision=precision, examples=64)
    model = build_model(stage, toy.folder, CPU)
    before = state(model)
    train(model, stage, toy.data(stage), toy.vocabulary)
    own = {name for name in before if ".lora_" in name}
    assert len(own) == 2 * 2 * 2  # A and B of two modules in two layers
    table = {"encoder.embeddings.word_embeddings.weight"}
    table |= {name for name in before if name.startswith("heads.third.") and "decoder.w" in name}
    heads = {name for name in before if name.startswith("heads.")} - table
    assert changed(model, before) == own | heads
    trained = [p for group in optimizers[0].param_groups for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in model.parameters() if p.requires_grad}
    assert all(p.grad is None for p in model.encoder.parameters())


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("frozen", ["table", "rows"])
def test_no_gradient_of_frozen_weights_is_computed(
    toy: Toy, tasks: Any, device: str, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "gpu":
        monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
    stage = stage_of(toy, "first")
    model = build_model(stage, toy.folder, CPU).train()
    if frozen == "rows":
        assert EmbeddingRows.of(model, toy.data(stage), toy.vocabulary) is not None
    inputs = {"input_ids": torch.tensor([[0, 10, 30, 2]]), "attention_mask": torch.ones(1, 4)}
    inputs["attention_mask"] = inputs["attention_mask"].long()
    hidden = model.hidden(one_micro_batch(model.encoder, inputs))
    torch.autograd.backward(model.heads["first"](hidden).sum())
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {
        name for name in state(model) if ".lora_" in name or name.startswith("heads.")
    }


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("modules", [("query", "value"), ("query", "key", "value", "dense")])
def test_it_trains_as_peft_does(
    toy: Toy, tasks: Any, padded: bool, modules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps from the same A and B on the same batches, packed against padded: the losses and
    the weights of peft's adapters in transformers' own model."""
    if padded:
        for module in ("model", "micro_batches"):
            monkeypatch.setattr(f"xstilts.training.{module}.can_pack", lambda encoder: False)
    lora = replace(LORA, modules=modules)
    stage = stage_of(toy, "first", adapt=Adapt(lora=lora), examples=320, checks=20, dev_rows=0)
    stage = replace(stage, recipe=replace(stage.recipe, learning_rate=1e-3, keep="last"))
    model = build_model(stage, toy.folder, CPU)
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    other = build_model(
        replace(stage, recipe=replace(stage.recipe, adapt=Adapt())), toy.folder, CPU
    )
    plain, head = load_encoder(toy.folder), other.heads["first"]
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(modules))
    wrapped: Any = get_peft_model(plain, config)
    for module in (*wrapped.modules(), *head.modules()):
        if hasattr(module, "p"):
            module.p = 0.0
    theirs = dict(wrapped.base_model.model.named_modules())
    for name, layer in adapters_of(model.encoder).items():
        theirs[name].lora_A["default"].weight.data.copy_(layer.lora_A)
        theirs[name].lora_B["default"].weight.data.copy_(layer.lora_B)
    names = {n for n, _ in wrapped.base_model.model.named_modules() if hasattr(theirs[n], "lora_A")}
    assert names == adapters_of(model.encoder).keys()

    (part,), (rows,) = stage.parts, toy.data(stage)
    feed = Feed(part, rows, stage, toy.vocabulary)
    both: Any = nn.ModuleList([wrapped, head])
    optimizer = build_optimizer(both, stage.recipe)
    losses = []
    for step in range(20):
        batch: Batch = feed.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage.recipe, step, 20)
        hidden = wrapped(**batch.inputs).last_hidden_state
        loss = feed.kind.loss(head, hidden, batch)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(both.parameters(), stage.recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))

    outcome = train(model, stage, [rows], toy.vocabulary)
    assert outcome.steps == 20
    assert np.allclose([point["loss"] for point in outcome.curve], losses, atol=1e-5)
    assert losses[-1] < losses[0]
    for name, layer in adapters_of(model.encoder).items():
        for own, found in (
            (layer.lora_A, theirs[name].lora_A["default"].weight),
            (layer.lora_B, theirs[name].lora_B["default"].weight),
        ):
            assert torch.allclose(own, found, atol=2e-5), name
            assert found.abs().max() > 1e-3


def logits(model: Model, task: str) -> Tensor:
    """Scores of some rows, in evaluation; of a tagger those of the first word."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (4, 9), generator=random)
    mask = (torch.arange(9) < torch.tensor([9, 4, 7, 2])[:, None]).long()
    inputs = {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}
    with torch.inference_mode():
        hidden = model.eval().hidden(one_micro_batch(model.encoder, inputs))
        if task == "second":
            hidden = hidden[:, :1]
        found: Tensor = model.heads[task](hidden)
    return found


def test_what_is_kept_is_what_was_trained(toy: Toy, tasks: Any, tmp_path: Path) -> None:
    """A stage's files are its adapters and its head; merged into what it went on from they give
    what it gave, and a stage may go on from there with adapters or without."""
    stage = stage_of(toy, "first", phase="intermediate")
    model = build_model(stage, toy.folder, CPU)
    train(model, stage, toy.data(stage), toy.vocabulary)
    save(model, tmp_path / "one")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert files == [f"one/encoder/{ADAPTERS_FILE}", "one/heads.safetensors"]
    kept = safetensors.torch.load_file(tmp_path / "one" / "encoder" / ADAPTERS_FILE)
    assert {name: tensor.shape for name, tensor in kept.items()} == {
        f"encoder.layer.{layer}.attention.self.{module}.lora_{one}": shape
        for layer in (0, 1)
        for module in ("query", "value")
        for one, shape in (("A", (4, 32)), ("B", (32, 4)))
    }

    own = (tmp_path / "one" / "encoder",)
    merged = load_encoder(toy.folder, adapters=own)
    before = load_encoder(toy.folder).state_dict()
    names = [name for name, tensor in merged.state_dict().items() if not tensor.equal(before[name])]
    adapted = {name.removesuffix(".lora_A") for name in kept if name.endswith("A")}
    assert {name.removesuffix(".weight") for name in names} == adapted
    name = names[0].removesuffix(".weight")
    low_rank = kept[f"{name}.lora_B"].double() @ kept[f"{name}.lora_A"].double()
    exact = before[f"{name}.weight"].double() + 2.0 * low_rank
    assert merged.state_dict()[f"{name}.weight"].equal(exact.float())
    expected, heads = logits(model, "first"), {"first": model.heads["first"]}
    assert torch.allclose(logits(Model(merged, heads), "first"), expected, atol=1e-5)
    without = Model(load_encoder(toy.folder), heads)
    assert not torch.allclose(logits(without, "first"), expected, atol=1e-2)

    for number, adapt in enumerate((Adapt(), Adapt(lora=replace(LORA, modules=("dense",))))):
        after = replace(stage_of(toy, "second", adapt=adapt), parent=stage)
        begun = build_model(after, toy.folder, CPU, own)
        plain = {n: x for n, x in begun.encoder.state_dict().items() if ".lora_" not in n}
        assert same(plain, load_encoder(toy.folder, adapters=own).state_dict())
        train(begun, after, toy.data(after), toy.vocabulary)
        save(begun, tmp_path / str(number))
        folder = tmp_path / str(number) / "encoder"
        whole = (
            load_encoder(toy.folder, adapters=(*own, folder))
            if adapt.lora
            else load_encoder(folder)
        )
        found = logits(Model(whole, {"second": begun.heads["second"]}), "second")
        assert torch.allclose(found, logits(begun, "second"), atol=1e-5)


def test_adapters_of_another_encoder_are_told(toy: Toy, tasks: Any, tmp_path: Path) -> None:
    stage = stage_of(toy, "first")
    save(build_model(stage, toy.folder, CPU), tmp_path)
    encoder = load_encoder(toy.folder)
    encoder.encoder.layer = encoder.encoder.layer[:1]
    with pytest.raises(StageError, match=r"its adapter of encoder.layer.1.* of another encoder"):
        merge_adapters(encoder, tmp_path / "encoder")
    absent = stage_of(toy, "first", adapt=Adapt(lora=Lora(modules=("query", "values"))))
    with pytest.raises(StageError, match="no linear layer named values"):
        build_model(absent, toy.folder, CPU)


@pytest.mark.parametrize("kind", ["pair", "tagging", "mlm", "dual_encoder"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_micro_batches_change_nothing(toy: Toy, kind: str, precision: str) -> None:
    """Nor does recomputing activations, where an embedding without gradient goes into a layer that
    has some."""
    toy.task("own", kind)
    stage = stage_of(toy, "own", precision=precision, examples=64, learning_rate=1e-3)

    def trained(**options: Any) -> dict[str, Tensor]:
        model = build_model(stage, toy.folder, CPU)
        train(model, stage, toy.data(stage), toy.vocabulary, options=Options(**options))
        return {name: x for name, x in model.state_dict().items() if ".lora_" in name}

    whole, divided = trained(), trained(max_tokens=40)
    recomputed = trained(gradient_checkpointing=True)
    assert all(whole[name].equal(recomputed[name]) for name in whole)
    # bfloat16 rounds a gradient that is added up from others in other places, and of a gradient
    # near zero AdamW's first steps see the sign alone.
    close = {"atol": 1e-4} if precision == "fp32" else {"atol": 8e-3}
    assert all(torch.allclose(whole[name], divided[name], **close) for name in whole)
    assert all(x.abs().max() > 1e-4 for x in whole.values())


@pytest.mark.parametrize("keep", ["best", "last", "average"])
def test_a_checkpoint_holds_what_is_trained(
    toy: Toy, tasks: Any, keep: str, tmp_path: Path
) -> None:
    """And the stage goes on from it to the same bits, whatever check is kept."""
    stage = stage_of(toy, *tasks, keep=keep, examples=64)

    def trained(checkpoints: Checkpoints | None = None) -> dict[str, Tensor]:
        model = build_model(stage, toy.folder, CPU)
        train(model, stage, toy.data(stage), toy.vocabulary, checkpoints=checkpoints)
        return model.state_dict()

    whole = trained()
    path, asked = tmp_path / "checkpoint", iter([False] * 8)
    with pytest.raises(Preempted):
        trained(Checkpoints(path, "stage", 1e9, lambda: next(asked, True)))
    tensors, _ = Checkpoints(path, "stage", 1e9).read() or ({}, {})
    model = build_model(stage, toy.folder, CPU)
    frozen = {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad
    }
    held = {name.partition(".")[2] for name in tensors if name.startswith(("model.", "best."))}
    assert held == model.state_dict().keys() - frozen
    moments = sum(name.startswith("optimizer.") for name in tensors)
    assert moments == 3 * sum(parameter.requires_grad for parameter in model.parameters())
    assert same(trained(Checkpoints(path, "stage", 1e9)), whole)


@pytest.mark.parametrize("name", FAMILIES)
def test_merged_weights_give_what_adapters_give_in_every_family(name: str, tmp_path: Path) -> None:
    """Whatever computes attention: where products are joined no adapter is passed over."""
    folder = make(tmp_path / "model", name)
    encoder = load_encoder(folder)
    add_adapters(encoder, Lora(rank=2), 0, "target")
    for layer in adapters_of(encoder).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    save(Model(encoder, {"own": nn.Linear(2, 2)}), tmp_path / "stage")
    inputs = padded((20, 5, 12))
    merged = load_encoder(folder, adapters=[tmp_path / "stage" / "encoder"])
    expected, found = (states_of(one, inputs) for one in (encoder, merged))
    plain = states_of(load_encoder(folder), inputs)
    is_text = inputs["attention_mask"].bool()
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one[is_text], other[is_text], atol=2e-5)
    assert not torch.allclose(plain[-1][is_text], expected[-1][is_text], atol=1e-2)


def test_a_killed_stage_ends_with_the_same_bytes(toy: Toy, tmp_path: Path) -> None:
    """kill -9 in the middle; its files are two, of a few kilobytes."""
    stage = stage_of(toy, "mnli", "mlm", examples=400, batch_size=4, checks=3, dev_rows=0)
    job = Job(stage, toy.folder, toy.data(stage), toy.vocabulary, "cpu", 1, Options())
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    folders = [tmp_path / name for name in ("quiet", "killed")]
    for folder in folders:
        folder.mkdir()
    process = launch(folders[0], 1)
    process.communicate()
    process = launch(folders[1], 1)
    wait_until(process, 0.4)
    process.kill()
    process.communicate()
    held = folders[1] / "checkpoint"
    found = Checkpoints(held, "stage", 1e9).read()
    assert found is not None and not (folders[1] / "out").exists()
    assert held.stat().st_size < (toy.folder / "model.safetensors").stat().st_size
    process = launch(folders[1], 1)
    first = next(line for line in process.stdout or () if float(line) > 0)
    process.communicate()
    assert process.returncode == 0 and digest(folders[0]) == digest(folders[1])
    steps = sum(part.num_steps for part in stage.parts)
    assert float(first) * steps > found[1]["step"], "it went on, it did not begin anew"


def test_two_processes_do_what_one_does(toy: Toy, tmp_path: Path) -> None:
    """Of a dual encoder, whose gradients are cached; the last batch has one row, so one process
    gets none."""
    stage = stage_of(toy, "lareqa", examples=37, batch_size=12, learning_rate=1e-3, dev_rows=0)
    job = Job(stage, toy.folder, toy.data(stage), toy.vocabulary, "cpu", 1, Options())
    job.run(tmp_path / "one", lambda share: None, None)
    run_together(job, 2, tmp_path / "two", lambda share: None, None)
    one, two = (
        safetensors.torch.load_file(tmp_path / name / "encoder" / ADAPTERS_FILE)
        for name in ("one", "two")
    )
    difference = sum(float((one[name] - two[name]).norm() ** 2) for name in one) ** 0.5
    assert difference <= 1e-4 * sum(float(one[name].norm() ** 2) for name in one) ** 0.5
    assert not same(one, two), "sums in another order"
