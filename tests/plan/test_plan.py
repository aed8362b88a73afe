"""Plans: which stages a trial has, and which trials share them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import parse_sweep
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import Sweep
from xstilts.config.space import Point
from xstilts.errors import ConfigError
from xstilts.plan.inventory import Inventory, ModelFacts, check_rows, row_key
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Pretrained, Train, fingerprint, retrieval_layer
from xstilts.plan.trial_plan import TrialPlan
from xstilts.tasks import known_tasks, lookup
from xstilts.tasks.task import NORMALISERS

TARGETS = ("mini_xnli", "mini_udpos", "mini_tatoeba")
NUM_ROWS = {"train": 640, "dev": 100, "validation": 100, "test": 200}
MIXTURE = {"tasks": ["mini_nli", "mini_qa"], "budget": {"examples": 96}}
FACTS = ModelFacts("/models/mini", "weights", "tokenizer", num_layers=12, num_bytes=1000)

INVENTORY = Inventory(
    models={"mini": FACTS},
    folders={},
    data={
        source.hub_id: f"sha of {source.hub_id}"
        for task in known_tasks()
        for use in task.splits
        for source in task.sources_of(use)
    },
    rows={
        row_key(task, use, language): NUM_ROWS.get(use, 50)
        for task in known_tasks()
        for use in task.splits
        for language in task.languages
    },
)


def sweep_with(**sections: Any) -> Sweep:
    head = {
        "name": "small",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": "builtin:mini"},
        "targets": list(TARGETS),
        "intermediates": {
            "nli": {"tasks": ["mini_nli"]},
            "even": {**MIXTURE, "rates": {"mini_nli": 1, "mini_qa": 1}},
            "half": {**MIXTURE, "rates": {"mini_nli": 0.5, "mini_qa": 0.5}},
            "only_nli": {**MIXTURE, "rates": {"mini_nli": 1, "mini_qa": 0}},
            "small_nli": {"tasks": ["mini_nli"], "budget": {"examples": 96}},
            "searched": {**MIXTURE, "rates": "search"},
            "text": {"tasks": ["mini_mlm"], "mlm": {"languages": ["qaa", "qab"], "alpha": 0.5}},
        },
        "search": {"encoder": {"space": {"intermediate.rates": {"simplex": True}}}},
    }
    return parse_sweep({**head, **sections}, "here")


def plan(
    intermediate: str = "none",
    seed: int = 0,
    sweep: Sweep | None = None,
    inventory: Inventory = INVENTORY,
    cells: tuple[Point, ...] = ({"learning_rate": 1e-3}, {"learning_rate": 2e-3}),
    **point: Any,
) -> TrialPlan:
    points = dict.fromkeys(TARGETS, cells)
    planner = Planner(sweep or sweep_with(), inventory, points)
    return planner.plan({"model": "mini", "intermediate": intermediate, **point}, seed)


def stages_of(trial: TrialPlan) -> list[str]:
    """Fingerprints of the training stages, in order: the intermediate, then every cell."""
    return [fingerprint(stage) for stage in trial.training_stages]


def test_baseline_has_no_intermediate_stage() -> None:
    trial = plan("none")
    assert isinstance(trial.encoder, Pretrained)
    assert trial.encoder is trial.pretrained and trial.rates == {}
    assert [stage.phase for stage in trial.training_stages] == ["target"] * 4
    assert all(stage.parent is trial.pretrained for stage in trial.training_stages)


def test_cells_hang_on_the_intermediate_stage() -> None:
    trial = plan("nli")
    assert isinstance(trial.encoder, Train)
    assert trial.encoder.parent is trial.pretrained and trial.rates == {"mini_nli": 1.0}
    assert trial.training_stages[0] is trial.encoder
    assert [stage.phase for stage in trial.training_stages] == ["intermediate"] + ["target"] * 4
    assert all(stage.parent is trial.encoder for stage in trial.training_stages[1:])


def test_cells_are_the_points_of_the_inner_search() -> None:
    trial = plan("nli")
    assert [group.name for group in trial.target_sets] == list(TARGETS)
    for group in trial.target_sets[:2]:
        assert [cell.stage.recipe.learning_rate for cell in group.cells] == [1e-3, 2e-3]
        assert [cell.point for cell in group.cells] == [
            {"learning_rate": 1e-3},
            {"learning_rate": 2e-3},
        ]
        (part,) = group.cells[0].stage.parts
        assert (part.train.task, part.train.rows) == (group.name, (("en", 640),))
        assert part.dev is not None and part.dev.rows == (("en", 100),)
        epochs = RECIPES["mini"].for_task("target", group.name, {}).epochs
        assert part.examples == round(epochs * 640), "epochs of the recipe"


def test_retrieval_target_has_no_cells_and_is_evaluated_on_the_encoder() -> None:
    trial = plan("nli")
    retrieval = trial.target_sets[-1]
    assert (retrieval.targets, retrieval.cells) == (("mini_tatoeba",), ())
    planner = Planner(sweep_with(), INVENTORY, {})
    evaluation = planner.evaluation(trial, "mini_tatoeba", None)
    assert evaluation.parent is trial.encoder and evaluation.layer == 8
    assert [language for language, _ in evaluation.rows.rows] == list(
        lookup("mini_tatoeba").languages
    )
    assert planner.evaluation(trial, "mini_xnli", trial.target_sets[0].cells[0]).layer is None


def test_a_target_is_evaluated_at_the_length_it_was_trained_at() -> None:
    trial = plan("nli")
    cell = trial.target_sets[0].cells[0]
    planner = Planner(sweep_with(), INVENTORY, {})
    longer = replace(cell, point={**cell.point, "max_length": 48})
    assert planner.evaluation(trial, "mini_xnli", longer).rows.max_length == 48
    assert planner.evaluation(trial, "mini_xnli", cell).rows.max_length != 48


@pytest.mark.parametrize(("depth", "layer"), [(12, 8), (24, 14), (2, 1), (1, 1), (6, 4)])
def test_retrieval_layer_by_depth(depth: int, layer: int) -> None:
    assert retrieval_layer(depth) == layer


def test_evaluation_reads_the_split_and_languages_of_the_sweep() -> None:
    sweep = sweep_with(evaluation={"split": "validation"}, languages=["qab", "en"])
    evaluation = Planner(sweep, INVENTORY, {}).evaluation(plan(), "mini_xnli", None)
    assert evaluation.rows.rows == (("en", 100), ("qab", 100))
    assert evaluation.split == evaluation.rows.use == "validation"
    test = Planner(sweep_with(), INVENTORY, {}).evaluation(plan(), "mini_xnli", None)
    assert fingerprint(test) != fingerprint(evaluation)


def test_equal_mixtures_under_two_names_share_their_stages() -> None:
    even, half = plan("even"), plan("half")
    assert stages_of(even) == stages_of(half)
    assert (even.trial_id, even.config_id) != (half.trial_id, half.config_id)


def test_searched_rates_share_the_stage_of_written_ones() -> None:
    searched = plan("searched", **{"intermediate.rates": {"mini_nli": 0.5, "mini_qa": 0.5}})
    assert stages_of(searched) == stages_of(plan("even"))
    assert searched.rates == {"mini_nli": 0.5, "mini_qa": 0.5}


def test_task_with_rate_0_takes_no_part() -> None:
    only, small = plan("only_nli"), plan("small_nli")
    assert isinstance(only.encoder, Train)
    assert [(part.train.task, part.examples) for part in only.encoder.parts] == [("mini_nli", 96)]
    assert only.rates == {"mini_nli": 1.0}
    assert stages_of(only) == stages_of(small)


def test_mixture_divides_its_budget_by_rates() -> None:
    rates = {"mini_nli": 0.875, "mini_qa": 0.125}
    encoder = plan("searched", **{"intermediate.rates": rates}).encoder
    assert isinstance(encoder, Train)
    assert [(part.train.task, part.examples) for part in encoder.parts] == [
        ("mini_nli", 84),
        ("mini_qa", 12),
    ]


def test_mlm_takes_its_languages_with_smoothed_shares() -> None:
    qab = row_key(lookup("mini_mlm"), "train", "qab")
    inventory = replace(INVENTORY, rows={**INVENTORY.rows, qab: 160})
    encoder = plan("text", inventory=inventory).encoder
    assert isinstance(encoder, Train)
    (part,) = encoder.parts
    assert part.train.rows == (("qaa", 640), ("qab", 160)) and part.dev is None
    assert part.shares == pytest.approx((2 / 3, 1 / 3)), "rows ** 0.5 is 2 to 1"
    assert part.examples == round(RECIPES["mini"].intermediate.epochs * 800)
    assert part.by_language == {"qaa": 533, "qab": 267}


@pytest.mark.parametrize("intermediate", ["none", "nli"])
def test_seeds_share_nothing_that_is_trained(intermediate: str) -> None:
    first, second = plan(intermediate, seed=0), plan(intermediate, seed=1)
    assert not set(stages_of(first)) & set(stages_of(second))
    assert fingerprint(first.pretrained) == fingerprint(second.pretrained)
    assert first.config_id == second.config_id
    assert first.trial_id != second.trial_id


def test_intermediate_learning_rate_changes_the_encoder_and_what_hangs_on_it() -> None:
    low, high = (plan("nli", **{"intermediate.learning_rate": rate}) for rate in (1e-4, 2e-4))
    assert not set(stages_of(low)) & set(stages_of(high))
    assert fingerprint(low.pretrained) == fingerprint(high.pretrained)
    assert isinstance(low.encoder, Train) and isinstance(high.encoder, Train)
    assert low.encoder == replace(
        high.encoder, recipe=replace(high.encoder.recipe, learning_rate=1e-4)
    )
    for one, other in zip(low.training_stages[1:], high.training_stages[1:], strict=True):
        assert replace(one, parent=other.parent) == other


def test_target_learning_rate_changes_its_cell_alone() -> None:
    one = plan("nli", cells=({"learning_rate": 1e-3}, {"learning_rate": 2e-3}))
    other = plan("nli", cells=({"learning_rate": 1e-3}, {"learning_rate": 3e-3}))
    same = [a == b for a, b in zip(stages_of(one), stages_of(other), strict=True)]
    assert same == [True, True, False, True, False]
    assert one.config_id == other.config_id, "the inner search is no configuration"


def test_parameter_of_the_outer_search_reaches_every_cell_and_not_the_encoder() -> None:
    one, other = plan("nli"), plan("nli", **{"target.weight_decay": 0.5})
    assert stages_of(one)[0] == stages_of(other)[0]
    assert not set(stages_of(one)[1:]) & set(stages_of(other)[1:])


def test_cell_of_a_target_does_not_hang_on_the_other_targets() -> None:
    alone = plan("nli", sweep=sweep_with(targets=["mini_udpos"]))
    assert set(stages_of(alone)) < set(stages_of(plan("nli")))


def test_place_and_names_of_the_inputs_do_not_count_but_their_content_does() -> None:
    moved = replace(
        INVENTORY,
        folders={"xstilts/mini_nli": "/elsewhere"},
        models={"mini": replace(FACTS, path="/x")},
    )
    assert stages_of(plan("nli", inventory=moved)) == stages_of(plan("nli"))
    for models, data in (
        ({"mini": replace(FACTS, weights="other")}, INVENTORY.data),
        ({"mini": replace(FACTS, tokenizer="other")}, INVENTORY.data),
        ({"mini": replace(FACTS, family_version=1)}, INVENTORY.data),
        (INVENTORY.models, {**INVENTORY.data, "xstilts/mini_nli": "other"}),
    ):
        changed = plan("nli", inventory=replace(INVENTORY, models=models, data=data))
        assert not set(stages_of(changed)) & set(stages_of(plan("nli")))
    other_target = {**INVENTORY.data, "xstilts/mini_xnli": "other"}
    changed = plan("nli", inventory=replace(INVENTORY, data=other_target))
    same = [a == b for a, b in zip(stages_of(changed), stages_of(plan("nli")), strict=True)]
    assert same == [True, False, False, True, True]


def test_gpu_trains_in_half_precision_and_shares_nothing_with_cpu() -> None:
    gpu = plan("nli", sweep=sweep_with(resources={"gpus_per_trial": 0.5}))
    assert {stage.precision for stage in gpu.training_stages} == {"bf16"}
    assert not set(stages_of(gpu)) & set(stages_of(plan("nli")))


def test_steps_of_a_mixture_are_shared_where_the_file_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The budget stays in examples: 96 of batches of 8 and 16, one step of each in turn."""
    recipe = RECIPES["mini"]
    per_task = {**recipe.per_task, "mini_qa": {"batch_size": 8}, "mini_nli": {"batch_size": 16}}
    monkeypatch.setitem(RECIPES, "mini", replace(recipe, per_task=per_task))
    found = {}
    for unit in ("examples", "steps"):
        mixture = {**MIXTURE, "rates": {"mini_nli": 1, "mini_qa": 1}, "unit": unit}
        trial = plan("mix", sweep=sweep_with(intermediates={"mix": mixture}, search={}))
        assert isinstance(trial.encoder, Train)
        assert dict(trial.rates) == {"mini_nli": 0.5, "mini_qa": 0.5}
        found[unit] = [(part.examples, part.num_steps) for part in trial.encoder.parts]
    assert found == {"examples": [(48, 3), (48, 6)], "steps": [(64, 4), (32, 4)]}


