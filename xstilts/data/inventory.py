"""Identities of inputs: weights, tokenizers, data sets, by the sha256 of files. Imports no torch.

Hashes are remembered by path, size and time of change, so that a second launch reads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from xstilts.config import families
from xstilts.data.hub_layout import dataset_files
from xstilts.errors import ConfigError, Problem
from xstilts.files import read_json_if_whole, sha256_of, sha256_of_file, write_json
from xstilts.plan.inventory import ModelFacts

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
VOCABULARY_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"),
    *("spm.model", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"),
)
SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Files of a tokenizer that hold no vocabulary."""

LOADED_BY = (
    *("_commit_hash", "_from_auto", "cache_dir", "device_map", "force_download", "from_slow"),
    *("is_local", "local_files_only", "name_or_path", "proxies", "revision"),
    *("special_tokens_map_file", "subfolder", "token", "tokenizer_file", "trust_remote_code"),
    *("use_auth_token", "use_fast"),
)
"""What transformers writes into tokenizer_config.json of how the tokenizer was loaded before it was
saved; nothing that it does depends on that."""


class Hashes:
    """sha256 of files, remembered in one JSON file by path, size and modification time."""

    def __init__(self, memory: Path):
        self._memory = memory
        self._known: dict[str, Any] = read_json_if_whole(memory, dict) or {}
        self._is_changed = False

    def of(self, path: Path) -> str:
        """The hash of one file."""
        stat = path.stat()
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        digest = sha256_of_file(path)
        self._known[str(path)] = [stat.st_size, stat.st_mtime_ns, digest]
        self._is_changed = True
        return digest

    def of_files(self, root: Path, paths: Iterable[Path]) -> str:
        """The hash of several files with their names relative to `root`."""
        return sha256_of({path.relative_to(root).as_posix(): self.of(path) for path in paths})

    def of_tokenizer(self, root: Path, paths: Iterable[Path]) -> str:
        """The hash of a tokenizer's files, but for how it was loaded before it was saved."""
        return sha256_of(
            {path.relative_to(root).as_posix(): _as_made(path) or self.of(path) for path in paths}
        )

    def save(self) -> None:
        """Write what was learnt."""
        if self._is_changed:
            write_json(self._memory, self._known)


def _as_made(path: Path) -> str:
    """The hash of a tokenizer's settings as `save_pretrained` would have written them without those
    of `LOADED_BY`; empty for a file that has none of them."""
    if path.name != "tokenizer_config.json":
        return ""
    with suppress(ValueError):  # whoever loads it says that it is damaged
        settings = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(settings, dict) and not settings.keys().isdisjoint(LOADED_BY):
            kept = {key: value for key, value in settings.items() if key not in LOADED_BY}
            text = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False)
            return sha256(f"{text}\n".encode()).hexdigest()
    return ""


