"""Targets in translation: wrong ones give one line each; a right one is read as the file says."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import (
    languages_of,
    links_of,
    overlaps,
    part_task,
    reads,
)
from xstilts.config.load import parse_sweep
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.errors import ConfigError

GERMAN = {"languages": ["de"], "translated": True}


def sweep_of(**changes: Any) -> Sweep:
    head = {
        "name": "s",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "targets": ["xnli", "pawsx", "xquad", "mlqa", "udpos"],
    }
    return parse_sweep({**head, **changes}, "s.yaml")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"train": {"udpos": GERMAN}},
            "train.udpos: the training set of udpos is not there in translation; targets that have "
            "one: xnli, pawsx, xquad",
        ),
        (
            {"train": {"mlqa": GERMAN}},
            "train.mlqa: mlqa reads the stage of xquad, and has no chain of its own; write it "
            "under train.xquad, for both",
        ),
        (
            {"train": {"pawsx": {**GERMAN, "languages": ["sw"]}}},
            "train.pawsx.languages[0]: the training set of pawsx was not translated to it; got "
            '"sw"; known: de, es, fr, ja, ko, zh',
        ),
        (
            {"train": {"pawsx": {**GERMAN, "languages": ["de", "fr"]}}},
            "train.pawsx.languages: a target is trained in one language, whose dev set selects; "
            "got ['de', 'fr']; a sweep for each",
        ),
        (
            {"train": {"xnli": {**GERMAN, "translated": False}}},
            "train.xnli.translated: xnli has training rows in other languages in translation "
            "alone; got false; write true",
        ),
        ({"train": {"xnli": {"languages": ["de"]}}}, "train.xnli.translated: is required; add it"),
        (
            {"train": {"xquad": {**GERMAN, "normalise": "detokenise"}}},
            "train.xquad.normalise: answers of xquad are at places in the text, which must stay as "
            'it is; got "detokenise"; leave it out',
        ),
        (
            {"train": {"tydiqa": GERMAN}},
            'train.tydiqa: is a target of this sweep; got "tydiqa"',
        ),
        (
            {"targets": ["xcopa", "xnli"], "evaluation": {"translated": True}},
            "evaluation.translated: no test set of xnli was translated to English; got true; "
            "targets that have one: xcopa",
        ),
        (
            {"targets": ["xcopa"], "benchmark": "xtreme-r", "evaluation": {"translated": True}},
            "evaluation.translated: scores of translations are no figures of a benchmark; got "
            "benchmark: xtreme-r; write benchmark: custom",
        ),
        (
            {"targets": ["xcopa"], "evaluation": {"translated": True}, "languages": ["qu"]},
            "languages: xcopa has none of them; got ['qu']",
        ),
    ],
)
def test_wrong_files_give_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep_of(**changes)
    (told,) = str(caught.value).splitlines()
    assert told.startswith(f"s.yaml: {line}"), told


def rows_read(sweep: Sweep) -> set[tuple[str, str, str, str]]:
    """Task, use, language and the configuration that it is read from."""
    return {
        (task.name, use, language, one.origin.config_of(language))
        for task, use, language in reads(sweep)
        for one in task.slices_of(use)
    }


def test_a_target_is_trained_and_selected_in_the_language() -> None:
    sweep = sweep_of(
        train={"xnli": GERMAN, "pawsx": {**GERMAN, "languages": ["fr"]}, "xquad": GERMAN},
        languages=["de", "fr"],
        intermediates={"mnli": {"tasks": ["mnli"]}, "pawsx": {"tasks": ["pawsx"]}},
    )
    found = rows_read(sweep)
    assert {row for row in found if row[1] in ("train", "dev")} >= {
        ("xnli", "train", "de", "de"),
        ("xnli", "dev", "de", "de"),
        ("pawsx", "train", "fr", "fr"),
        ("pawsx", "dev", "fr", "fr"),
        ("xquad", "train", "de", "de"),
        ("xquad", "dev", "de", "de"),
        # As an intermediate it stays what it is.
        ("pawsx", "train", "en", "en"),
        ("udpos", "train", "en", "en"),
    }
    assert not {("xnli", "train", "en", "mnli"), ("xquad", "train", "en", "plain_text")} & found
    assert part_task(sweep, sweep.intermediates["pawsx"], "pawsx").train_language == "en"
    assert [find_task(sweep, name).train_language for name in sweep.targets] == [
        *("de", "fr", "de", "de"),
        "en",
    ]
    assert overlaps(sweep, "mnli", "xnli"), "the same rows in another language"
    notes = "\n".join(selection_notes(sweep))
    assert "xquad: trained on translations to de, selected on dev rows in it" in notes
    assert "same articles" not in notes, "no dev row of SQuAD selects"


def test_articles_of_the_translated_set_select_and_do_not_train() -> None:
    for selection in ({}, {"articles": "held_out"}):
        (link,) = links_of(sweep_of(train={"xquad": GERMAN}, selection=selection), "xquad")
        (train,), (dev,) = link.slices_of("train"), link.slices_of("dev")
        assert train.origin.hub_id == dev.origin.hub_id == "xstilts/squad_translated"
        assert train.without == dev.only is not None and link.cuts_dev_from_train


def test_what_is_scored_in_translation_keeps_its_languages_names() -> None:
    sweep = sweep_of(targets=["xcopa"], evaluation={"translated": True})
    scored = {row for row in rows_read(sweep) if row[1] == "test"}
    assert ("xcopa", "test", "et", "translation-et") in scored and len(scored) == 10
    assert "qu" not in languages_of(sweep, find_task(sweep, "xcopa"))
    assert [task.name for task in links_of(sweep, "xcopa")] == ["siqa", "copa"]
    assert "scored on rows that were translated to English by machine" in selection_notes(sweep)
