"""Checkpoints inside a stage: one file, written in the background, whole or not at all.

A stage's randomness is a function of its seed and the step, so weights, the optimiser's moments
and some numbers are all that going on needs. The file is in safetensors form; nothing in it is
executed when it is read.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

SHARE = 1 / 33
"""The largest share of the time that writing may take; slow disks see fewer checkpoints."""


@dataclass(slots=True)
class Checkpoints:
    """A stage's checkpoint on disk.

    Args:
        path: the file; its folder is made when it is needed.
        identity: what the stage is; a file of another stage is not read.
        every_s: seconds between two checkpoints.
        must_stop: asked after every step; once true, a checkpoint is written and the stage ends.
    """

    path: Path
    identity: str
    every_s: float
    must_stop: Callable[[], bool] = lambda: False
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
        that cannot be used."""
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != self.identity:
                    raise ValueError("it belongs to another stage")
                names: list[str] = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            if int(metadata["checksum"]) != _checksum(tensors):
                raise ValueError("its contents do not match their checksum")
            state: dict[str, Any] = json.loads(metadata["state"])
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            logger.warning("%s: skipped, the stage begins anew: %s", self.path, error)
            return None
        return tensors, state

    def clear(self) -> None:
        """Delete the checkpoint: the stage is done."""
        self.wait()
        self.path.unlink(missing_ok=True)
        self.tidy()

    def _write(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        started = time.monotonic()
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            metadata = {
                "identity": self.identity,
                "state": json.dumps(state),
                "checksum": str(_checksum(tensors)),
            }
            self.path.parent.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(tensors, temporary, metadata)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except Exception as error:  # nobody sees a thread's own; the next call raises it
            self._failure = OSError(f"{self.path}: cannot be written: {error}")
        finally:
            with suppress(OSError):
                temporary.unlink()
        self._write_s = time.monotonic() - started

    def tidy(self) -> None:
        """Remove files of writers that were killed; whoever trains a stage is its only writer."""
        for rest in self.path.parent.glob(f".{self.path.name}.*"):
            rest.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 over all bytes, in the order of the names."""
    checksum = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten().view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().data, checksum)
    return checksum
