"""Export of the encoder that an intermediate left, as transformers loads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from xstilts.config.load import load_sweep
from xstilts.files import FILE_MODE
from xstilts.plan.plan import Planner
from xstilts.run.export import export_encoder, export_submission
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.reopen import workshop_of
from xstilts.search.proposals import target_points
from xstilts.training.model import load_encoder

from .test_trial import run_command


def test_the_encoder_of_a_trial_loads_elsewhere(tmp_path: Path, shared_mini: Path) -> None:
    """Of the attempt that the record names: this one collapsed, and was tried again."""
    told = run_command(tmp_path, shared_mini, rate=1e-12, retries=1)
    sweep = load_sweep(tmp_path / "s.yaml")
    places = Places(tmp_path / "runs", sweep.name)
    planner = Planner(sweep, take_inventory(sweep, places), target_points(sweep))
    record = read_record(places.trials / told["trial"])
    assert record is not None and record.retries["nli"] == 1
    workshop = workshop_of(planner, places)
    lines: list[str] = []
    export_encoder(record, planner, workshop, tmp_path / "out", lines.append)
    _, again = (x.name for x in record.stages if x.name.startswith("intermediate-"))
    result = workshop.store.result(again)
    assert result is not None and lines == []
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {FILE_MODE} and "model.safetensors" in modes
    encoder = AutoModel.from_pretrained(tmp_path / "out", add_pooling_layer=False).eval()
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")("ba be", return_tensors="pt")
    trained = load_encoder(result / "encoder").eval()
    with torch.inference_mode():
        found, expected = (one(**tokens).last_hidden_state for one in (encoder, trained))
    assert torch.equal(found, expected)

    workshop.store.drop_weights(again)
    export_encoder(record, planner, workshop, tmp_path / "again", lines.append)
    assert lines == [f"{again}: its weights were dropped, it is trained again"]
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (tmp_path / "out" / weights).read_bytes()

    none = replace(record, point={"intermediate": "none", "model": "mini"}, intermediate="none")
    with pytest.raises(ValueError, match="has no intermediate"):
        export_encoder(none, planner, workshop, tmp_path / "none", lines.append)

    # A trial of confirmation predicts the targets that it confirms, and is asked for no other.
    confirming = replace(record, confirms={"mini_tatoeba": {}})
    done = export_submission(confirming, sweep, workshop.store, tmp_path / "submission")
    assert done.num_files == 1 and not (tmp_path / "submission" / "mini_xquad").exists()
