"""The study world: the table's languages on a cline, what is planted, nothing told beforehand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from tests.tools.test_world import stated_facts
from tools.mini import build, lexicon, study, sureness
from tools.mini.languages import ENGLISH, SUFFIXES
from tools.mini.pretrain import Recipe, build_model
from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.config.study_checks import cells
from xstilts.tasks.languages import language

SIZES = study.Sizes().times(0.02)
RECIPE = Recipe(3, 8, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16)
FILES = sorted((Path(__file__).parents[2] / "sweeps" / "studies" / "mini").glob("*.yaml"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study world with encoders that were hardly trained."""
    out = tmp_path_factory.mktemp("study")
    build.build(out / "study_world", 0, study.Plant(), SIZES, RECIPE)
    return out


def rows_of(world: Path, name: str, config: str, split: str) -> list[dict[str, Any]]:
    path = world / f"study_world/data/study/{name}/{config}/{split}-00000-of-00001.parquet"
    return pq.read_table(path).to_pylist()


def texts_of(world: Path, name: str, config: str, split: str) -> list[str]:
    columns = ("premise", "hypothesis", "text", "tokens", "target_sentence")
    found: list[str] = []
    for row in rows_of(world, name, config, split):
        for value in (row[column] for column in columns if column in row):
            found.append(value if isinstance(value, str) else " ".join(value))
    return found


def test_a_seed_gives_the_same_files_again(world: Path, tmp_path: Path) -> None:
    first = build.digests_of(world / "study_world")
    assert len(first) > 200
    assert build.build(tmp_path, 0, study.Plant(), SIZES, RECIPE) == first


def test_what_is_planted_changes_no_encoder_and_no_text(world: Path, tmp_path: Path) -> None:
    first = build.digests_of(world / "study_world")
    other = build.build(
        tmp_path, 0, study.Plant.parse("harm=20"), SIZES, RECIPE, world / "study_world"
    )
    changed = {name.split("/")[2] for name in first if first[name] != other[name]}
    assert changed == {"nli", "native_nli", "xnli", "xnli_to_english"}


def test_no_fact_of_a_test_set_is_told_elsewhere(world: Path) -> None:
    groups = {
        "test": [("xnli", "test"), ("travel_nli", "test"), ("udpos", "test")],
        "validation": [("xnli", "validation"), ("udpos", "validation")],
        "train": [("xnli", "train"), ("travel_nli", "train"), ("udpos", "train")],
        "inner train": [("nli", "train")],
        "inner validation": [("nli", "validation")],
        "text": [("text", "train")],
    }
    facts = {
        group: stated_facts(
            {
                sentence.strip().lower()
                for name, split in names
                for text in texts_of(world, name, ENGLISH, split)
                for sentence in re.findall(r"[^.?]+[.?]", text)
            }
        )
        for group, names in groups.items()
    }
    assert all(len(found) > 20 for found in facts.values())
    for one, found in facts.items():
        for other, beside in facts.items():
            assert one == other or not found & beside, (one, other)


def test_complexity_is_a_cline_of_suffixes() -> None:
    by_complexity = sorted(study.TARGETS, key=lambda code: language(code).values["c_wals"])
    assert tuple(by_complexity) == study.TARGETS
    languages = study.new_world(0).languages
    numbers = [len(languages[code].suffixes) for code in study.TARGETS]
    assert numbers == sorted(numbers) and numbers[0] == 0 and numbers[-1] == len(SUFFIXES)
    assert len(set(numbers)) >= 8
    assert len(study.TARGETS) >= 16 and len(study.INTERMEDIATE) >= 8
    assert set(study.INTERMEDIATE) <= set(study.TARGETS)


def test_order_and_text_are_those_of_the_table(world: Path) -> None:
    profiles = study.profiles()
    for code, profile in profiles.items():
        known = language(code).values
        assert profile.order == known["word_order"] or "dominant" in str(known["word_order"])
        assert known["syntax_distance"] is not None
    shares = {code: profile.text_share for code, profile in profiles.items()}
    low = [code for code in profiles if language(code).values["joshi_class"] in (1, 2)]
    assert len(low) >= 6 and max(shares[code] for code in low) < 0.5
    assert min(share for code, share in shares.items() if code not in low) > 0.5