def test_a_recipe_by_name_plans_the_same_stages_and_an_override_others() -> None:
    named = stages_of(plan("nli", sweep=sweep_with(recipe={"name": "mini"})))
    assert named == stages_of(plan("nli"))
    same = {"name": "mini", "adam_epsilon": 1e-8, "targets": {"mini_udpos": {"epochs": 0.75}}}
    assert stages_of(plan("nli", sweep=sweep_with(recipe=same))) == named
    one = {"name": "mini", "targets": {"mini_udpos": {"batch_size": 8}}}
    found = plan("nli", sweep=sweep_with(recipe=one))
    changed = [old != new for old, new in zip(named, stages_of(found), strict=True)]
    assert changed == [False, False, False, True, True]
    assert {part.batch_size for part in found.training_stages[-1].parts} == {8}


def test_an_override_for_a_part_of_a_mixture_is_the_parts_own() -> None:
    said = {"name": "mini", "tasks": {"mini_qa": {"batch_size": 4, "max_length": 32}}}
    encoder = plan("even", sweep=sweep_with(recipe=said)).encoder
    assert isinstance(encoder, Train)
    shapes = [(part.batch_size, part.train.max_length) for part in encoder.parts]
    assert shapes == [(16, 64), (4, 32)]
    recipe = encoder.recipe_of(encoder.parts[1])
    assert (recipe.batch_size, recipe.max_length, recipe.epochs) == (4, 32, 48 / 640)