def model_facts(folder: Path, where: str, hashes: Hashes) -> ModelFacts:
    """Identity of a folder that `from_pretrained` reads, and that runs no code for it.

    Raises:
        ConfigError: the folder, its configuration, weights or tokenizer is missing; it brings code,
            or weights that are not safetensors; its model type does not run.
    """

    def refuse(rule: str, repair: str) -> ConfigError:
        return ConfigError([Problem(where, rule, f'"{folder}"', repair)])

    if not folder.is_dir():
        raise refuse("no such folder", "give a folder that from_pretrained reads")
    config = folder / "config.json"
    if not config.is_file():
        raise refuse("the folder has no config.json", "give the folder that holds it")
    weights = sorted(folder.glob("*.safetensors"))
    if not any((folder / name).is_file() for name in (WEIGHTS, WEIGHTS_INDEX)):
        if any(folder.glob("pytorch_model*.bin")):
            raise refuse("its weights are pickles alone, which are never opened", SAFER)
        raise refuse("the folder has no weights", f"it must hold {WEIGHTS} (or its index)")
    names = (*VOCABULARY_FILES, *SETTINGS_FILES)
    tokenizer = [folder / name for name in names if (folder / name).is_file()]
    if all(path.name in SETTINGS_FILES for path in tokenizer):
        raise refuse("the folder has no tokenizer", "it must hold tokenizer.json or its sources")
    settings = _settings(config, refuse)
    if code := _code(folder, settings):
        raise refuse(
            f"the model brings code ({code}), which is never run",
            "take one of an architecture that transformers has itself",
        )
    if other := _no_safetensors(folder, settings):
        raise refuse(f"{other}, no safetensors file beside it, which is never opened", SAFER)
    if reason := families.why_refused(settings):
        raise refuse(reason, f"take a model of one of {', '.join(families.RUNNING)}")
    try:
        num_layers, max_length = families.num_layers(settings), families.max_length(settings)
    except (ValueError, TypeError) as error:
        raise refuse(
            f"its config.json does not give layers and positions as numbers ({error})",
            "repair the file",
        ) from error
    keys = weight_names(folder)
    return ModelFacts(
        path=str(folder),
        weights=hashes.of_files(folder, [config, *weights]),
        tokenizer=hashes.of_tokenizer(folder, tokenizer),
        num_layers=num_layers,
        num_bytes=sum(path.stat().st_size for path in weights),
        # The head of an encoder-decoder stands behind its decoder.
        has_lm_head=not families.family_of(settings).part
        and (not keys or any(key.startswith(LM_HEADS) for key in keys)),
        max_length=max_length,
        has_pooler=not keys or len({*map(families.pooler_weight, keys)} - {""}) == 2,
        family_version=families.family_of(settings).version,
    )


def _settings(config: Path, refuse: Callable[[str, str], ConfigError]) -> dict[str, Any]:
    """What a config.json holds."""
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise refuse(f"its config.json is no JSON ({error})", "repair the file") from error
    if not isinstance(settings, dict):
        raise refuse("its config.json is no JSON object", "repair the file")
    return settings


SAFER = (
    "where you trust them, load them with transformers once: `save_pretrained` writes safetensors"
)


def _code(folder: Path, settings: Mapping[str, Any]) -> str:
    """By what a model would have code run that is not transformers' own; empty if by nothing."""
    if settings.get("auto_map"):
        return "auto_map in config.json"
    if "/" in str(settings.get("attn_implementation", "")):
        return "attn_implementation in config.json"
    tokenizer = folder / "tokenizer_config.json"
    if tokenizer.is_file():
        with suppress(ValueError, AttributeError):  # whoever loads it says that it is damaged
            if json.loads(tokenizer.read_text(encoding="utf-8")).get("auto_map"):
                return "auto_map in tokenizer_config.json"
    return next((path.name for path in sorted(folder.glob("*.py"))), "")


def _no_safetensors(folder: Path, settings: Mapping[str, Any]) -> str:
    """What would have transformers open other weights beside the right ones; empty if nothing."""
    named = {"config.json": [str(settings.get("transformers_weights") or WEIGHTS)]}
    index = folder / WEIGHTS_INDEX
    if index.is_file():
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # a damaged file again
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            named[WEIGHTS_INDEX] = list(map(str, shards))
    for where, names in named.items():
        for name in names:
            if Path(name).name != name or not name.endswith((".safetensors", WEIGHTS_INDEX)):
                return f'its {where} names "{name}"'
    return ""


LM_HEADS = ("lm_head.", "cls.predictions.", "lm_predictions.", "vocab_transform.", "decoder.")
"""How the names of an LM head's weights begin: XLM-R, BERT, DeBERTa, DistilBERT, ModernBERT."""


def weight_names(folder: Path) -> list[str]:
    """The names of all weights of a model; none where a file is damaged, which whoever loads it
    refuses."""
    found: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as stored:
                found += stored.keys()
        except SafetensorError:
            return []
    return found


def data_identity(folder: Path, hashes: Hashes) -> str:
    """Identity of one data set: all its files, by name and content.

    Raises:
        DataError: there is no such data set.
    """
    return hashes.of_files(folder, dataset_files(folder))
