"""Wrong `probes` give one line each, before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.config.derive import parallel_texts, probed_languages, reads
from xstilts.config.load import parse_sweep
from xstilts.config.probe_checks import unprobed_languages
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError

from ..conftest import make_sweep

TEXT = {"read": ["alignment"], "parallel": "mini_parallel"}


@pytest.mark.parametrize(
    ("probes", "line"),
    [
        (
            {"read": ["alinment"], "parallel": "mini_parallel"},
            "probes.read[0]: input should be 'fertility', 'anisotropy', 'alignment', "
            "'language_identity' or 'pseudo_perplexity'; got 'alinment'",
        ),
        (
            {"read": ["fertility", "alignment", "anisotropy"]},
            "probes: alignment, anisotropy need the name of a task with parallel text; "
            "write parallel: TASK",
        ),
        (
            {"read": ["alignment"], "parallel": "mini_xnli"},
            "probes.parallel: is a task of the kind retrieval, whose rows are sentences and their "
            'translations; got "mini_xnli"',
        ),
        (
            {**TEXT, "languages": ["qaa", "sw"]},
            'probes.languages: mini_parallel has no sentences in it; got "sw"',
        ),
        (
            {**TEXT, "parallel": "ntrex"},
            "probes.languages: ntrex has none of the languages that are probed, beside English",
        ),
        (
            {"read": ["fertility"], "parallel": "mini_parallel"},
            "probes.parallel: fertility alone reads no parallel text; leave it out",
        ),
        (
            {**TEXT, "read": ["alignment", "alignment"]},
            "probes.read: a probe stands once; got ['alignment', 'alignment']",
        ),
        (
            {**TEXT, "sentences": 5},
            "probes.sentences: input should be greater than or equal to 10; got 5",
        ),
        ({**TEXT, "read": []}, "probes.read: names a probe or more; leave `probes` out for none"),
        (["alignment"], "probes: is a mapping; got ['alignment']; its keys are read, parallel"),
    ],
)
def test_what_is_wrong_is_one_line(probes: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_sweep(probes=probes)
    (told,) = map(str, caught.value.problems)
    assert line in told and caught.value.exit_status == 2


def test_languages_are_those_that_are_scored_and_that_the_text_has() -> None:
    sweep = make_sweep(probes=TEXT, languages=["en", "qac", "qaa"])
    assert probed_languages(sweep) == ("qaa", "qac") and unprobed_languages(sweep) == []
    asked = make_sweep(probes={**TEXT, "languages": ["en", "qaf"]}, languages=["en", "qaa"])
    assert probed_languages(asked) == ("qaf",) and unprobed_languages(asked) == []
    named = {name: languages for name, (_, languages) in parallel_texts(asked).items()}
    assert named == {"probes.parallel": ("qaf",)}
    assert [(use, x) for task, use, x in reads(asked) if task.name == "mini_parallel"] == [
        ("validation", "qaf")
    ]
    xnli: Sweep = parse_sweep(
        {
            "name": "s", "benchmark": "custom", "recipe": "mini",
            "models": {"m": {"path": "m"}}, "data": {"root": "d"}, "targets": ["xcopa_fixed"],
            "probes": {"read": ["alignment"], "parallel": "ntrex"},
        },
        "test",
    )  # fmt: skip
    assert unprobed_languages(xnli) == ["ht", "qu"], "named where the numbers are"


def test_a_sweep_without_probes_reads_no_parallel_text() -> None:
    sweep = make_sweep()
    assert parallel_texts(sweep) == {} and probed_languages(sweep) == ()
    assert unprobed_languages(sweep) == []
    only = make_sweep(probes={"read": ["fertility"]})
    assert parallel_texts(only) == {} and only.probes is not None and only.probes.of_text == ()
