"""What probes say of a study's arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.files import read_json, write_json
from xstilts.report.results import load_results
from xstilts.run.places import Places
from xstilts.study.analysis import answered
from xstilts.study.answer import Answer, Probed

from .stored import SEEDS, launched_places, planted, put_all, study_sweep

BEFORE = {
    "fertility/tr": 2.0, "alignment/tr": 10.0, "alignment/sw": 20.0, "alignment/tr/00": 5.0,
    "pseudo_perplexity/tr": 2.0, "pseudo_perplexity/sw": 8.0,
}  # fmt: skip
PROBES = {
    "read": ["fertility", "alignment", "pseudo_perplexity"],
    "parallel": "ntrex",
    "languages": ["tr", "sw"],
}


def probed_places(root: Path) -> Places:
    """After Turkish data probes are three times those before, and one more by seed; after Swahili
    twice."""
    sweep = study_sweep(probes=PROBES)
    places = launched_places(root, sweep)
    put_all(places, sweep, planted({}))
    for seed in SEEDS:
        told(places, f"none-c-s{seed}", dict(BEFORE))
        told(places, f"mnli_en-c-s{seed}", dict(BEFORE))
        told(places, f"mnli_tr-c-s{seed}", {key: 3 * x + seed for key, x in BEFORE.items()})
        told(places, f"mnli_sw-c-s{seed}", {key: 2 * x for key, x in BEFORE.items()})
    return places


def told(places: Places, trial: str, probes: dict[str, float], **changes: Any) -> None:
    path = places.trials / trial / "record.json"
    write_json(path, {**read_json(path), "probes": probes, **changes})


def of(answer: Answer, arm: str, probe: str, language: str | None) -> Probed:
    (found,) = (x for x in answer.probes if (x.arm, x.probe, x.language) == (arm, probe, language))
    return found


def test_an_arm_is_the_mean_of_its_trials_beside_the_pretrained(tmp_path: Path) -> None:
    answer = answered(load_results(probed_places(tmp_path)))
    found = of(answer, "others", "alignment", "tr")
    assert (found.before, found.after) == (10, (32 + 20) / 2)
    found = of(answer, "others", "alignment", None)
    assert (found.before, found.after) == (15, (26 + 51) / 2)
    perplexity = of(answer, "none", "pseudo_perplexity", None)
    assert (perplexity.before, perplexity.after) == (4, 4), "a geometric mean"
    assert [x.language for x in answer.probes if (x.arm, x.probe) == ("none", "fertility")] == [
        None,
        "tr",
    ]
    assert answer.unprobed == ()


def test_what_one_encoder_lacks_is_a_hole_and_says_why(tmp_path: Path) -> None:
    places = probed_places(tmp_path)
    lacking = {key: x for key, x in BEFORE.items() if key != "alignment/sw"}
    told(places, "mnli_sw-c-s3", lacking, probe_holes={"alignment": "why not"})
    answer = answered(load_results(places))
    assert of(answer, "others", "alignment", None).after is None
    assert of(answer, "others", "alignment", "sw").after is None
    assert of(answer, "others", "alignment", "tr").after is not None
    assert of(answer, "english", "alignment", None).after == 15
    assert "Not probed: alignment of xlmr: why not." in answer.limits


def test_a_study_without_probes_has_none(tmp_path: Path) -> None:
    sweep = study_sweep()
    answer = answered(put_all(launched_places(tmp_path, sweep), sweep, planted({})))
    assert (answer.probes, answer.unprobed) == ((), ())
