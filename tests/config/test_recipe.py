"""Recipes: bounds of every value, and what overrides what."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from xstilts.config.derive import recipe_of
from xstilts.config.load import parse_sweep
from xstilts.config.recipe import (
    FIELDS,
    FLAG_FIELDS,
    INTEGER_FIELDS,
    SEARCHABLE,
    WORDS,
    Override,
    Recipe,
    StageRecipe,
    check_value,
)
from xstilts.config.recipes import RECIPES
from xstilts.tasks import known_tasks

STAGE = StageRecipe(learning_rate=1e-3, batch_size=32, epochs=2, max_length=96)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_lower_bound(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} cannot be -1"):
        replace(STAGE, **{field: -1})


@pytest.mark.parametrize("number", [0.0, float("inf"), float("nan")])
def test_learning_rate_is_above_0_and_finite(number: float) -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        replace(STAGE, learning_rate=number)


def test_whole_numbers_are_known() -> None:
    steps = {"warmup_steps", "check_every", "patience", "negatives"}
    assert {"batch_size", "max_length", "checks", "dev_examples", *steps} == INTEGER_FIELDS
    assert set(SEARCHABLE) <= {field.name for field in fields(StageRecipe)}


def test_trial_wins_over_task_and_task_over_phase() -> None:
    recipe = Recipe(
        "r", "ours", "none", STAGE, replace(STAGE, epochs=5), {"t": {"batch_size": 8, "epochs": 9}}
    )
    assert recipe.for_task("intermediate", "x", {}) == STAGE
    assert recipe.for_task("target", "x", {}).epochs == 5
    task = recipe.for_task("target", "t", {"epochs": 1})
    assert (task.epochs, task.batch_size, task.max_length) == (1, 8, 96)


def test_every_field_has_one_sort_of_value() -> None:
    sorts = (INTEGER_FIELDS, FLAG_FIELDS, set(WORDS), {f for f in FIELDS if f.endswith("_rate")})
    assert sum(map(len, sorts)) == len(set().union(*sorts))
    for field in FIELDS:
        check_value(field, getattr(STAGE, field))
        for wrong in ("yes", None, [1], 0.5 if field in INTEGER_FIELDS else {}):
            with pytest.raises(ValueError, match=f"^{field} is "):
                check_value(field, wrong)
        if field not in FLAG_FIELDS:
            with pytest.raises(ValueError, match=f"^{field} is "):
                check_value(field, True)


def recipe_with(**said: Any) -> Recipe:
    head = {
        "name": "s",
        "benchmark": "custom",
        "models": {"m": {"path": "builtin:mini"}},
        "intermediates": {"qqp": {"tasks": ["qqp"]}, "squad": {"tasks": ["squad_v1"]}},
        "targets": ["panx", "xquad"],
    }
    return recipe_of(parse_sweep({**head, "recipe": {"name": "standard", **said}}, "here"))


def test_the_file_wins_over_the_recipe_and_the_trial_over_both() -> None:
    """The recipe: epochs 3 of intermediates, 2 of targets; 10 of panx, 3 of qqp."""
    said = recipe_with(epochs=4, target={"epochs": 5}, targets={"panx": {"epochs": 6}})
    wanted = {("intermediate", "qqp"): 4, ("intermediate", ""): 4, ("intermediate", "panx"): 4}
    wanted |= {("target", "xquad"): 5, ("target", "panx"): 6, ("target", "qqp"): 5}
    for (phase, task), epochs in wanted.items():
        assert said.for_task(phase, task, {}).epochs == epochs, (phase, task)
        assert said.for_task(phase, task, {"epochs": 9}).epochs == 9
    assert said.for_task("target", "xquad", {}).batch_size == 16, "what is not said stays"
    of_task = recipe_with(intermediate={"epochs": 5}, tasks={"qqp": {"epochs": 7}})
    assert of_task.for_task("intermediate", "qqp", {}).epochs == 7
    assert of_task.for_task("intermediate", "squad_v1", {}).epochs == 5
    assert of_task.for_task("target", "panx", {}).epochs == 10


def test_recipes_say_where_they_come_from() -> None:
    assert all(name == recipe.name and recipe.evidence for name, recipe in RECIPES.items())
    assert all(recipe.about and len(recipe.about) <= 60 for recipe in RECIPES.values())


@pytest.mark.parametrize(
    ("recipe", "phase", "task", "expected"),
    [
        # Phang et al. 2020, tables as far as known.
        ("phang2020", "intermediate", "mnli", (1e-5, 24, 2, 256)),
        ("phang2020", "intermediate", "hellaswag", (1e-5, 24, 7, 256)),
        ("phang2020", "intermediate", "squad_v2", (1e-5, 8, 3, 384)),
        ("phang2020", "intermediate", "ccg", (1e-5, 24, 15, 256)),
        ("phang2020", "intermediate", "commonsenseqa", (1e-5, 4, 10, 256)),
        ("phang2020", "target", "xnli", (3e-6, 4, 2, 256)),
        ("phang2020", "target", "udpos", (3e-6, 32, 10, 256)),
        ("phang2020", "target", "xquad", (3e-6, 16, 2, 384)),
        ("standard", "intermediate", "mnli", (1e-5, 24, 2, 256)),
        ("standard", "target", "panx", (1e-5, 32, 10, 256)),
        ("jiant", "target", "xnli", (1e-5, 32, 2, 256)),
        ("jiant", "target", "tydiqa", (1e-5, 16, 2, 384)),
        ("xtreme2020", "target", "xnli", (2e-5, 32, 5, 128)),
        ("xtreme2020", "target", "xquad", (3e-5, 16, 2, 384)),
        ("xtreme_head", "target", "xnli", (3e-5, 32, 5, 128)),
        ("xtreme_head", "target", "xquad", (3e-5, 32, 3, 384)),
        ("xtreme_r", "target", "lareqa", (2e-5, 16, 3, 256)),
        ("xtreme_r", "target", "mewslix", (1e-5, 32, 2, 64)),
        ("xtreme_r", "target", "xnli", (3e-5, 32, 5, 128)),
        ("xtreme_r", "target", "copa", (3e-5, 32, 5, 128)),
        ("xtreme_head", "target", "panx", (2e-5, 32, 10, 128)),
        # nlu-evals, by script.
        ("nlu_evals", "intermediate", "mnli", (2e-5, 32, 3, 128)),
        ("nlu_evals", "intermediate", "siqa", (2e-5, 32, 5, 128)),
        ("nlu_evals", "intermediate", "squad_v1", (3e-5, 32, 3, 384)),
        ("nlu_evals", "intermediate", "squad_v2", (3e-5, 32, 3, 384)),
        ("nlu_evals", "target", "xnli", (2e-5, 32, 3, 128)),
        ("nlu_evals", "target", "pawsx", (2e-5, 32, 2, 128)),
        ("nlu_evals", "target", "udpos", (2e-5, 32, 10, 128)),
        ("nlu_evals", "target", "panx", (2e-5, 32, 10, 128)),
        ("nlu_evals", "target", "xquad", (3e-5, 32, 3, 384)),
        ("nlu_evals", "target", "tydiqa", (3e-5, 32, 3, 384)),
        ("nlu_evals", "target", "lareqa", (2e-5, 16, 3, 256)),
        ("nlu_evals", "target", "mewslix", (2e-5, 64, 2, 64)),
    ],
)
def test_published_values(
    recipe: str, phase: str, task: str, expected: tuple[float, int, float, int]
) -> None:
    stage = RECIPES[recipe].for_task(phase, task, {})
    got = (stage.learning_rate, stage.batch_size, stage.epochs, stage.max_length)
    assert got == expected


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_copies_of_one_data_set_train_alike(recipe: Recipe) -> None:
    by_rows: dict[frozenset[tuple[str, str]], list[str]] = {}
    for task in known_tasks():
        if not task.is_target:
            by_rows.setdefault(task.origins_of("train"), []).append(task.name)
    copies = [names for names in by_rows.values() if names[1:]]
    assert ["mnli", "mnli_genres"] in copies
    for names in copies:
        stages = {recipe.for_task("intermediate", name, {}) for name in names}
        assert len(stages) == 1, names


@pytest.mark.parametrize(
    ("recipe", "pooler", "span_dropout"),
    [
        ("phang2020", "carried", False),
        ("jiant", "carried", False),
        ("xtreme2020", "none", False),
        ("xtreme_head", "none", False),
        ("nlu_evals", "none", False),
        ("standard", "none", True),
        ("small", "none", True),
    ],
)
def test_heads_are_those_of_the_published_code(
    recipe: str, pooler: str, span_dropout: bool
) -> None:
    for phase in ("intermediate", "target"):
        for task in ("mnli", "squad_v1", "xquad", ""):
            stage = RECIPES[recipe].for_task(phase, task, {})
            assert (stage.pooler, stage.span_dropout) == (pooler, span_dropout)


def test_phang_checks_the_first_500_every_1000_steps_and_xtreme_the_whole_set() -> None:
    phang = RECIPES["phang2020"].for_task("target", "pawsx", {})
    assert (phang.check_every, phang.dev_examples, phang.patience) == (1000, 500, 30)
    assert phang.dev_sample == "first"
    head = RECIPES["xtreme_head"]
    assert head.for_task("target", "xnli", {}).check_every == 100
    assert head.for_task("target", "xnli", {}).dev_examples > 10**6
    qa = head.for_task("target", "xquad", {})
    assert (qa.keep, qa.warmup_steps, qa.weight_decay) == ("last", 500, 1e-4)


def test_nlu_evals_leaves_to_trainer_what_its_scripts_do_not_name() -> None:
    recipe = RECIPES["nlu_evals"]
    for task, warmup, decay in (
        ("xnli", 0.06, 0),
        ("mnli", 0.06, 0),
        ("qqp", 0.06, 0),
        ("pawsx", 0, 0),
        ("panx", 0, 0),
        ("xquad", 0, 1e-4),
        ("hellaswag", 0, 0),
    ):
        stage = recipe.for_task("target", task, {})
        assert (stage.warmup_ratio, stage.weight_decay, stage.keep) == (warmup, decay, "last")
        assert (stage.clip_norm, stage.adam_epsilon, stage.warmup_steps) == (1, 1e-8, 0)
    for link in ("siqa", "copa"):
        own = recipe.for_link("xcopa", link, {})
        assert (own.learning_rate, own.epochs, own.batch_size, own.max_length) == (2e-5, 5, 32, 128)


def test_our_own_recipe_checks_every_stage_ten_times() -> None:
    for phase in ("intermediate", "target"):
        stage = RECIPES["standard"].for_task(phase, "mnli", {})
        assert (stage.checks, stage.check_every, stage.dev_sample) == (10, 0, "stratified")


def test_a_link_has_the_targets_values_under_its_own() -> None:
    """A trial's parameters are of the whole chain, but for what the file says of the link."""
    recipe = Recipe(
        "r",
        "ours",
        "none",
        STAGE,
        STAGE,
        {"t": {"batch_size": 8, "epochs": 9}, "a": {"epochs": 7}},
        override=Override(
            {"target": {"max_length": 32}},
            {"target": {"t": {"weight_decay": 0.5}, "a": {"learning_rate": 2e-3}}},
        ),
    )
    assert recipe.for_link("t", "t", {"epochs": 1}) == recipe.for_task("target", "t", {"epochs": 1})
    link = recipe.for_link("t", "a", {"learning_rate": 1e-5, "warmup_ratio": 0.3})
    told = (link.batch_size, link.epochs, link.max_length, link.weight_decay, link.warmup_ratio)
    assert told == (8, 7, 32, 0.5, 0.3)
    assert link.learning_rate == 2e-3, "the link's own, whatever is searched"
    assert recipe.for_link("t", "b", {"learning_rate": 1e-5}).learning_rate == 1e-5
    assert (link.keep, STAGE.keep) == ("last", "best"), "no link is selected"


def test_a_link_keeps_what_the_file_says() -> None:
    override = Override({"target": {"keep": "average"}})
    recipe = replace(RECIPES["standard"], override=override)
    assert recipe.for_link("xcopa", "siqa", {}).keep == "average"


@pytest.mark.parametrize("link", ["siqa", "copa"])
def test_xcopa_is_trained_as_the_official_script_does(link: str) -> None:
    """train_xcopa.sh for XLM-R large: 5 epochs, 128 tokens, batches of 32, 3e-5, last weights."""
    own = RECIPES["xtreme_head"].for_link("xcopa", link, {})
    assert (own.epochs, own.max_length, own.batch_size, own.learning_rate) == (5, 128, 32, 3e-5)
    assert (own.warmup_ratio, own.warmup_steps, own.weight_decay, own.keep) == (0, 0, 0, "last")
    assert (own.clip_norm, own.adam_epsilon) == (1, 1e-8)
    ours = RECIPES["standard"].for_link("xcopa", link, {})
    assert (ours.epochs, ours.max_length, ours.learning_rate) == (5, 128, 2e-5)
