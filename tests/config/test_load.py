"""Loading: YAML's traps, strict types, files that are none, `--set`."""

from __future__ import annotations

import copy
import time
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


def test_figures_to_compare_with_published_ones_are_scored_in_float32() -> None:
    published = {"phang2020", "jiant", "xtreme2020", "xtreme_head", "xtreme_r", "nlu_evals"}
    found = [sweep for sweep in map(load_sweep, SWEEPS) if sweep.recipe.name in published]
    assert found and {sweep.resources.scoring_precision for sweep in found} == {"fp32"}


def test_there_are_sweep_files() -> None:
    assert SWEEPS


def test_defaults_of_a_small_file(tmp_path: Path) -> None:
    sweep = load(tmp_path, HEAD)
    assert sweep == parse_sweep(SMALL, "here")
    assert sweep.languages == "all" and sweep.seeds == (0,)
    assert sweep.evaluation.split == "test"
    assert sweep.search.encoder.sampler.name == "tpe" and sweep.search.target.trials == 1
    assert (sweep.objective.metric, sweep.objective.mode) == ("dev/weighted", "max")
    assert sweep.storage == "./runs" and sweep.tracking.uri is None


def test_a_recipe_is_kept_as_short_as_it_can_be_said(tmp_path: Path) -> None:
    """What is written of a sweep stays what older versions read, unless something is overridden."""
    for text in ("mini", "{name: mini}", "{name: mini, target: {}, targets: {}}"):
        sweep = load(tmp_path, HEAD.replace("recipe: mini", f"recipe: {text}"))
        assert sweep == parse_sweep(SMALL, "here")
        assert sweep.model_dump(mode="json")["recipe"] == "mini"
    sweep = load(
        tmp_path, HEAD, "recipe={name: mini, batch_size: 8, targets: {mini_xnli: {epochs: 2}}}"
    )
    said = {"name": "mini", "batch_size": 8, "targets": {"mini_xnli": {"epochs": 2}}}
    assert sweep.model_dump(mode="json")["recipe"] == said
    assert parse_sweep(sweep.model_dump(mode="json", by_alias=True), "stored") == sweep


def test_set_reaches_into_a_recipe_that_is_named(tmp_path: Path) -> None:
    overrides = ("recipe.batch_size=8", "recipe.targets.mini_xnli.epochs=2")
    sweep = load(tmp_path, HEAD, *overrides)
    said = {"batch_size": 8, "targets": {"mini_xnli": {"epochs": 2}}}
    assert (sweep.recipe.name, sweep.recipe.overrides) == ("mini", said)
    assert "recipe.epoch: unknown field" in message_of(tmp_path, HEAD, "recipe.epoch=2")
    assert "names no place in the file" in message_of(tmp_path, HEAD, "name.x=2")


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


SECRET = "hunter2isneverseen"


@pytest.mark.parametrize(
    "tracking",
    [
        f"{{uri: 'http://me:{SECRET}@mlflow.example:5000'}}",
        f"{{uri: 'http://me:{SECRET}/with/slashes@mlflow.example:5000'}}",
        f"{{uri: 'postgresql://me:{SECRET}@db/mlflow'}}",
        f"{{uri: 'me:{SECRET}@mlflow.example:5000'}}",
        f"'http://me:{SECRET}@mlflow.example:5000'",
        f"['http://{'me' * 40}:{SECRET}@mlflow.example:5000']",
        f"{{uri: ['http://me:{SECRET}@mlflow.example:5000']}}",
        f"{{'http://me:{SECRET}@mlflow.example:5000': }}",
    ],
)
def test_a_password_in_tracking_is_refused_and_not_shown(tmp_path: Path, tracking: str) -> None:
    texts = [
        message_of(tmp_path, HEAD + f"tracking: {tracking}\n"),
        message_of(tmp_path, HEAD, f"tracking={tracking}"),
        message_of(tmp_path, HEAD, f"tracking={tracking}]"),
    ]
    for text in texts:
        assert "tracking" in text or "--set" in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "sqlite:////data/me@home/mlflow.db", "file:///a@b", "null"]
)
def test_a_server_or_a_path_without_a_user_is_taken(tmp_path: Path, uri: str) -> None:
    sweep = load(tmp_path, HEAD + f"tracking: {{uri: {uri}}}\n")
    assert str(sweep.tracking.uri or "null") == uri


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    message = message_of(tmp_path, HEAD + "#" * 2**19)
    assert message == f"{tmp_path}/sweep.yaml: a sweep file has at most 256 KiB; got 512 KiB"


BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "place", "got"),
    [
        ("storage: " + "[" * 60 + "]" * 60, "7:59", "values nested deeper than 50"),
        ("storage: " + "{a: " * 1000 + "}" * 1000, "7:", "values nested deeper than 50"),
        ("storage: &a [*a]", "7:10", "an alias within what it names"),
        (BOMB, "1", "aliases that stand for more than 8388608 characters"),
        (
            "".join(f"k{i}: &k{i} [*k{i - 1}]\n" if i else "k0: &k0 [x]\n" for i in range(60)),
            "5",
            "values nested deeper than 50",
        ),
    ],
    ids=["deep", "deeper", "circle", "many", "chain"],
)
def test_what_is_larger_than_it_looks_is_refused_at_once(
    tmp_path: Path, text: str, place: str, got: str
) -> None:
    started = time.monotonic()
    message = message_of(tmp_path, HEAD + text + "\n")
    assert message.startswith(f"{tmp_path}/sweep.yaml:{place}")
    assert message.endswith(f"goes beyond what a sweep file may hold; got {got}; write it flat")
    assert time.monotonic() - started < 5


def test_aliases_of_an_ordinary_size_are_taken(tmp_path: Path) -> None:
    text = """
intermediates:
  one: {tasks: &tasks [mini_nli], budget: {examples: 100}}
  other: {tasks: *tasks, budget: {examples: 200}}
"""
    sweep = load(tmp_path, HEAD + text)
    assert sweep.intermediates["other"].tasks == sweep.intermediates["one"].tasks == ("mini_nli",)


def test_a_setting_has_the_same_limits(tmp_path: Path) -> None:
    message = message_of(tmp_path, HEAD, f"storage={'[' * 60}{']' * 60}")
    rule = "--set: the value of storage goes beyond what a sweep file may hold"
    assert message == f"{rule}; got values nested deeper than 50"
    long = message_of(tmp_path, HEAD, f"storage=[{'x' * 1000}")
    assert "its value is no valid YAML" in long and len(long) < 150


@pytest.mark.parametrize("value", ["2026-13-45", "9" * 5000])
def test_a_value_that_is_none_is_no_traceback(tmp_path: Path, value: str) -> None:
    assert "is no valid YAML" in message_of(tmp_path, HEAD + f"storage: {value}\n")
