"""Out of memory: how it is told from other errors, and how memory is given back.

The loop halves its micro-batches then and computes the step again; nothing of it has changed a
weight.
"""

from __future__ import annotations

import ctypes

import torch

SIGNS = (
    "DefaultCPUAllocator",
    "std::bad_alloc",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",
)
"""What errors without a class of their own say where memory has ended. The last is oneDNN's, which
on a CPU makes code for every new shape and does not say that it got no room for it."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the host, had no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in SIGNS)


def give_back(device: torch.device) -> None:
    """Return memory that nothing uses any more, to the device or the system.

    Tensors of ever other sizes leave holes in the C library's heaps, which it keeps by itself: a
    worker would grow from stage to stage.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need it not
    if trim is not None:
        trim(0)
