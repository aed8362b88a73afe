"""A sweep is packed when it has ended, and a bundle that would not verify is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.errors import BundleError, ConfigError
from xstilts.files import read_json, write_json
from xstilts.lease import Lease
from xstilts.report.results import Results, load_results
from xstilts.study.packing import pack
from xstilts.study.verify import verify

from .bundled import stored_results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return stored_results(tmp_path / "storage")


def test_what_is_packed_verifies(results: Results, tmp_path: Path) -> None:
    told: list[str] = []
    found = pack(results, tmp_path / "b.zip", told.append)
    assert found == verify(tmp_path / "b.zip") and found.trials == 12
    assert told == ["Packing 12 trials, then verifying the bundle"]


def test_a_sweep_that_runs_or_lacks_trials_is_not_packed(results: Results, tmp_path: Path) -> None:
    lease = Lease(results.places.launches)
    assert lease.acquire()
    with pytest.raises(ConfigError, match=r'^NAME: .*this one runs; got "s"; wait for it$'):
        pack(results, tmp_path / "b.zip")
    lease.release()
    (results.places.trials / results.records[0].trial / "record.json").unlink()
    fewer = load_results(results.places)
    line = r'is finished; got "s": 11 of 12 trials of search have ended; go on with it'
    with pytest.raises(ConfigError, match=line):
        pack(fewer, tmp_path / "b.zip")
    with pytest.raises(ConfigError, match=r"^--out: a bundle is a file .zip; got .*--out b.zip$"):
        pack(results, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]


def test_a_storage_that_does_not_verify_gives_no_bundle(results: Results, tmp_path: Path) -> None:
    path = results.places.trials / results.records[0].trial / "record.json"
    record = read_json(path)
    record["scores"][1]["value"] += 1
    write_json(path, record)
    with pytest.raises(BundleError, match=r"^no bundle is written, as it would not verify: s: tr"):
        pack(load_results(results.places), tmp_path / "b.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]
