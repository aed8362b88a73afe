"""The Hugging Face Hub: a revision resolved to its commit once, its files fetched once.

What is fetched lies under the storage in the layout of the Hub, so that everything after reads it
as it reads any folder. Nothing here looks into rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xstilts.data.hub_layout import declared_files
from xstilts.errors import DataError
from xstilts.files import read_json_if_whole, write_json

Sort = Literal["dataset", "model"]

MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "README.md")
"""What `from_pretrained` reads; a model repository may hold much else, in other formats. Weights
that are pickles are not fetched."""

CONVERTER = "SFconvertbot"
"""Who proposes safetensors on the Hub for models that have none."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_OFFLINE = (
    "run `xstilts prepare` once where the Hub can be reached, with the same storage; or import the "
    "original files with `xstilts data import` and name that folder under data.root"
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where a repository's files are, and the commit that they are of."""

    folder: Path
    commit: str


class Hub:
    """Repositories of the Hub below one folder; `HF_ENDPOINT` and `HF_TOKEN` are respected.

    A revision such as `main` is resolved once and remembered: all sweeps of a storage see the same
    commit, and a second call needs no network. To follow the Hub, name a newer commit.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._memory = folder / "fetched.json"

    def model(self, repo: str, revision: str) -> Fetched:
        """A model's configuration, weights and tokenizer.

        Raises:
            DataError: the Hub has no such model, or only pickles of its weights, or cannot be
                reached.
        """
        fetched = self._fetch("model", repo, revision, MODEL_FILES)
        if not any(fetched.folder.glob("*.safetensors")):
            with _clear_errors("model", repo):
                reason = _only_pickles(repo, fetched.commit)
            raise DataError(f"{repo}: {reason}")
        return fetched

    def dataset(self, hub_id: str, revision: str, wanted: Iterable[tuple[str, str]]) -> Fetched:
        """The files of some configurations and splits of a data set.

        Args:
            wanted: pairs of configuration and split.

        Raises:
            DataError: the Hub has no such data set, or not in files; it lacks a configuration or a
                split; or it cannot be reached.
        """
        card = self._fetch("dataset", hub_id, revision, ("README.md",))
        if not (card.folder / "README.md").exists():
            raise DataError(f"{hub_id}: {self._no_files(hub_id, card.commit)}")
        try:
            declared = declared_files(card.folder)
        except DataError as error:
            rule = self._no_files(hub_id, card.commit)
            raise DataError(f"{hub_id}: {rule}") from error
        patterns: list[str] = []
        for config, split in wanted:
            if (config, split) not in declared:
                configs = sorted({config for config, _ in declared})
                raise DataError(
                    f"{hub_id}: has no split {split!r} of a configuration {config!r} at commit "
                    f"{card.commit[:12]}; it has the configurations {', '.join(configs[:20])}"
                )
            patterns += declared[config, split]
        return self._fetch("dataset", hub_id, revision, patterns)

    def _no_files(self, hub_id: str, commit: str) -> str:
        """Why a data set without declared files cannot be read, and what to do."""
        from huggingface_hub import HfApi

        with _clear_errors("dataset", hub_id):
            names = HfApi().list_repo_files(hub_id, repo_type="dataset", revision=commit)
        if any(name.endswith(".py") for name in names):
            return (
                "the Hub has only a loading script, which `datasets` runs no longer; import its "
                "original files with `xstilts data import`"
            )
        return "its README on the Hub declares no data files; import the original files"

    def _fetch(self, sort: Sort, repo: str, revision: str, patterns: Sequence[str]) -> Fetched:
        known: dict[str, Any] = read_json_if_whole(self._memory, dict) or {}
        key = f"{sort}:{repo}@{revision}"
        entry = known.get(key, {"commit": "", "folder": "", "patterns": []})
        missing = [pattern for pattern in patterns if pattern not in entry["patterns"]]
        if missing or not entry["commit"]:
            from huggingface_hub import HfApi, snapshot_download

            with _clear_errors(sort, repo):
                commit = entry["commit"] or (
                    revision
                    if _COMMIT.fullmatch(revision)
                    else str(HfApi().repo_info(repo, repo_type=sort, revision=revision).sha)
                )
                folder = snapshot_download(
                    repo,
                    repo_type=sort,
                    revision=commit,
                    cache_dir=self._folder,
                    allow_patterns=list(missing),
                )
            relative = Path(folder).relative_to(self._folder).as_posix()
            fetched = sorted({*entry["patterns"], *missing})
            known[key] = {"commit": commit, "folder": relative, "patterns": fetched}
            write_json(self._memory, known)
            entry = known[key]
        return Fetched(self._folder / entry["folder"], entry["commit"])


def _only_pickles(repo: str, commit: str) -> str:
    """Why a model without safetensors cannot be read, and what to do."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    if not any(name.endswith(".bin") for name in api.list_repo_files(repo, revision=commit)):
        return f"the model has no weights on the Hub at commit {commit[:12]}"
    rule = f"the Hub has its weights as pickles alone at commit {commit[:12]}; they are not fetched"
    with suppress(errors.HfHubHTTPError):  # a repository may have no discussions
        for pull in api.get_repo_discussions(
            repo, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
        ):
            sha = api.repo_info(repo, revision=pull.git_reference).sha
            found = f"{pull.git_reference} has safetensors"
            return f"{rule}; {found}: look at it, then write revision: {sha}"
    return f"{rule}; convert them where you trust them (`save_pretrained`), and name that folder"


@contextmanager
def _clear_errors(sort: Sort, repo: str) -> Iterator[None]:
    """Say what the Hub's errors mean for the user."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise DataError(
            f"{repo}: the {sort} is gated; accept its terms on the Hub, then `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{repo}: the {sort} has no such revision on the Hub") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"{repo}: the Hub has no {sort} of that name, or it is private: check the name, or "
            "`hf auth login`"
        ) from error
    except Exception as error:  # of whichever HTTP library the Hub's client uses
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{repo}: the Hub cannot be reached ({first}); {_OFFLINE}") from error
