"""Loading: YAML's traps, strict types, files that are none, `--set`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))

HEAD = """\
name: small
benchmark: mini
recipe: mini
models: {mini: {path: "builtin:mini"}}
data: {root: "builtin:mini"}
targets: [mini_xnli]
"""

SMALL: dict[str, Any] = {
    "name": "small",
    "benchmark": "mini",
    "recipe": "mini",
    "models": {"mini": {"path": "builtin:mini"}},
    "data": {"root": "builtin:mini"},
    "targets": ["mini_xnli"],
}


def load(folder: Path, text: str, *overrides: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return load_sweep(path, overrides)


def message_of(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_file_of_ours_is_valid(path: Path) -> None:
    assert load_sweep(path).name == path.stem


def test_there_are_sweep_files() -> None:
    assert SWEEPS


def test_defaults_of_a_small_file(tmp_path: Path) -> None:
    sweep = load(tmp_path, HEAD)
    assert sweep == parse_sweep(SMALL, "here")
    assert sweep.languages == "all" and sweep.seeds == (0,)
    assert sweep.evaluation.split == "test"
    assert sweep.search.encoder.sampler.name == "tpe" and sweep.search.target.trials == 1
    assert (sweep.objective.metric, sweep.objective.mode) == ("dev/avg", "max")
    assert sweep.storage == "./runs" and sweep.tracking.uri is None


def test_resolved_sweep_reads_back_as_itself() -> None:
    """The launch stores the resolved sweep as JSON; its workers parse it."""
    sweep = load_sweep(SWEEPS[0])
    assert parse_sweep(sweep.model_dump(mode="json", by_alias=True), "stored") == sweep


@pytest.mark.parametrize("number", ["3e-6", "3E-06", "3.e-6", "3.0e-6", "0.000003"])
def test_numbers_in_any_notation_are_numbers(tmp_path: Path, number: str) -> None:
    space = f"search: {{target: {{space: {{learning_rate: {{float: [{number}, 1e+0]}}}}}}}}\n"
    parameter = load(tmp_path, HEAD + space).search.target.space["learning_rate"]
    assert parameter.float_ == (3e-6, 1.0)


@pytest.mark.parametrize("text", ["e-6", "3e-6x", '"3e-6"'])
def test_text_that_resembles_a_number_stays_text(tmp_path: Path, text: str) -> None:
    space = f"search: {{target: {{space: {{learning_rate: {{float: [{text}, 1]}}}}}}}}\n"
    assert "learning_rate[0]: input should be a valid number" in message_of(tmp_path, HEAD + space)


def test_no_is_false_and_hence_no_name(tmp_path: Path) -> None:
    text = HEAD.replace("name: small", "name: no")
    assert "name: input should be a valid string; got False" in message_of(tmp_path, text)


def test_duplicate_key_is_refused_with_its_place(tmp_path: Path) -> None:
    message = message_of(tmp_path, HEAD + "seeds: [0]\nseeds: [1]\n")
    assert message.startswith(f"{tmp_path}/sweep.yaml:8:1: ")
    assert "the key 'seeds' stands twice" in message


def test_key_that_is_no_text_is_refused_with_its_place(tmp_path: Path) -> None:
    message = message_of(tmp_path, HEAD + "search:\n  1: x\n")
    assert message.startswith(f"{tmp_path}/sweep.yaml:8:3: ")
    assert "a key is text; got 1" in message


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: [1, 2\nb: 3\n", "2:2"), ("a: 'open\n", "2:1"), ("a: !!python/object:os.x {}\n", "1:4")],
)
def test_what_is_not_yaml_is_refused_with_line_and_column(
    tmp_path: Path, text: str, place: str
) -> None:
    message = message_of(tmp_path, text)
    assert message.startswith(f"{tmp_path}/sweep.yaml:{place}: is no valid YAML; got ")


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("[1]", "list"), ("words", "str")])
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    assert message_of(tmp_path, text).endswith(f"a sweep file is a mapping of keys; got {kind}")


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "panx.yaml").touch()
    with pytest.raises(ConfigError, match=r'pnax\.yaml: no such file; .*did you mean "panx\.yaml"'):
        load_sweep(tmp_path / "pnax.yaml")


def test_unreadable_files_are_users_mistakes(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    for path in (tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_sweep(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 1),
        ("seeds", [True]),
        ("seeds", ["0"]),
        ("seeds", [1.0]),
        ("seeds", [-1]),
        ("seeds", []),
        ("seeds", 0),
        ("targets", "mini_xnli"),
        ("languages", "en"),
        ("storage", ""),
        ("models", {}),
        ("resources", {"cpus_per_trial": 1.5}),
        ("resources", {"gpus_per_trial": float("nan")}),
        ("resources", {"compile": True}),
        ("resources", {"compile": "reduce-overhead", "gpus_per_trial": 1}),
        ("search", {"encoder": {"trials": "3"}}),
        ("search", {"encoder": {"sampler": {"seed": 2**32}}}),
        ("search", {"target": {"space": {"epochs": {"int": [1]}}}}),
        ("search", {"target": {"space": {"epochs": {"int": [1.5, 2]}}}}),
        ("search", {"target": {"space": {"epochs": {"choice": []}}}}),
        ("search", {"target": {"space": {"epochs": {"float": [1, 2], "levels": 0}}}}),
        ("intermediates", {"nli": {"tasks": ["mini_nli"], "temperature": 0.5}}),
        ("intermediates", {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 0}}}),
        ("intermediates", {"mlm": {"tasks": ["mini_mlm"], "mlm": {"alpha": 1.1}}}),
    ],
)
def test_wrong_value_is_refused_at_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sweep({**SMALL, key: value}, "here")
    assert all(problem.where.startswith(f"here: {key}") for problem in caught.value.problems)


def places_in(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and index inside a value."""
    steps = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for step in steps:
        yield (*place, step)
        yield from places_in(value[step], (*place, step))