def test_the_precision_of_evaluation_is_its_own() -> None:
    """Without the key it is that of training; with it only evaluations are others."""

    def evaluations(**resources: Any) -> tuple[list[str], set[str], list[str]]:
        sweep = sweep_with(resources=resources)
        points: dict[str, tuple[Point, ...]] = {name: ({},) for name in TARGETS}
        planner = Planner(sweep, INVENTORY, points)
        trial = planner.plan({"model": "mini", "intermediate": "nli"}, 0)
        cells = [
            (name, group.cells[0])
            for group in trial.target_sets
            if group.cells
            for name in group.targets
        ]
        stages = [planner.evaluation(trial, name, cell) for name, cell in cells]
        trained = [fingerprint(stage) for stage in trial.training_stages]
        return trained, {stage.precision for stage in stages}, list(map(fingerprint, stages))

    for gpus, own, other in ((1, "bf16", "fp32"), (0, "fp32", "bf16")):
        usual = evaluations(gpus_per_trial=gpus)
        assert usual[1] == {own}
        assert evaluations(gpus_per_trial=gpus, evaluation_precision=own) == usual
        changed = evaluations(gpus_per_trial=gpus, evaluation_precision=other)
        assert changed[0] == usual[0] and changed[1] == {other}
        assert not set(changed[2]) & set(usual[2])


