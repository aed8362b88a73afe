"""The command about recipes: every value of every recipe is shown, in 80 columns and as JSON."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.config.recipe import SHOWN
from xstilts.config.recipes import RECIPES


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["recipes", *arguments], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_names_have_one_line_each() -> None:
    lines = output_of().splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(RECIPES[line.split()[0]].about in line and len(line) <= 80 for line in lines)
    assert [one["name"] for one in json.loads(output_of("--json"))] == list(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_whole(name: str) -> None:
    recipe = RECIPES[name]
    shown = output_of(name)
    assert max(map(len, shown.splitlines())) <= 80
    words = shown.split()
    assert set(SHOWN) <= set(words) and set(recipe.per_task) <= set(words)
    assert " ".join(recipe.evidence.split()) in " ".join(words)
    document = json.loads(output_of(name, "--json"))
    for phase in ("intermediate", "target"):
        for task in (*recipe.per_task, *recipe.intermediate_per_task, ""):
            stage = recipe.for_task(phase, task, {})
            found = {**document[phase], **document["tasks"][phase].get(task, {})}
            assert found == stage.values


def test_values_of_one_phase_alone_say_which() -> None:
    lines = [line.split() for line in output_of("standard").splitlines()]
    found = {tuple(line[:2]): " ".join(line[2:]) for line in lines}
    assert found["squad_v1", "intermediate"] == "epochs 3, batch_size 8, max_length 384"
    assert found["squad_v1", "target"] == "epochs 2, batch_size 16, max_length 384"
    assert found["panx", "both"] == "epochs 10"
    assert found["qqp", "intermediate"] == "epochs 3" and ("qqp", "target") not in found


def test_an_unknown_recipe_is_status_2_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["recipes", "standrad"])
    assert result.exit_code == 2
    assert 'NAME: unknown recipe; got "standrad"; did you mean "standard"?' in result.output
