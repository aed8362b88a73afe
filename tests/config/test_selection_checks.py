"""Wrong `selection` sections give one line each; what selects is never what judges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from xstilts.config.derive import pivots_of, reads, recipe_of, task_of
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "selection.md"


def sweep_of(**changes: Any) -> Sweep:
    return parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "targets": ["mini_xnli", "mini_tatoeba"],
            **changes,
        },
        "s.yaml",
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"selection": {"checkpoint": "worst"}},
            "selection.checkpoint: input should be 'best', 'last' or 'average'; got 'worst'",
        ),
        (
            {"selection": {"pivot": ["qax"]}},
            'selection.pivot: mini_xnli has no dev labels in it; got "qax"'
            "; it has them in qaa, qab, qac, qad, qae, qaf",
        ),
        (
            {"selection": {"pivot": ["en"]}},
            'selection.pivot: mini_xnli is selected on it anyway; got "en"; leave it out',
        ),
        (
            {"selection": {"pivot": ["qaa", "qaa"]}},
            "selection.pivot: a language stands once; got ['qaa', 'qaa']",
        ),
        (
            {"targets": ["udpos"], "selection": {"pivot": ["th"]}},
            'selection.pivot: udpos has no dev labels in it; got "th"',
        ),
        (
            {"selection": {"pivot": ["qaa"]}, "evaluation": {"split": "validation"}},
            "selection.pivot: the dev labels of mini_xnli are rows that are scored, and may not "
            'select; got evaluation.split "validation"',
        ),
        (
            {"targets": ["xquad"], "selection": {"pivot": ["de"]}},
            "selection.pivot: the dev labels of xquad are rows that are scored",
        ),
        (
            {
                "targets": ["mini_tatoeba"],
                "objective": {"metric": "dev/avg"},
                "selection": {"pivot": ["qaa"]},
            },
            "selection.pivot: no target has a training stage that dev labels could select",
        ),
        (
            {
                "recipe": {"name": "mini", "targets": {"mini_xnli": {"keep": "last"}}},
                "selection": {"checkpoint": "average"},
            },
            "selection.checkpoint: recipe.targets.mini_xnli.keep says too which checkpoint of a "
            'target\'s stage is kept; got "average" and "last"; keep one of them',
        ),
    ],
)
def test_wrong_selection_gives_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep_of(**changes)
    told = [str(one) for one in caught.value.problems if "objective" not in str(one)]
    assert len(told) == 1 and told[0].startswith(f"s.yaml: {line}"), told
    assert caught.value.exit_status == 2


def test_the_protocol_is_that_of_target_stages_alone() -> None:
    recipe = recipe_of(sweep_of(selection={"checkpoint": "average"}))
    assert recipe.for_task("target", "mini_xnli", {}).keep == "average"
    assert recipe.for_task("intermediate", "mini_nli", {}).keep == "best"
    # Left out, the recipe's own stands.
    sweep = sweep_of(recipe={"name": "mini", "target": {"keep": "last"}})
    assert recipe_of(sweep).for_task("target", "mini_xnli", {}).keep == "last"
    kept = sweep_of(recipe={"name": "mini", "intermediate": {"keep": "last"}},
                    selection={"checkpoint": "average"})  # fmt: skip
    assert recipe_of(kept).for_task("intermediate", "mini_nli", {}).keep == "last"


def test_the_pages_example_is_a_sweeps_section() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    sweep = sweep_of(**yaml.safe_load(text))
    assert (sweep.selection.checkpoint, sweep.selection.pivot) == ("average", ("qaa",))


def test_pivots_are_of_targets_that_train_and_read_their_dev_rows() -> None:
    sweep = sweep_of(selection={"pivot": ["qaa"]})
    assert pivots_of(sweep, task_of(sweep, "mini_xnli")) == ("qaa",)
    assert pivots_of(sweep, task_of(sweep, "mini_tatoeba")) == ()
    read = [(task.name, language) for task, use, language in reads(sweep) if use == "validation"]
    assert read == [("mini_xnli", "qaa")]
    assert next(selection_notes(sweep)) == (
        "selected with dev labels of qaa: scores in qaa are not zero-shot"
    )