@pytest.mark.parametrize("junk", [None, True, -1, 0.5, "x", [], [[1]], {}, {"when": {"x": [1]}}])
def test_no_value_anywhere_is_more_than_a_users_mistake(junk: object) -> None:
    sweep = load_sweep(SWEEPS[0]).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for *parents, last in places_in(sweep):
        broken = copy.deepcopy(sweep)
        here = broken
        for step in parents:
            here = here[step]
        here[last] = copy.deepcopy(junk)
        try:
            parse_sweep(broken, "here")
        except ConfigError as error:
            assert error.problems


def test_settings_replace_what_the_file_says(tmp_path: Path) -> None:
    sweep = load(
        tmp_path,
        HEAD + "seeds: [7]\n",
        "seeds=[1, 2]",
        "search.encoder.trials=3",
        "search.target.space.learning_rate={float: [3e-6, 1e-3]}",
        "models.mini.path=/models/a=b",
        "tracking.uri=null",
    )
    assert sweep.seeds == (1, 2)
    assert sweep.search.encoder.trials == 3
    assert sweep.search.target.space["learning_rate"].float_ == (3e-6, 1e-3)
    assert sweep.models["mini"].path == "/models/a=b"


def test_setting_reaches_a_parameter_whose_name_has_a_dot(tmp_path: Path) -> None:
    space = "search: {encoder: {space: {target.epochs: {int: [1, 2]}}}}\n"
    sweep = load(tmp_path, HEAD + space, "search.encoder.space.target.epochs.int=[3, 4]")
    assert sweep.search.encoder.space["target.epochs"].int_ == (3, 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seeds", '--set: is written a.b=value; got "seeds"'),
        ("=1", '--set: is written a.b=value; got "=1"'),
        ("name.x=1", '--set: names no place in the file; got "name.x"'),
        ("seeds=[1", '--set: its value is no valid YAML; got "[1"'),
        ("seeds=[x]", "seeds[0]: input should be a valid integer; got 'x'"),
        ("nmae=x", 'nmae: unknown key; did you mean "name"?'),
    ],
)
def test_wrong_setting_is_refused_with_the_problems_of_the_file(
    tmp_path: Path, setting: str, message: str
) -> None:
    found = message_of(tmp_path, HEAD + "storage: 5\n", setting)
    assert message in found
    assert "storage: input should be a valid string; got 5" in found