def test_a_confirmation_trains_the_stages_of_search_at_one_point_of_its_targets() -> None:
    sweep = sweep_with(targets=["xquad", "mlqa", "mini_xnli", "mini_tatoeba"])
    points = [{"learning_rate": 1e-4}, {"learning_rate": 1e-3}]
    planner = Planner(sweep, INVENTORY, dict.fromkeys(("xquad", "mini_xnli"), points))
    point = {"model": "mini", "intermediate": "nli"}
    whole = planner.plan(point, 7)
    own = planner.plan(point, 7, {"mlqa": points[1], "mini_tatoeba": {}})
    assert (whole.phase, own.phase) == ("search", "confirm")
    assert own.targets == ("mlqa", "mini_tatoeba") and len(whole.targets) == 4
    assert own.encoder == whole.encoder and own.trial_id == whole.trial_id
    # MLQA reads the stage of SQuAD, as XQuAD does.
    (cell,) = own.target_sets[0].cells
    assert cell == whole.target_sets[0].cells[1] and own.target_sets[1].cells == ()
    assert len(own.training_stages) == 2


def test_trial_id_names_intermediate_configuration_and_seed() -> None:
    trial = plan("nli", seed=1)
    assert trial.trial_id == f"nli-{trial.config_id[:8]}-s1"
    assert trial.config_id == plan("nli").config_id != plan("even").config_id


