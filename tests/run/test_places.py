"""Where MLflow's file lies where no server is named: beside the storage, or where it is safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.run.places import MLFLOW, Places

from ..conftest import make_sweep


def test_the_environment_may_name_the_folder_of_mlflow_s_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, sweep = Places(tmp_path, "s"), make_sweep()
    monkeypatch.delenv(MLFLOW, raising=False)
    assert places.tracking_uri(sweep) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv(MLFLOW, "/var/tmp/of the node")
    assert places.tracking_uri(sweep) == "sqlite:////var/tmp/of the node/mlflow.db"
    served = make_sweep(tracking={"uri": "http://127.0.0.1:5000"})
    assert places.tracking_uri(served) == "http://127.0.0.1:5000"