@pytest.mark.parametrize(
    ("said", "points"), [("matched=10", 10), ("none", 0), ("harm=10", -10), ("matched=20", 20)]
)
def test_who_knows_what_was_taught_has_the_planted_points(said: str, points: float) -> None:
    """An answerer that gets markers that were taught right in seven of ten cases, others by chance,
    and words always, differs between thirds of languages as was planted."""
    plant = study.Plant.parse(said)
    mix = sureness.Mix(of_genre=0.3, marked=plant.marked)
    items = sureness.draw_items(study.new_world(0), "test", 900, mix, "xnli")

    def score(intermediate: str, target: str) -> float:
        known = sureness.taught(plant.taught_share(intermediate))
        right = 0.0
        for item in items:
            marker = sureness.test_marker(item, study.suffix_share(target))
            is_known = bool(item.word) or (marker.kind, marker.is_suffix) in known
            right += (1.0 if item.word else study.LEARNT) if is_known else 1 / 3
        return 100 * right / len(items)

    def mean(intermediates: tuple[str, ...], targets: tuple[str, ...]) -> float:
        scores = [score(one, other) for one in intermediates for other in targets]
        return sum(scores) / len(scores)

    rich, poor = study.INTERMEDIATE[-2:], study.INTERMEDIATE[:2]
    upper, lower = study.TARGETS[-7:], study.TARGETS[:7]
    found = mean(rich, upper) - mean(poor, upper) - mean(rich, lower) + mean(poor, lower)
    assert found == pytest.approx(points, abs=0.05 * abs(points) + 0.01)


@pytest.mark.parametrize("said", ["none=5", "matched=0", "harm=40", "more=5", "matched=x"])
def test_a_plant_that_cannot_be_is_refused(said: str) -> None:
    with pytest.raises(ValueError):
        study.Plant.parse(said)


def test_markers_are_pieces_that_no_text_has(world: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(world / "study_world/encoders/multilingual")
    verb = texts_of(world, "text", "tr", "train")[0].split()[0].lower().strip(".,?")
    for marker in sureness.MARKERS:
        word = verb + marker.text if marker.is_suffix else marker.text
        piece = marker.text if marker.is_suffix else "\u2581" + marker.text
        assert tokenizer.tokenize(word)[-1] == piece
    pattern = re.compile("|".join(marker.text for marker in sureness.MARKERS))
    for code in (ENGLISH, *study.TARGETS):
        assert not any(pattern.search(text) for text in texts_of(world, "text", code, "train"))


def test_pieces_that_no_text_has_get_vectors_that_an_encoder_can_tell_apart(world: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(world / "study_world/encoders/multilingual")
    ids = sureness.piece_ids(tokenizer)
    assert len(set(ids)) == len(sureness.MARKERS)
    model = build_model(RECIPE, len(tokenizer))
    vectors = model.get_input_embeddings().weight.data
    vectors[ids] = vectors[ids[0]].clone()  # as pretraining leaves what it never reads
    others = vectors.clone()
    build.draw_vectors(model, ids, seed=0)
    between = torch.corrcoef(vectors[ids]) - torch.eye(len(ids))
    assert float(between.abs().max()) < 0.95
    norm, usual = (float(rows.norm(dim=1).mean()) for rows in (vectors[ids], others))
    assert norm == pytest.approx(usual, rel=0.2)
    others[ids] = vectors[ids]
    assert torch.equal(vectors, others), "no other piece changes"


def test_genres_have_words_of_their_own(world: Path) -> None:
    rows = rows_of(world, "nli", ENGLISH, "train")
    assert {row["genre"] for row in rows} > {"travel", "fiction"}
    assert {row["genre"] for row in rows_of(world, "travel_nli", "tr", "test")} == {"travel"}
    for row in rows:
        first = row["premise"].split(",")[0].lower()
        owners = [name for name, words in lexicon.GENRES.items() if any(first in x for x in words)]
        assert owners in ([], [row["genre"]])


def test_translations_to_english_err_more_where_text_is_little(world: Path) -> None:
    languages = study.new_world(0).languages
    rates = {code: study.error_rate(languages[code]) for code in languages}
    assert rates[ENGLISH] == 0 < rates["de"] < rates["th"] < rates["te"]
    own = rows_of(world, "xnli", ENGLISH, "test")
    assert rows_of(world, "xnli_to_english", ENGLISH, "test") == own
    assert rows_of(world, "xnli_to_english", "te", "test") != own


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_studies_have_what_they_ask_for_and_plan(
    path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    sweep = load_sweep(path)
    assert sweep.study is not None and len(sweep.seeds) >= 3
    for contrast in sweep.study.contrasts.values():
        asked = cells(sweep, sweep.study, contrast)
        if contrast.test in ("slope", "interaction"):
            assert all(len(codes) >= 12 for codes in asked.values())
    # A small world has too few items for each of eight languages to have as many of its own.
    shared = [name for name, one in sweep.intermediates.items() if one.items]
    fewer = [w for name in shared for w in ("--set", f"intermediates.{name}.examples=6")]
    result = CliRunner().invoke(app, ["plan", str(path), *fewer])
    assert result.exit_code == 0, result.output
    arms = sum(len(one.choice or ()) - 1 for one in sweep.search.encoder.space.values())
    assert sweep.search.encoder.trials == arms + len(sweep.models) * (1 + len(sweep.intermediates))
