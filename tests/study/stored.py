"""A storage with the records of a study whose effects are planted, and what its items gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.report.results import Results, load_results
from xstilts.run.outcomes import Items, outcomes_path, write_outcomes
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.storage import open_storage
from xstilts.scores.outcomes import Outcomes
from xstilts.study.registration import register

from ..conftest import make_stage
from ..trial_records import entry_json, record_json

LANGUAGES = ("en", "de", "ru", "zh", "vi", "tr", "sw")
SEEDS = (0, 1, 2, 3, 4)
STUDY: dict[str, Any] = {
    "question": "Which?",
    "arms": {
        "english": {"intermediates": ["mnli_en"]},
        "others": {"intermediates": ["mnli_tr", "mnli_sw"]},
        "none": {"intermediates": ["none"]},
    },
    "contrasts": {
        "first": {"arms": ["others", "english"], "differ_in": ["languages"]},
        "second": {"arms": ["english", "none"], "differ_in": ["intermediate"]},
    },
    "primary": ["first"],
    "seeds": 5,
}
FILE: dict[str, Any] = {
    "name": "s",
    "benchmark": "custom",
    "recipe": "standard",
    "models": {"xlmr": {"path": "FacebookAI/xlm-roberta-base"}},
    "intermediates": {
        f"mnli_{code}": {"tasks": ["mnli"], "languages": [code], "translated": True}
        for code in ("en", "tr", "sw")
    },
    "targets": ["xnli"],
    "languages": {"xnli": list(LANGUAGES)},
    "seeds": list(SEEDS),
    "search": {"encoder": {"trials": 4, "sampler": {"name": "grid"}}},
    "study": STUDY,
}
METRICS = {"xnli": "accuracy", "udpos": "f1", "panx": "f1"}

Score = Callable[[str, int, str, str], float]
"""The score of an intermediate with a seed on a target in a language; NaN where there is none."""


def study_sweep(
    study: Mapping[str, Any] = {}, contrast: Mapping[str, Any] = {}, **changes: Any
) -> Sweep:
    """The sweep, with keys of its study, of its first contrast and of its file changed."""
    document = deepcopy({**FILE, **changes})
    if document["study"]:
        document["study"] |= deepcopy(dict(study))
        document["study"]["contrasts"]["first"] |= contrast
    return parse_sweep(document, "s.yaml")


def launched_places(root: Path, sweep: Sweep, launch: int = 1) -> Places:
    """The storage, with the launch of a sweep whose trials have begun; its study is registered."""
    open_storage(root)
    places = Places(root, sweep.name)
    for folder in (places.sweep, places.launches, places.trials, places.launch(launch)):
        folder.mkdir(exist_ok=True)
    for name in (TARGET_POINTS, INVENTORY):
        write_json(places.launch(launch) / name, {})
    write_json(places.launch(launch) / SWEEP, sweep.model_dump(mode="json", by_alias=True))
    register(sweep, places, {}, launch)
    return places


def put(
    places: Places, sweep: Sweep, intermediate: str, seed: int, score: Score, **changes: Any
) -> None:
    """A finished trial, with the scores of all targets and languages."""
    config = changes.pop("config", f"{intermediate}-c")
    trial = f"{config}-s{seed}"
    dev = changes.pop("dev", 70.0)
    rows, stages = [], []
    for target in sweep.targets:
        languages = sweep.languages[target]  # type: ignore[index] # said by target
        own = [("dev", "en", dev)]
        own += [("test", code, score(intermediate, seed, target, code)) for code in languages]
        rows += [
            {"target": target, "split": split, "language": code, "metric": METRICS[target],
             "value": value, "n": 100, "is_chosen": True, "cell": "", "trial": trial,
             "config": config, "intermediate": intermediate, "model": "xlmr", "seed": seed}
            for split, code, value in own
            if np.isfinite(value)
        ]  # fmt: skip
        stages.append(entry_json(evaluation(target, trial)))
    if intermediate != "none":
        stages.append(entry_json(f"intermediate-{intermediate}-{seed}", steps=300))
    record = record_json(
        trial, config=config, intermediate=intermediate, seed=seed, model="xlmr",
        point={"intermediate": intermediate, **changes.pop("point", {})}, scores=rows,
        metrics={"cost/hours": 0.1},
        stages=stages, examples={} if intermediate == "none" else {"mnli": {"en": 9600}}, **changes,
    )  # fmt: skip
    (places.trials / trial).mkdir(exist_ok=True)
    write_json(places.trials / trial / "record.json", record)


def put_all(places: Places, sweep: Sweep, score: Score, **changes: Any) -> Results:
    """All trials of the sweep."""
    for intermediate in ("none", *sweep.intermediates):
        for seed in sweep.seeds:
            put(places, sweep, intermediate, seed, score, **changes)
    return load_results(places)


def planted(effects: Mapping[str, float], spread: float = 0.5) -> Score:
    """Scores about 60 with an effect by intermediate; runs of a seed share a part."""

    def score(intermediate: str, seed: int, target: str, language: str) -> float:
        shared = np.random.default_rng([seed, 7]).normal(0, spread)
        name = int.from_bytes(f"{intermediate}{target}".encode()[-8:], "big")
        own = np.random.default_rng([seed, name]).normal(0, spread)
        code = int.from_bytes(f"{target}{language}".encode()[-8:], "big")
        ease = np.random.default_rng([code]).normal(0, 5)
        return float(60 + ease + shared + own + effects.get(intermediate, 0.0))

    return score


def evaluation(target: str, trial: str) -> str:
    """The stage that scored a target in a trial."""
    return f"evaluate-{target}-{trial.replace('-', '')}"


def put_items(places: Places, trial: str, target: str, hits: Mapping[str, Sequence[float]]) -> None:
    """What each item of an evaluation gave, by language; equal places are one item."""
    items = {
        code: Items(
            Outcomes.of({METRICS[target]: [(own, np.ones(len(own)), np.ones(len(own)))]}),
            [str(i) for i in range(len(own))],
        )
        for code, own in hits.items()
    }
    (places.storage / "tmp").mkdir(exist_ok=True)
    write_outcomes(places.storage / "tmp", target, items)
    result = make_stage(
        places.storage, evaluation(target, trial), {f"predictions/{target}/test-en.tsv": "a\n"}
    )
    path = outcomes_path(result, target)
    path.parent.mkdir()
    outcomes_path(places.storage / "tmp", target).rename(path)