def test_english_goes_the_way_of_the_translations() -> None:
    """English beside German comes from the same data set, and both are brought to natural text."""
    spec = {"tasks": ["mnli"], "languages": ["en", "de"], "translated": True}
    sweep = sweep_with(
        intermediates={
            "own": {"tasks": ["mnli"]},
            "tokens": spec,
            "natural": {**spec, "normalise": "detokenise"},
        },
        search={},
    )
    task = lookup("mnli").variant(translated=True, where=None)
    counts = {row_key(task, "train", language): 70 for language in ("en", "de")}
    inventory = replace(INVENTORY, rows={**INVENTORY.rows, **counts})
    stages = {
        name: plan(name, sweep=sweep, inventory=inventory).encoder
        for name in ("own", "tokens", "natural")
    }
    assert len({fingerprint(stage) for stage in stages.values()}) == 3
    rows = {
        name: stage.parts[0].train for name, stage in stages.items() if isinstance(stage, Train)
    }
    assert rows["own"].source == "sha of nyu-mll/glue" and rows["own"].normaliser is None
    assert rows["tokens"].source == rows["natural"].source == "sha of facebook/xnli"
    assert rows["tokens"].rows == rows["natural"].rows == (("en", 70), ("de", 70))
    assert rows["natural"].normaliser == ("detokenise", NORMALISERS["detokenise"])
    assert replace(rows["natural"], normaliser=None) == rows["tokens"]
    dev = stages["natural"].parts[0].dev
    assert dev is not None and dev.source == "sha of nyu-mll/glue" and dev.normaliser is None


def test_inventory_survives_json() -> None:
    written = json.loads(json.dumps(INVENTORY.to_json()))
    assert Inventory.from_json(written) == INVENTORY
    # One of before knew of no version of a family, and what it planned keeps its name.
    del written["models"]["mini"]["family_version"]
    assert Inventory.from_json(written) == INVENTORY


def test_an_inventory_is_moved_with_the_folder_that_holds_its_inputs() -> None:
    there, then = Path("/there"), {"m": replace(FACTS, path="/there/hub/m")}
    held = replace(INVENTORY, models=then, folders={"a": "/there/mini", "b": "/elsewhere/b"})
    assert held.relative_to(there).under(there) == held
    moved = held.relative_to(there).under(Path("/here"))
    assert moved.models["m"].path == "/here/hub/m"
    assert moved.folders == {"a": "/here/mini", "b": "/elsewhere/b"}


def test_missing_rows_are_named_all_at_once() -> None:
    check_rows(sweep_with(), INVENTORY)
    empty = {
        row_key(lookup("mini_qa"), "dev", "en"): 0,
        row_key(lookup("mini_xnli"), "test", "qaf"): 0,
        row_key(lookup("mini_mlm"), "train", "qab"): 0,
        row_key(lookup("mini_choice"), "train", "en"): 0,  # takes no part
        row_key(lookup("mini_xnli"), "validation", "qaf"): 0,  # is not evaluated
    }
    with pytest.raises(ConfigError) as caught:
        check_rows(sweep_with(), replace(INVENTORY, rows={**INVENTORY.rows, **empty}))
    assert {str(problem) for problem in caught.value.problems} == {
        "data.root: mini_qa: has no rows for dev in en",
        "data.root: mini_xnli: has no rows for test in qaf",
        "data.root: mini_mlm: has no rows for train in qab",
    }


