"""Compute-matched intermediates: the other's steps or tokens, and its recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.derive import reads
from xstilts.config.load import parse_sweep
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.matching import token_key
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Rows, Train
from xstilts.run import token_counts
from xstilts.run.token_counts import mean_tokens

FACTS = ModelFacts("/models/mini", "weights", "tokenizer", num_layers=12, num_bytes=1000)
NULL = {"tasks": ["mini_mlm"], "match": {"to": "nli", "with": "mlm"}, "mlm": {"languages": ["en"]}}
OWN = {"tasks": ["mini_xnli"], "match": {"to": "nli", "with": "target"}}


def sweep_with(**intermediates: Any) -> Sweep:
    return parse_sweep(
        {
            "name": "small",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "targets": ["mini_xnli", "mini_udpos"],
            "intermediates": {"nli": {"tasks": ["mini_nli"]}, **intermediates},
        },
        "sweep",
    )


def inventory_of(sweep: Sweep, **changes: Any) -> Inventory:
    found = reads(sweep)
    return Inventory(
        models={"mini": FACTS},
        folders={},
        data={s.hub_id: "sha" for task, use, _ in found for s in task.sources_of(use)},
        rows={row_key(task, use, language): 650 for task, use, language in found},
        **changes,
    )


def stages(sweep: Sweep, inventory: Inventory, **point: Any) -> dict[str, Train]:
    points: dict[str, Any] = {name: [{}] for name in sweep.targets}
    planner = Planner(sweep, inventory, points)
    found = {}
    for name in sweep.intermediates:
        plan = planner.plan({"model": "mini", "intermediate": name, **point}, 0)
        assert isinstance(plan.encoder, Train)
        found[name] = plan.encoder
    return found


@pytest.mark.parametrize("spec", [NULL, OWN])
def test_steps_and_recipe_are_those_of_the_other(spec: dict[str, Any]) -> None:
    sweep = sweep_with(null=spec)
    found = stages(sweep, inventory_of(sweep), **{"intermediate.learning_rate": 1e-3})
    nli, null = found["nli"], found["null"]
    assert null.num_steps == nli.num_steps and null.recipe.learning_rate == 1e-3
    own = {"max_length": null.recipe.max_length}
    assert null.recipe == replace(nli.recipe, **own)
    assert [part.batch_size for part in null.parts] == [nli.parts[0].batch_size]
    assert [part.train.task for part in null.parts] == spec["tasks"]
    assert null.label == "null"


def test_a_mixture_gives_its_steps() -> None:
    mix = {"tasks": ["mini_nli", "mini_qa", "mini_choice"], "rates": "uniform"}
    mix["budget"] = {"examples": 100}
    null = {**NULL, "match": {"to": "mix", "with": "mlm"}}
    sweep = sweep_with(mix=mix, null=null)
    found = stages(sweep, inventory_of(sweep))
    assert found["null"].num_steps == found["mix"].num_steps == 9  # three of 33 or 34 by 16
    assert found["null"].parts[0].batch_size == RECIPES["mini"].intermediate.batch_size


def test_tokens_are_those_of_the_other_whatever_the_steps() -> None:
    sweep = sweep_with(null={**NULL, "match": {**NULL["match"], "by": "tokens"}})
    inventory = inventory_of(sweep)
    planner = Planner(sweep, inventory, {})
    means = {"mini_nli": 20.0, "mini_mlm": 50.0}
    tokens = {
        token_key("mini", rows, language): means[rows.task]
        for rows in planner.rows_to_count("mini")
        for language, _ in rows.rows
    }
    found = stages(sweep, replace(inventory, tokens=tokens))
    nli, null = (found[name].parts[0] for name in ("nli", "null"))
    assert null.examples * 50 == pytest.approx(nli.examples * 20, abs=25)
    assert null.batch_size == nli.batch_size
    assert stages(sweep_with(null=NULL), inventory)["null"].parts[0].examples == nli.examples


def test_tokens_are_counted_on_a_sample_of_the_rows(shared_mini: Path) -> None:
    from xstilts import mini
    from xstilts.training.model import load_tokenizer

    sweep = sweep_with(null={**NULL, "match": {**NULL["match"], "by": "tokens"}})
    folders = {f"xstilts/{path.name}": str(path) for path in (shared_mini / "xstilts").iterdir()}
    facts = replace(FACTS, path=str(mini.encoder_path()))
    inventory = replace(inventory_of(sweep), folders=folders, models={"mini": facts})
    found = mean_tokens(sweep, inventory)
    assert len(found) == 2 and all(4 < mean < 64 for mean in found.values())
    nli = next(mean for key, mean in found.items() if "mini_nli" in key)
    from xstilts.data.sources import load_rows
    from xstilts.tasks import lookup

    paths = {name: Path(folder) for name, folder in folders.items()}
    rows = load_rows(paths, lookup("mini_nli"), "train", "en", 1000)
    ids = load_tokenizer(mini.encoder_path())(rows["premise"], rows["hypothesis"])["input_ids"]
    assert nli == pytest.approx(sum(map(len, ids)) / 1000)
    assert mean_tokens(sweep_with(null=NULL), inventory) == {}


def test_a_draw_of_mlm_counts_one_window(tmp_path: Path, write_dataset: Any) -> None:
    """Of an article of several windows and one of one."""
    from xstilts import mini
    from xstilts.training.model import load_tokenizer

    text = {"text": ["la " * 90, "la " * 10]}
    folder = write_dataset(tmp_path, "xstilts/mini_text", {"en": {"train": text}})
    rows = Rows("mini_mlm", "train", "a" * 64, (("en", 2),), 1, 2, (), 34)
    facts = replace(FACTS, path=str(mini.encoder_path()))
    inventory = Inventory({"mini": facts}, {"xstilts/mini_text": str(folder)}, {}, {})
    ids = load_tokenizer(mini.encoder_path())(text["text"], add_special_tokens=False)["input_ids"]
    windows = [-(-len(own) // 32) for own in ids]
    assert windows[0] > 1 == windows[1]
    wanted = sum(len(own) / count + 2 for own, count in zip(ids, windows, strict=True)) / 2
    found = token_counts._mean(inventory, "mini", rows, "en")
    assert found == pytest.approx(wanted)


def test_natural_text_has_tokens_of_its_own() -> None:
    rows = Rows("mnli", "train", "a" * 64, (("en", 2),), 1, 1, (), 34, translated=True)
    keys = {
        token_key("m", one, "en") for one in (rows, replace(rows, normaliser=("detokenise", 1)))
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({**NULL, "match": {"to": "nil", "with": "mlm"}}, 'did you mean "nli"'),
        ({**NULL, "match": {"to": "null", "with": "mlm"}}, "of its own"),
        ({**NULL, "budget": {"examples": 10}}, "leave budget out"),
        ({**NULL, "tasks": ["mini_qa"], "mlm": None}, "one MLM task"),
        ({**OWN, "tasks": ["mini_nli"]}, "one target of this sweep"),
        ({**OWN, "tasks": ["mini_xnli", "mini_udpos"]}, "one target of this sweep"),
    ],
)
def test_a_match_that_means_nothing_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        sweep_with(null=spec)
    assert said in str(refused.value) and "intermediates.null.match" in str(refused.value)
