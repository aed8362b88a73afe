"""Tasks of a sweep's own: what a declaration means, and where its files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xstilts.config.derive import languages_of, reads, task_of
from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.own_tasks import all_tasks, find_task
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.tasks import Task, lookup

REVIEWS: dict[str, Any] = {
    "kind": "sentence",
    "files": {"train": "train.csv", "test": {"de": "de.jsonl", "sw": "sw.tsv"}},
    "labels": {"1": "neg", "5": "pos"},
}

FILE = """
name: mine
benchmark: custom
recipe: mini
models: {mini: {path: "builtin:mini"}}
tasks: {reviews: {kind: sentence, files: %s, labels: %s}}
targets: [reviews]
"""


def sweep_with(reviews: dict[str, Any], **sections: Any) -> Sweep:
    head = {
        "name": "mine",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "targets": ["reviews"],
    }
    return parse_sweep({**head, "tasks": {"reviews": reviews}, **sections}, "sweep")


def task_with(**changes: Any) -> Task:
    return find_task(sweep_with({**REVIEWS, **changes}), "reviews")


def test_a_declaration_is_a_task_like_those_of_the_catalogue() -> None:
    task = task_with()
    assert (task.kind, task.group, task.labels) == ("sentence", "classification", ("neg", "pos"))
    assert task.languages == ("de", "sw") and task.train_language == "en"
    assert task.is_target and task.is_trained and task.metrics == ("accuracy",)
    sweep = sweep_with(REVIEWS)
    assert all_tasks(sweep)[0] == task and lookup("xnli") in all_tasks(sweep)
    used = {(use, language) for _, use, language in reads(sweep)}
    assert used == {("train", "en"), ("dev", "en"), ("test", "de"), ("test", "sw")}


def test_a_tenth_of_train_is_dev_where_none_is_given() -> None:
    task = task_with()
    (train,), (dev,) = task.slices_of("train"), task.slices_of("dev")
    assert (train.without, dev.only) == (dev.only, train.without) and dev.only is not None
    assert (dev.only.column, dev.only.percent) == ("text", 10)
    assert task.cuts_dev_from_train
    files = {**REVIEWS["files"], "dev": "dev.csv"}
    given = task_with(files=files)
    assert given.slices_of("dev")[0].filter == "" and not given.cuts_dev_from_train


@pytest.mark.parametrize(
    ("given", "scored", "beside"),
    [
        ({}, ("accuracy",), ()),
        ({"metrics": ["f1_macro", "accuracy"]}, ("f1_macro",), ("accuracy",)),
        ({"metrics": ["f1_macro", "mcc"], "score": "mean"}, ("f1_macro", "mcc"), ()),
        (
            {"kind": "span", "labels": [], "files": {"train": "a.json", "test": "b.json"}},
            ("exact_match", "f1"),
            (),
        ),
    ],
)
def test_the_first_metric_is_the_score_unless_their_mean_is(
    given: dict[str, Any], scored: tuple[str, ...], beside: tuple[str, ...]
) -> None:
    task = task_with(**given)
    assert (task.metrics, task.beside) == (scored, beside)


def test_labels_may_be_merged() -> None:
    task = task_with(labels={"1": "neg", "2": "neg", "4": "pos", "5": "pos"})
    assert task.labels == ("neg", "pos")


def test_validation_is_dev_in_its_language_unless_files_are_given() -> None:
    files = {"train": "train.csv", "test": {"en": "en.csv", "de": "de.csv"}}
    split = {"evaluation": {"split": "validation"}}
    sweep = sweep_with({**REVIEWS, "files": files}, **split)
    assert languages_of(sweep, task_of(sweep, "reviews")) == ("en",)
    assert task_of(sweep, "reviews").slices_of("validation")[0].only is not None
    files["validation"] = {"de": "dev-de.csv"}  # type: ignore[assignment]
    sweep = sweep_with({**REVIEWS, "files": files}, **split)
    assert languages_of(sweep, task_of(sweep, "reviews")) == ("de",)


def test_only_what_is_scored_is_a_target() -> None:
    files = {"train": "train.csv"}
    changes = {"targets": ["mini_xnli"], "intermediates": {"own": {"tasks": ["reviews"]}}}
    assert not find_task(sweep_with({**REVIEWS, "files": files}, **changes), "reviews").is_target


def test_text_may_be_in_several_languages() -> None:
    files = {"train": {"en": "en.jsonl", "sw": "sw.jsonl"}}
    changes = {"targets": ["mini_xnli"], "intermediates": {"own": {"tasks": ["reviews"]}}}
    sweep = sweep_with({"kind": "mlm", "files": files}, **changes)
    task = find_task(sweep, "reviews")
    assert task.languages_of("train") == ("en", "sw") and set(task.splits) == {"train"}
    read = [(use, x) for one, use, x in reads(sweep) if one.name == "reviews"]
    assert read == [("train", "en"), ("train", "sw")]


def test_a_data_set_of_the_hub_is_read_by_its_own_names() -> None:
    task = find_task(
        sweep_with(
            {
                "kind": "pair",
                "hub": "me/reviews",
                "config": "{language}",
                "splits": {"train": "train", "test": "heldout"},
                "languages": ["de", "sw"],
                "columns": {"premise": "a"},
                "labels": ["no", "yes"],
            }
        ),
        "reviews",
    )
    (test,), (dev,) = task.slices_of("test"), task.slices_of("dev")
    assert (test.origin.hub_id, test.split, test.origin.config_of("sw")) == (
        "me/reviews",
        "heldout",
        "sw",
    )
    assert dev.only is not None and dev.only.column == "a", "as the files call it"


TRANSLATED = {
    "kind": "pair",
    "hub": "me/pairs",
    "config": "{language}",
    "splits": {"train": "train", "dev": "dev", "test": "test"},
    "languages": ["en", "sw"],
    "labels": ["no", "yes"],
    "translations": ["en", "de"],
    "parallel": True,
}


def test_training_rows_of_a_data_set_of_the_hub_may_be_there_in_translation() -> None:
    german = {"tasks": ["reviews"], "languages": ["de"], "translated": True}
    sweep = sweep_with(TRANSLATED, intermediates={"german": german})
    task = find_task(sweep, "reviews")
    assert task.is_parallel and task.languages == ("en", "sw")
    (rows,) = task.variant(True, None).slices_of("train")
    assert (rows.origin.config_of("de"), rows.split) == ("de", "train")
    lacking = {**german, "languages": ["tr"]}
    with pytest.raises(ConfigError, match="reviews has no translation in this language"):
        sweep_with(TRANSLATED, intermediates={"turkish": lacking})


def test_translations_are_in_configurations_of_their_own() -> None:
    with pytest.raises(ConfigError, match="has the place of the language, where there are trans"):
        sweep_with({**TRANSLATED, "config": "default", "languages": ["en"]})
    files = {"kind": "pair", "files": {"train": "a.csv"}, "labels": ["no", "yes"]}
    with pytest.raises(ConfigError, match="`translations` is of a data set of the Hub"):
        sweep_with({**files, "translations": ["de"]})


def loaded(folder: Path, files: str, labels: str = "[neg, pos]") -> Sweep:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(FILE % (files, labels))
    return load_sweep(folder / "sweep.yaml")


def test_paths_are_relative_to_the_sweep_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "a [1]"
    sweep = loaded(folder, "{train: [data/*.csv, /other/b.csv], test: {de: ~/de.csv, sw: x.csv}}")
    files = sweep.tasks["reviews"].files
    assert files is not None and isinstance(files.test, dict)
    assert files.train == (f"{tmp_path}/a [[]1]/data/*.csv", "/other/b.csv")
    assert files.test == {"de": f"{tmp_path}/home/de.csv", "sw": f"{folder}/x.csv"}
    stored = sweep.model_dump(mode="json", by_alias=True)
    assert parse_sweep(stored, "stored") == sweep


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[1, 5]", ("1", "5")),
        ("{1: neg, 5: pos}", {"1": "neg", "5": "pos"}),
        ("[yes, no]", ("yes", "no")),
        ("{true: 1, 1.0: 2}", {"true": "1", "1.0": "2"}),
    ],
)
def test_labels_are_what_stands_in_the_files(tmp_path: Path, written: str, expected: Any) -> None:
    sweep = loaded(tmp_path, "{train: a.csv, test: b.csv}", written)
    assert sweep.tasks["reviews"].labels == expected
