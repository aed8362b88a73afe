"""A storage that is moved or copied takes its artifacts along: MLflow's own client reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xstilts.tracking.mlflow import MlflowTracker
from xstilts.tracking.moved import bring_along
from xstilts.tracking.tracker import TrackedRun


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables; making them takes seconds, copying them none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def storage(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "uni 100%_a"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    write(folder, "first")
    return folder


def write(storage: Path, key: str) -> None:
    """Write a run with an artifact that says its key, as a driver does that begins there."""
    text = storage / key / "text.txt"
    text.parent.mkdir(exist_ok=True)
    text.write_text(key)
    run = TrackedRun(key, key, "finished", 1000, 2000, artifacts={"deep/text.txt": text})
    tracker = MlflowTracker(f"sqlite:///{storage / 'mlflow.db'}", "sweep", storage / "mlartifacts")
    tracker.write(run)


def read(storage: Path) -> dict[str, str]:
    """The artifacts of all runs, as MLflow's client gets them out of the storage."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sweep")
    assert experiment is not None
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.artifact_uri.startswith(f"{storage.as_uri()}/")
        path = client.download_artifacts(run.info.run_id, "deep/text.txt")
        found[run.info.run_name] = Path(path).read_text()
    return found


def test_a_storage_that_was_moved_goes_on_in_its_new_place(storage: Path) -> None:
    moved = storage.rename(storage.with_name("uni_b"))
    write(moved, "second")
    assert read(moved) == {"first": "first", "second": "second"}
    assert not storage.exists(), "the old folder is not made again"
    write(moved, "first")
    assert len(read(moved)) == 2, "what was written before the move is found again"


def test_a_copy_is_a_storage_of_its_own(storage: Path) -> None:
    copied = storage.with_name("copy")
    shutil.copytree(storage, copied)
    write(copied, "second")
    assert read(copied) == {"first": "first", "second": "second"}
    assert read(storage) == {"first": "first"}


def test_another_path_to_the_same_storage_moves_nothing(storage: Path) -> None:
    link = storage.with_name("link")
    link.symlink_to(storage)
    assert bring_along(link / "mlflow.db", link / "mlartifacts") == []
    assert read(storage) == {"first": "first"}


def test_what_lies_elsewhere_stays_there(storage: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{storage / 'mlflow.db'}")
    client.create_experiment("theirs", artifact_location="file:///somewhere/else/theirs")
    moved = storage.rename(storage.with_name("uni_b"))
    assert bring_along(moved / "mlflow.db", moved / "mlartifacts") == ["sweep"]
    client = MlflowClient(tracking_uri=f"sqlite:///{moved / 'mlflow.db'}")
    theirs = client.get_experiment_by_name("theirs")
    assert theirs is not None and theirs.artifact_location == "file:///somewhere/else/theirs"
    assert bring_along(moved / "nothing.db", moved / "mlartifacts") == []