def test_text_of_languages_that_take_no_part_may_be_missing() -> None:
    qac = row_key(lookup("mini_mlm"), "train", "qac")
    check_rows(sweep_with(), replace(INVENTORY, rows={**INVENTORY.rows, qac: 0}))


def test_a_sweep_of_before_keeps_the_points_of_every_seed() -> None:
    one, other, common = ({"learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3))
    points = {"mini_xnli|0": [one], "mini_xnli|1": [other], **{key: [common] for key in TARGETS}}
    planner = Planner(sweep_with(), INVENTORY, points)
    found = {}
    for seed in (0, 1, 2):
        plan = planner.plan({"model": "mini", "intermediate": "none"}, seed)
        found[seed] = [cell.point for cell in plan.target_sets[0].cells]
    assert found == {0: [one], 1: [other], 2: [common]}


def test_a_race_trains_of_its_targets_the_stages_that_all_would() -> None:
    sweep = sweep_with(targets=["xquad", "mlqa", "mini_xnli", "mini_tatoeba"])
    points = [{"learning_rate": 1e-4}, {"learning_rate": 1e-3}]
    planner = Planner(sweep, INVENTORY, dict.fromkeys(("xquad", "mini_xnli"), points))
    point = {"model": "mini", "intermediate": "nli"}
    whole = planner.plan(point, 7)
    for targets in (["mlqa"], ["mini_tatoeba", "mini_xnli"], ["xquad", "mlqa"], []):
        own = planner.plan(point, 7, targets=targets)
        assert (own.phase, own.trial_id) == ("search", whole.trial_id)
        assert {*own.targets} == {*targets} and own.subset == own.targets
        assert {*stages_of(own)} <= {*stages_of(whole)} and own.encoder == whole.encoder
        for group in own.target_sets:
            (same,) = (one for one in whole.target_sets if one.name == group.name)
            assert group.cells == same.cells
            for target in group.targets:
                for cell in (*group.cells[:1], *([] if group.cells else [None])):
                    evaluations = [planner.evaluation(one, target, cell) for one in (own, whole)]
                    assert fingerprint(evaluations[0]) == fingerprint(evaluations[1])
    every = planner.plan(point, 7, targets=sweep.targets)
    assert stages_of(every) == stages_of(whole) and whole.subset is None


def test_a_protocol_makes_other_target_stages_and_no_other_intermediates() -> None:
    def stages(**selection: Any) -> list[str]:
        return stages_of(plan("nli", sweep=sweep_with(selection=selection)))

    usual = stages()
    assert stages(checkpoint="best") == usual
    found = [
        stages(**selection)
        for selection in ({"checkpoint": "last"}, {"checkpoint": "average"}, {"pivot": ["qaa"]})
    ]
    assert all(encoder == usual[0] for encoder, *_ in found)
    assert len({cell for _, *cells in (usual, *found) for cell in cells}) == 16


def test_pivots_are_dev_rows_of_target_stages_alone() -> None:
    trial = plan("nli", sweep=sweep_with(selection={"pivot": ["qab", "qaa"]}))
    encoder, *cells = trial.training_stages
    assert all(part.pivots is None for part in encoder.parts)
    for stage in cells:
        (pivots,) = (part.pivots for part in stage.parts)
        assert pivots is not None and pivots.task == stage.parts[0].train.task
        assert (pivots.use, pivots.rows) == ("validation", (("qab", 100), ("qaa", 100)))
        assert stage.recipe.keep == "best"
    needed = Planner(sweep_with(selection={"pivot": ["qaa"]}), INVENTORY, {}).rows_needed("mini")
    assert {rows.task for rows in needed if rows.use == "validation"} == {
        "mini_xnli", "mini_udpos",
    }  # fmt: skip
