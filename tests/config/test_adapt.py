"""Arms in sweep files: what is said, what is drawn, what wins, and what is refused in a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from xstilts.config.adapt import NAMES, Adapt, Lora, adapt_of
from xstilts.config.adapt_checks import arms_of
from xstilts.config.derive import encoder_space, recipe_of
from xstilts.config.load import parse_sweep
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError

HEAD: dict[str, Any] = {
    "name": "s",
    "benchmark": "custom",
    "models": {"m": {"path": "builtin:mini"}},
    "intermediates": {"qqp": {"tasks": ["qqp"]}},
    "targets": ["panx", "xquad"],
}


def sweep_of(adapt: Any, outer: Any = None, inner: Any = None, **changes: Any) -> Sweep:
    search = {"encoder": {"space": outer or {}}, "target": {"space": inner or {}}}
    recipe = {"name": "standard", "adapt": adapt}
    return parse_sweep({**HEAD, "recipe": recipe, "search": search, **changes}, "here")


def refused(*given: Any, **changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        sweep_of(*given, **changes)
    return [str(problem) for problem in caught.value.problems]


SAID = {
    "full": ("full", Adapt()),
    "none of it": ({}, Adapt()),
    "lora": ({"lora": {"rank": 4}}, Adapt(lora=Lora(4))),
    "its defaults": ({"lora": {}}, Adapt(lora=Lora())),
    "modules": (
        {"lora": {"rank": 4, "alpha": 8, "modules": ["query", "key"]}},
        Adapt(lora=Lora(4, 8.0, ("query", "key"))),
    ),
    "a rank of 0": ({"lora": {"rank": 0}}, Adapt()),
    "embeddings": ({"frozen": "embeddings"}, Adapt(frozen=0)),
    "layers": ({"frozen": {"layers": 3}}, Adapt(frozen=3)),
    "numbers": (
        {"layer_decay": 0.9, "l2_sp": 1, "dropout": 0, "label_smoothing": 0.1},
        Adapt(layer_decay=0.9, l2_sp=1.0, dropout=0.0, label_smoothing=0.1),
    ),
    "a schedule": (
        {"schedule": "constant_then_decay", "decay_share": 0.5},
        Adapt(schedule="constant_then_decay", decay_share=0.5),
    ),
    "a share that nothing reads": (
        {"schedule": "cosine", "decay_share": 0.5},
        Adapt(schedule="cosine"),
    ),
    "average": ({"average": "last 3"}, Adapt(average=3)),
}


@pytest.mark.parametrize("case", SAID)
def test_an_arm_is_of_its_phase(case: str) -> None:
    said, expected = SAID[case]
    for phase, other in (("target", "intermediate"), ("intermediate", "target")):
        recipe = recipe_of(sweep_of({phase: said}))
        assert recipe.for_task(phase, "panx", {}).adapt == expected
        assert recipe.for_task(other, "panx", {}).adapt == Adapt()


def test_every_value_is_tried_and_shown() -> None:
    tried: set[str] = set()
    for said, adapt in SAID.values():
        tried |= set(said) if isinstance(said, dict) else set()
        assert (str(adapt) == "full") == (adapt == Adapt())
        assert all(name in str(adapt) for name in adapt.said)
    assert tried == {name.partition(".")[0] for name in NAMES}


def test_values_of_a_stage_are_numbers_and_words() -> None:
    adapt = Adapt(lora=Lora(4, 8.0, ("query",)), schedule="cosine", dropout=0.2)
    values = replace(RECIPES["mini"].target, adapt=adapt).values
    assert values["adapt"] == (
        "lora.rank 4, lora.alpha 8, lora.modules query, dropout 0.2, schedule cosine"
    )
    assert values["adapt.lora.rank"] == 4 and values["adapt.dropout"] == 0.2
    assert all(isinstance(value, (int, float, str)) for value in values.values())
    assert RECIPES["mini"].target.values["adapt"] == "full"


def test_what_a_trial_draws_wins_over_the_file() -> None:
    arms = {"low": {"lora": {"rank": 4}}, "decayed": {"layer_decay": 0.8, "dropout": 0.2}}
    recipe = recipe_of(sweep_of({"arms": arms, "target": "decayed"}))

    def drawn(**values: Any) -> Adapt:
        return recipe.for_task("target", "panx", values).adapt

    assert drawn() == Adapt(layer_decay=0.8, dropout=0.2)
    assert drawn(**{"adapt.dropout": 0.1}) == Adapt(layer_decay=0.8, dropout=0.1)
    assert drawn(adapt="low") == Adapt(lora=Lora(4))
    assert drawn(adapt="full") == Adapt()
    assert drawn(**{"adapt": "low", "adapt.lora.rank": 16}) == Adapt(lora=Lora(16))
    assert drawn(**{"adapt": "full", "adapt.frozen.layers": 2}) == Adapt(frozen=2)
    assert drawn(**{"adapt": "full", "adapt.frozen": "none"}) == Adapt()
    link = recipe.for_link("xcopa", "siqa", {"adapt.dropout": 0.3})
    assert link.adapt == Adapt(layer_decay=0.8, dropout=0.3)


def test_the_mean_of_the_last_checks_is_what_is_kept() -> None:
    recipe = recipe_of(sweep_of({"target": {"average": "last 3"}}))
    assert recipe.for_task("target", "panx", {}).keep == "average"
    assert recipe.for_task("intermediate", "qqp", {}).keep == "best"


def test_arms_of_a_phase_are_all_that_can_be_drawn() -> None:
    arms = {"low": {"lora": {"rank": 4}}}
    outer = {
        "adapt.target": {"choice": ["full", "low"]},
        "adapt.target.lora.rank": {"choice": [2, 8], "when": {"adapt.target": "low"}},
    }
    sweep = sweep_of({"arms": arms}, outer, {"adapt.dropout": {"float": [0.1, 0.3]}})
    found = {str(adapt) for _, adapt in arms_of(sweep, "target")}
    lora = "lora.rank {}, lora.alpha 16, lora.modules queries and values, "
    firsts = ("", lora.format(2), lora.format(8))
    assert found == {f"{first}dropout {rate}" for first in firsts for rate in (0.1, 0.3)}
    assert [adapt for _, adapt in arms_of(sweep, "intermediate")] == [Adapt()]


def test_the_baseline_has_no_arm_of_an_intermediate() -> None:
    space = encoder_space(sweep_of({}, {"adapt.intermediate.l2_sp": {"choice": [0, 0.1]}}))
    points = list(space.grid())
    assert {"intermediate": "none", "model": "m"} in points and len(points) == 3


REFUSED = {
    "recipe.adapt.target.dropout: dropout is a rate in [0, 1); got 1": {"dropout": 1},
    "recipe.adapt.target.label_smoothing: label_smoothing is a share in [0, 1)": {
        "label_smoothing": 1.0
    },
    "recipe.adapt.target.layer_decay: layer_decay is a number above 0, 1 at most": {
        "layer_decay": 1.1
    },
    "recipe.adapt.target.l2_sp: l2_sp is a number, 0 or above; got -1": {"l2_sp": -1},
    "recipe.adapt.target.schedule: schedule is one of linear, cosine": {"schedule": "cos"},
    "recipe.adapt.target.frozen: frozen is embeddings, none, or {layers: N}; got 3": {"frozen": 3},
    "recipe.adapt.target.frozen.layers: frozen.layers is a whole number": {
        "frozen": {"layers": "x"}
    },
    'recipe.adapt.target.lora.rnk: unknown value of an arm; got "lora.rnk"; did you mean': {
        "lora": {"rnk": 1}
    },
    "recipe.adapt.target.lora.alpha: lora.alpha is a number above 0": {"lora": {"alpha": 0}},
    "recipe.adapt.target: frozen says what becomes of the encoder's own weights": {
        "lora": {"rank": 4},
        "frozen": "embeddings",
    },
    "recipe.adapt.target: l2_sp says what becomes": {"lora": {"rank": 4}, "l2_sp": 0.1},
    "recipe.adapt.target: layer_decay says what": {"lora": {"rank": 4}, "layer_decay": 0.9},
    # Nothing averages over runs, whose heads are drawn from other seeds.
    "recipe.adapt.target.average: average is `last N`, of the checks of one run: the heads of": {
        "average": "seeds 3"
    },
    "recipe.adapt.target: average: last 11 needs as many checks; panx has 10": {
        "average": "last 11"
    },
    'recipe.adapt.target: unknown arm; got "lw"': "lw",
    "recipe.adapt.target: is `full`, or values by their names; got 3": 3,
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_an_arm_cannot_be_is_said_in_a_line(line: str) -> None:
    (found,) = refused({"target": REFUSED[line]})
    assert found.startswith(f"here: {line}")


def test_kinds_without_a_smoothed_loss_are_named_with_those_that_have_one() -> None:
    smoothed = {"label_smoothing": 0.1}
    (line,) = refused({"target": smoothed}, targets=["panx", "lareqa"])
    kinds = "sentence, pair, choice, tagging, span"
    assert line.startswith(
        f"here: recipe.adapt.target: label_smoothing is for the kinds {kinds}; lareqa is of the "
        "kind dual_encoder"
    )
    mixed = {"mix": {"tasks": ["qqp", "mlm"]}}
    (line,) = refused({"intermediate": smoothed}, intermediates=mixed)
    assert "mlm is of the kind mlm" in line
    sweep_of({"target": smoothed}, targets=["panx", "tatoeba"])  # which is not trained


def test_who_says_what_is_kept_twice_is_told() -> None:
    average = {"target": {"average": "last 2"}}
    (line,) = refused(average, selection={"checkpoint": "best"})
    assert "average says which checks a stage keeps, and so does best" in line
    with pytest.raises(ConfigError, match="and so does last"):
        parse_sweep(
            {**HEAD, "recipe": {"name": "standard", "adapt": average, "keep": "last"}}, "here"
        )


def test_arms_of_a_space_are_checked_like_those_of_a_file() -> None:
    (line,) = refused({}, {"adapt.target.layer_decay": {"float": [0.8, 1.2]}})
    assert "search.encoder.space.adapt.target.layer_decay: layer_decay is a number above" in line
    (line,) = refused({}, {"adapt.target": {"choice": ["full", "low"]}})
    assert 'search.encoder.space.adapt.target: unknown arm; got "low"' in line
    (line,) = refused({}, {"adapt.target.lora.rnk": {"int": [1, 2]}})
    assert "search.encoder.space.adapt.target.lora.rnk: unknown value of an arm" in line
    (line,) = refused({}, {"adapt.tgt.dropout": {"choice": [0, 0.1]}})
    assert "search.encoder.space.adapt.tgt.dropout: unknown parameter" in line
    (line,) = refused(
        {}, {"adapt.target.dropout": {"choice": [0, 0.1]}}, {"adapt.dropout": {"choice": [0, 0.2]}}
    )
    assert "searched by the inner search too" in line
    frozen = {"target": {"frozen": "embeddings"}}
    (line,) = refused(frozen, {"adapt.target.lora.rank": {"choice": [0, 4]}})
    assert "beside lora" in line
    sweep_of({}, {"adapt.target.lora.rank": {"choice": [0, 4]}})


def test_arms_are_of_phases() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.targets\.panx\.adapt: arms are of a phase"):
        parse_sweep(
            {**HEAD, "recipe": {"name": "standard", "targets": {"panx": {"adapt": {}}}}}, "here"
        )
    (line,) = refused({"targt": "full"})
    assert 'recipe.adapt.targt: is a phase, or arms; got "targt"; did you mean "target"?' in line


def test_a_value_that_no_arm_has_is_refused() -> None:
    with pytest.raises(ValueError, match="is no value of an arm"):
        adapt_of({"warmth": 1})
