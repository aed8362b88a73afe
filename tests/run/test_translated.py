"""Translate-train and translate-test on real records: what trains, selects and is scored is read in
translation, and what reads nothing in it stays the same stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import parse_sweep
from xstilts.data.encoding import TokenCache
from xstilts.data.importers import import_folder
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, Rows, Train, fingerprint
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.inputs import take_inventory
from xstilts.run.reopen import workshop_of
from xstilts.run.trial import run_trial
from xstilts.search.proposals import target_points
from xstilts.tracking.runs import trial_run
from xstilts.training.model import load_tokenizer

from ..conftest import make_places

POINT = {"model": "tiny", "intermediate": "none"}
SHORT = {"name": "small", "epochs": 0.1, "checks": 1}
GERMAN = {"languages": ["de"], "translated": True}


@pytest.fixture(scope="module")
def mirror(records: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records, and English in place of a translation of XCOPA's Estonian questions."""
    root, folder = records["cambridgeltl/xcopa"].parents[1], tmp_path_factory.mktemp("gmt")
    for split in ("val", "test"):
        lines = (data / f"xcopa/data/et/{split}.et.jsonl").read_text().splitlines()[:8]
        rows = [{**json.loads(line), "premise": f"The tea {i}."} for i, line in enumerate(lines)]
        path = folder / f"xcopa/data-gmt/et/{split}.et.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, rows)))
    import_folder(folder, root)
    return root


class Arm:
    """A sweep of one arm, planned."""

    def __init__(self, storage: Path, mirror: Path, model: Path, **changes: Any):
        self.places = make_places(storage)
        head = {
            "name": "s",
            "benchmark": "custom",
            "recipe": {**SHORT, "max_length": 64, "dev_examples": 20},
            "models": {"tiny": {"path": str(model)}},
            "data": {"root": str(mirror)},
        }
        self.sweep = parse_sweep({**head, **changes}, "here")
        self.inventory = take_inventory(self.sweep, self.places)
        self.planner = Planner(self.sweep, self.inventory, target_points(self.sweep))
        self.plan: TrialPlan = self.planner.plan(POINT, 0)

    def stages(self, target: str) -> tuple[Train, Evaluate]:
        """The training of a target, its last link's, and its evaluation."""
        (group,) = (group for group in self.plan.target_sets if target in group.targets)
        cell = group.cells[0]
        return cell.stage, self.planner.evaluation(self.plan, target, cell)

    def ids(self, rows: Rows, language: str, model: Path) -> list[list[int]]:
        folders = {name: Path(folder) for name, folder in self.inventory.folders.items()}
        cache = TokenCache(self.places.storage, folders, load_tokenizer(model), "t")
        found: list[list[int]] = cache.encoded(rows, language).features["input_ids"].to_pylist()
        return found

    def run(self) -> TrialRecord:
        folder = self.places.trials / self.plan.trial_id
        record = run_trial(self.plan, self.planner, workshop_of(self.planner, self.places), folder)
        assert record.state == "finished", record.error
        return record


def make(tmp_path: Path, name: str, mirror: Path, model: Path, **changes: Any) -> Arm:
    (tmp_path / name).mkdir()
    return Arm(tmp_path / name, mirror, model, **changes)


def test_a_target_is_trained_and_scored_in_its_language(
    tmp_path: Path, mirror: Path, tiny_model: Path
) -> None:
    both = {"targets": ["pawsx", "xnli"], "languages": ["de", "fr"]}
    arm = make(
        tmp_path,
        "run",
        mirror,
        tiny_model,
        **{**both, "targets": ["pawsx"]},
        train={"pawsx": GERMAN},
    )
    record = arm.run()
    scored = {row["language"] for row in record.scores if row["split"] == "test"}
    assert scored == {"de", "fr"}
    assert {row["language"] for row in record.scores if row["split"] == "dev"} == {"de"}
    assert record.metrics["pawsx/zero_shot"] == record.metrics["pawsx/fr"]
    told = trial_run(arm.sweep, record, {}, []).tags["noncomparable"]
    assert "trained on translations: pawsx" in told
    train, _ = arm.stages("pawsx")
    (part,) = train.parts
    text = load_tokenizer(tiny_model).decode(arm.ids(part.train, "de", tiny_model)[0])
    assert "traf er sich" in text
    # Another target beside it is the same stage as in a sweep that translates nothing.
    german = make(tmp_path, "german", mirror, tiny_model, **both, train={"pawsx": GERMAN})
    english = make(tmp_path, "english", mirror, tiny_model, **both)
    pairs = zip(german.stages("xnli"), english.stages("xnli"), strict=True)
    assert all(fingerprint(one) == fingerprint(other) for one, other in pairs)
    assert fingerprint(german.stages("pawsx")[0]) == fingerprint(train)
    assert fingerprint(train) != fingerprint(english.stages("pawsx")[0])


def test_text_in_tokens_is_brought_to_natural_text(
    tmp_path: Path, mirror: Path, tiny_model: Path
) -> None:
    found = []
    for name, more in (("tokens", {}), ("natural", {"normalise": "detokenise"})):
        train = {"xnli": {**GERMAN, **more}}
        arm = make(tmp_path, name, mirror, tiny_model, targets=["xnli"], train=train)
        (part,) = arm.stages("xnli")[0].parts
        assert part.dev is not None and part.dev.normaliser is None
        found.append(arm.ids(part.train, "de", tiny_model))
    tokens, natural = found
    assert tokens != natural and len(tokens) == len(natural) == 4


def test_what_is_scored_is_read_in_english(tmp_path: Path, mirror: Path, tiny_model: Path) -> None:
    target = {"targets": ["xcopa"], "languages": ["et"], "train": {"xcopa": ["copa"]}}
    test = {"split": "test", "translated": True}
    arm = make(tmp_path, "test", mirror, tiny_model, **target, evaluation=test)
    plain = make(tmp_path, "plain", mirror, tiny_model, **target)
    train, scored = arm.stages("xcopa")
    other, own = plain.stages("xcopa")
    assert fingerprint(train) == fingerprint(other), "what trains is English as before"
    assert scored.rows.num_rows == 8 and fingerprint(scored) != fingerprint(own)
    text = load_tokenizer(tiny_model).decode(arm.ids(scored.rows, "et", tiny_model)[0][0])
    assert "The tea" in text
    record = arm.run()
    assert {row["language"] for row in record.scores if row["split"] == "test"} == {"et"}
    assert "translations to English" in trial_run(arm.sweep, record, {}, []).tags["noncomparable"]
