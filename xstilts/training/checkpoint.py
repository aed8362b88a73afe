"""Checkpoints inside a stage: one file, written in the background, whole or not at all.

A stage's randomness is a function of its seed and the step, so weights, the optimiser's moments
and some numbers are all that going on needs. The file is in safetensors form, with a digest of all
that it holds; nothing in it is executed when it is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from xstilts.files import CARE, FILE_MODE, sync

logger = logging.getLogger(__name__)

SHARE = 1 / 33
"""The largest share of the time that writing may take; slow disks see fewer checkpoints."""


TEMPORARY = ".checkpoint-"
TEMPORARIES = (f"{TEMPORARY}*", ".tmp*")
"""Files that are being written: ours, and what safetensors renames to ours."""


@dataclass(slots=True)
class Checkpoints:
    """A stage's checkpoint on disk.

    Args:
        path: the file that is written.
        identity: what the stage is; a file of another stage is not read.
        every_s: seconds between two checkpoints.
        must_stop: asked after every step; once true, a checkpoint is written and the stage ends.
        earlier: files of processes that trained the stage before, the last one first; read, and
            deleted once a new one is written.
    """

    path: Path
    identity: str
    every_s: float
    must_stop: Callable[[], bool] = lambda: False
    earlier: Sequence[Path] = ()
    _last: float = field(default_factory=time.monotonic)
    _write_s: float = 0.0
    _writer: threading.Thread | None = None
    _failure: OSError | None = None

    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        since = time.monotonic() - self._last
        return since >= max(self.every_s, self._write_s / SHARE)

    def write(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Copy the tensors now and write them in the background.

        Raises:
            OSError: the one before could not be written.
        """
        self.wait()
        self._last = time.monotonic()
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        self._writer = threading.Thread(target=self._write, args=(copies, dict(state)))
        self._writer.start()

    def wait(self) -> None:
        """Until what is being written lies on disk.

        Raises:
            OSError: it could not be written.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the last checkpoint; None, with a warning where a file is there
        that cannot be used.

        Raises:
            OSError: the file system fails, which does not prove that the file is torn.
        """
        for path in (self.path, *self.earlier):
            if path.exists():
                try:
                    return self._read(path)
                except (ValueError, KeyError, safetensors.SafetensorError) as error:
                    logger.warning("%s: skipped, the stage goes on without it: %s", path, error)
                except RuntimeError as error:  # what torch makes of the system's errors
                    raise OSError(f"{path}: cannot be read: {error}") from error
        return None

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != self.identity:
                raise ValueError("it belongs to another stage")
            names: list[str] = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if metadata["digest"] != _digest(tensors, metadata["state"]):
            raise ValueError("its contents do not match their digest")
        state: dict[str, Any] = json.loads(metadata["state"])
        return tensors, state

    def clear(self) -> None:
        """Delete the checkpoints: the stage is done."""
        self.wait()
        for path in (self.path, *self.earlier):
            path.unlink(missing_ok=True)
        self.tidy()

    def _write(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        started = time.monotonic()
        temporary = self.path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}")
        try:
            text = json.dumps(state)
            digest = _digest(tensors, text)
            metadata = {"identity": self.identity, "state": text, "digest": digest}
            safetensors.torch.save_file(tensors, temporary, metadata)
            temporary.chmod(FILE_MODE)
            sync(temporary)
            temporary.replace(self.path)
            sync(self.path.parent)
            for path in self.earlier:
                path.unlink(missing_ok=True)
        except Exception as error:  # nobody sees a thread's own; the next call raises it
            self._failure = OSError(f"{self.path}: cannot be written: {error}")
        finally:
            with suppress(OSError):
                temporary.unlink()
        self._write_s = time.monotonic() - started

    def tidy(self) -> None:
        """Remove files of writers that were killed; one that was only stopped can publish none of
        its own any more."""
        for pattern in TEMPORARIES:
            for rest in self.path.parent.glob(pattern):
                rest.unlink(missing_ok=True)


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    """Hex sha256 over the state and all bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256(state.encode())
    with CARE.taken():
        for name in sorted(tensors):
            flat = tensors[name].contiguous().flatten().view(torch.uint8)
            digest.update(name.encode())
            digest.update(flat.numpy().data)
    return digest.hexdigest()
