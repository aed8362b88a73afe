"""What a study states, and every way in which a sweep cannot answer it: one line each."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from xstilts.config.derive import encoder_space
from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.schema import Sweep
from xstilts.config.study import condition
from xstilts.config.study_arms import members, selects
from xstilts.config.study_checks import cells, confounds
from xstilts.config.study_parts import of_part
from xstilts.errors import ConfigError

STUDIES = Path(__file__).parents[2] / "sweeps" / "studies"
BASE: dict[str, Any] = {
    "name": "s",
    "benchmark": "custom",
    "recipe": "standard",
    "models": {"xlmr": {"path": "FacebookAI/xlm-roberta-base"}, "other": {"path": "a/b"}},
    "intermediates": {
        "mnli_en": {"tasks": ["mnli"], "languages": ["en"], "translated": True},
        "mnli_tr": {"tasks": ["mnli"], "languages": ["tr"], "translated": True},
        "mnli_sw": {"tasks": ["mnli"], "languages": ["sw"], "translated": True},
        "short": {"tasks": ["mnli"], "examples": 1000, "translated": True, "languages": ["tr"]},
        "null": {"tasks": ["mlm"], "match": {"to": "short", "by": "steps", "with": "mlm"}},
    },
    "targets": ["xnli", "udpos"],
    "seeds": [0, 1, 2],
    "study": {
        "question": "Which?",
        "arms": {
            "english": {"intermediates": ["mnli_en"]},
            "rich": {"intermediates": ["mnli_tr", "mnli_sw"]},
            "short": {"intermediates": ["short"]},
            "null": {"intermediates": ["null"]},
            "none": {"intermediates": ["none"], "models": ["xlmr"]},
        },
        "contrasts": {"first": {"arms": ["rich", "english"], "differ_in": ["languages"]}},
        "primary": ["first"],
        "seeds": 3,
    },
}


def sweep_of(study: dict[str, Any], contrast: dict[str, Any], **changes: Any) -> Sweep:
    """A sweep whose study and first contrast are changed."""
    document = deepcopy({**BASE, **changes})
    document["study"] |= study
    document["study"]["contrasts"]["first"] |= contrast
    return parse_sweep(document, "s.yaml")


@pytest.mark.parametrize(
    ("study", "contrast", "line"),
    [
        ({"seeds": 2}, {}, "study.seeds: input should be greater than or equal to 3; got 2"),
        ({"seeds": 4}, {}, "seeds: the study says that a claim needs 4; got [0, 1, 2]; add seeds"),
        ({"primary": ["frist"]}, {}, 'study.primary[0]: is no contrast of the study; got "frist"; '
         'did you mean "first"?'),
        ({}, {"arms": ["rich", "englsh"]}, 'study.contrasts.first.arms[1]: unknown arm; got '
         '"englsh"; did you mean "english"?'),
        ({}, {"arms": ["rich", "rich"]}, "study.contrasts.first.arms: are two"),
        ({}, {"targets": ["panx"]}, "study.contrasts.first.targets[0]: is no target of this sweep"),
        ({}, {"covariate": "c_wal"}, 'study.contrasts.first.covariate: is no column of numbers of '
         'the languages; got "c_wal"; did you mean "c_wals"?'),
        ({}, {"covariate": "family"}, "is no column of numbers of the languages"),
        ({}, {"strata": "thirds"}, "first.strata: is neither `tercile` nor a column"),
        ({}, {"where": {"joshi": 2}}, 'study.contrasts.first.where.joshi: is no column of the '
         'languages; got "joshi"; did you mean "joshi_class"?'),
        ({}, {"where": {"family": "<= Turkic"}}, "an order is one of numbers"),
        ({}, {"where": {"joshi_class": "<= many"}}, "an order is one of numbers"),
        ({}, {"where": {"joshi_class": "> 5"}}, "contrasts.first: no language of its targets"),
        ({}, {"languages": ["sw"]}, "first.languages[0]: udpos has no such language in this "
         'sweep; got "sw"; write targets: [xnli], which have it'),
        ({}, {"test": "slope"}, "test: slope needs a covariate"),
        ({}, {"strata": "tercile"}, "strata: tercile needs a covariate"),
        ({}, {"arms": ["short", "english"]}, "study.contrasts.first: its arms differ in examples "
         "besides languages; got 1000 and None; make them alike, or list confounds: [examples]"),
        ({}, {"arms": ["rich", "none"]}, "differ in intermediate besides languages"),
        ({}, {"arms": ["rich", "none"], "differ_in": ["intermediate"]}, "differ in models"),
        ({"models": {"screen": ["xlm"]}}, {}, 'study.models.screen[0]: unknown model; got "xlm"; '
         'did you mean "xlmr"?'),
        ({"models": {"screen": []}}, {}, "study.models.screen"),
    ],
)  # fmt: skip
def test_what_a_sweep_cannot_answer_is_one_line(
    study: dict[str, Any], contrast: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of(study, contrast)


@pytest.mark.parametrize(
    ("arm", "line"),
    [
        ({"intermediates": ["mnl_tr"]}, 'study.arms.rich.intermediates[0]: names no intermediate'),
        ({"intermediates": ["squad_*"]}, 'so that the arm has no member by it; got "squad_*"'),
        ({"intermediates": []}, "study.arms.rich.intermediates"),
        ({"intermediates": ["mnli_tr"], "models": ["xlm"]}, 'study.arms.rich.models[0]: unknown '
         'model; got "xlm"; did you mean "xlmr"?'),
    ],
)  # fmt: skip
def test_an_arm_has_members(arm: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of({"arms": {**BASE["study"]["arms"], "rich": arm}}, {})


def test_a_wrong_arm_is_one_line_however_many_contrasts_have_it() -> None:
    with pytest.raises(ConfigError) as raised:
        sweep_of({"arms": {**BASE["study"]["arms"], "rich": {"intermediates": ["mnl_tr"]}}}, {})
    assert len(raised.value.problems) == 1


def test_values_of_an_arm_are_drawn_together() -> None:
    both = {"adapt.intermediate": ["decay"], "intermediate.epochs": [1]}
    english = {"intermediates": ["mnli_en"], "parameters": both}
    searched = deepcopy(ADAPTED)
    space = searched["search"]["encoder"]["space"]
    space["intermediate.epochs"]["when"]["adapt.intermediate"] = "full"
    sweep_of(arms_of(english=english), {"differ_in": ["languages", "recipe"]}, **deepcopy(ADAPTED))
    with pytest.raises(ConfigError, match=r"arms\.english: no configuration of mnli_en has these"):
        sweep_of(arms_of(english=english), {"differ_in": ["languages", "recipe"]}, **searched)


def test_no_arm_is_eliminated() -> None:
    with pytest.raises(ConfigError, match=re.escape('got "race"; write strategy: all')):
        sweep_of({}, {}, search={"strategy": "race"}, confirm={"seeds": 3})


def test_a_pattern_names_all_that_it_fits() -> None:
    sweep = sweep_of({"arms": {**BASE["study"]["arms"], "rich": {"intermediates": ["mnli_*"]}}}, {})
    assert sweep.study is not None
    assert members(sweep, sweep.study.arms["rich"]) == ("mnli_en", "mnli_tr", "mnli_sw")
    assert members(sweep, sweep.study.arms["none"]) == ("none",)


ADAPTED: dict[str, Any] = {
    "recipe": {"name": "standard", "adapt": {"arms": {"decay": {"layer_decay": 0.9}}}},
    "search": {
        "encoder": {
            "trials": 24,
            "sampler": {"name": "grid"},
            "space": {
                "adapt.intermediate": {
                    "choice": ["full", "decay"],
                    "when": {"intermediate": ["mnli_en", "mnli_tr", "mnli_sw"]},
                },
                "intermediate.epochs": {"choice": [1, 2], "when": {"intermediate": "mnli_en"}},
            },
        }
    },
}


def arms_of(**arms: dict[str, Any]) -> dict[str, Any]:
    return {"arms": {**BASE["study"]["arms"], **arms}}


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"adapt.target": ["full"]}, 'rich.parameters.adapt.target: is no parameter of '
         'search.encoder.space that arms are chosen by; got "adapt.target"; did you mean '
         '"adapt.intermediate"?'),
        ({"adapt.intermediate": ["decai"]}, 'rich.parameters.adapt.intermediate[0]: is never '
         'drawn; got "decai"; did you mean "decay"?'),
        ({"intermediate.epochs": [1]}, "rich.parameters.intermediate.epochs: mnli_tr is not "
         "searched so, and none of its runs is the arm's; got 2; add mnli_tr to its `when`"),
    ],
)  # fmt: skip
def test_an_arm_is_of_values_that_are_drawn(parameters: dict[str, Any], line: str) -> None:
    rich = {"intermediates": ["mnli_tr", "mnli_sw"], "parameters": parameters}
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of(arms_of(rich=rich), {}, **deepcopy(ADAPTED))


def test_an_arm_has_runs_in_the_grid() -> None:
    line = (
        "search.encoder.trials: mnli_tr of the arm rich and 3 more would have no run among so "
        "many configurations; got 4; write 12, for all"
    )
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of({}, {}, search={"encoder": {"trials": 4, "sampler": {"name": "grid"}}})


def test_the_recipe_of_arms_is_a_confound_unless_it_is_what_is_asked() -> None:
    plain = {"intermediates": ["mnli_tr"], "parameters": {"adapt.intermediate": ["full"]}}
    decay = {"intermediates": ["mnli_tr"], "parameters": {"adapt.intermediate": ["decay"]}}
    arms = {**arms_of(rich=decay, short=plain)}
    wanted = {"arms": ["rich", "short"], "differ_in": ["languages"]}
    line = "differ in recipe besides languages; got adapt.intermediate decay and adapt.intermediate"
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of(arms, wanted, **deepcopy(ADAPTED))
    sweep = sweep_of(arms, {**wanted, "differ_in": ["recipe"]}, **deepcopy(ADAPTED))
    assert sweep.study is not None
    of_decay, of_plain = sweep.study.arms["rich"], sweep.study.arms["short"]
    point = {"intermediate": "mnli_tr", "model": "xlmr", "adapt.intermediate": "decay"}
    assert selects(sweep, of_decay, point) and not selects(sweep, of_plain, point)
    assert not selects(sweep, of_decay, {**point, "intermediate": "mnli_sw"})
    assert not selects(sweep, of_decay, {**point, "adapt.intermediate": "full"})
    # What no arm of adapting is drawn for is adapted in full.
    bare = {"intermediate": "mnli_tr", "model": "other"}
    assert selects(sweep, of_plain, bare) and not selects(sweep, of_decay, bare)
    none = sweep.study.arms["none"].model_copy(update={"parameters": of_decay.parameters})
    assert selects(sweep, none, {"intermediate": "none", "model": "xlmr"})
    assert not selects(sweep, none, {"intermediate": "none", "model": "other"})


def test_tasks_that_are_trained_otherwise_are_confounded_with_how() -> None:
    arms = arms_of(rich={"intermediates": ["mnli_own"]}, short={"intermediates": ["squad"]})
    own = {"mnli_own": {"tasks": ["mnli"]}, "squad": {"tasks": ["squad_v1"]}}
    wanted = {"arms": ["rich", "short"], "differ_in": ["tasks"]}
    line = "differ in recipe besides tasks; got batch_size 24 and batch_size 8"
    with pytest.raises(ConfigError, match=re.escape(line)):
        sweep_of(arms, wanted, intermediates={**BASE["intermediates"], **own})


def test_a_part_runs_its_models_alone() -> None:
    sweep = sweep_of({"models": {"screen": ["xlmr"], "full": ["other"]}}, {})
    assert encoder_space(of_part(sweep, "full")).values_of("model") == ("other",)
    assert tuple(of_part(sweep, "full").models) == ("xlmr", "other")
    with pytest.raises(ConfigError, match=r'--part: is no part of the study; got "ful"; did you'):
        of_part(sweep, "ful")
    with pytest.raises(ConfigError, match=r"name its models under study\.models"):
        of_part(sweep_of({}, {}), "full")
    # What a part has stored is read again, whatever arms other parts have.
    stored = of_part(sweep, "full").model_dump(mode="json", by_alias=True)
    stored["search"]["encoder"] |= {"trials": 12, "sampler": {"name": "grid"}}
    parse_sweep(stored, "s.yaml")


def chosen(**contrast: Any) -> dict[str, tuple[str, ...]]:
    sweep = sweep_of({}, {"targets": ["xnli"], **contrast})
    assert sweep.study is not None
    return cells(sweep, sweep.study, sweep.study.contrasts["first"])


def test_languages_are_chosen_by_the_table() -> None:
    assert chosen(where={"joshi_class": "<= 2"}) == {"xnli": ("sw",)}
    assert chosen(where={"family": "Turkic"}) == {"xnli": ("tr",)}
    assert chosen(match="intermediate language") == {"xnli": ("sw", "tr")}
    assert not {"sw", "tr"} & {*chosen(match="other languages")["xnli"]}
    assert chosen(languages=["de", "sw"], where={"joshi_class": 5})["xnli"] == ("de",)
    # What the table does not know fulfils no condition: Arabic's rests on too few features.
    every = chosen(where={"c_wals": "< 0.5"})["xnli"] + chosen(where={"c_wals": ">= 0.5"})["xnli"]
    assert "ar" not in every


def test_what_arms_differ_in_besides_is_listed() -> None:
    sweep = sweep_of({}, {"arms": ["short", "english"], "confounds": ["examples"]})
    assert sweep.study is not None
    assert confounds(sweep, sweep.study, sweep.study.contrasts["first"]) == ("examples",)
    # A null that is matched to an intermediate costs what that costs.
    wanted = {"arms": ["short", "null"], "differ_in": ["tasks", "languages"]}
    other = sweep_of({}, {**wanted, "confounds": ["match", "translated"]})
    assert other.study is not None
    found = confounds(other, other.study, other.study.contrasts["first"])
    assert set(found) == {"match", "translated"}


def test_a_condition_has_an_operator_or_is_equality() -> None:
    assert condition("<= 2") == ("<=", 2.0)
    assert condition("!= en") == ("!=", "en")
    assert condition("Turkic") == ("==", "Turkic")
    assert condition(3) == ("==", 3.0)


def test_the_study_of_the_page_is_one() -> None:
    page = (STUDIES.parent / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(study:\n.*?)```", page, re.DOTALL)
    document = {**deepcopy(BASE), "targets": ["udpos"], **yaml.safe_load(text)}
    document["intermediates"]["mnli_en"]["examples"] = 1000
    study = parse_sweep(document, "s.yaml").study
    assert study is not None
    assert study.contrasts["rich_over_english"].strata == "tercile"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_study_states_what_it_asks(path: Path) -> None:
    sweep = load_sweep(path)
    assert sweep.study is not None
    for contrast in sweep.study.contrasts.values():
        assert cells(sweep, sweep.study, contrast)
    without = yaml.safe_load(path.read_text())
    for contrast in without["study"]["contrasts"].values():
        named = contrast.pop("confounds", None)
        if named:
            with pytest.raises(ConfigError, match="differ in"):
                parse_sweep(deepcopy(without), "s.yaml")
            contrast["confounds"] = named
