"""Matrix products: with which library and precision a device computes them.

Set once a process, before anything is trained, by the machine alone: results must not depend on
what a stopwatch said.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from xstilts.errors import StageError

TOLERANCE = 1e-5
"""Largest relative error of a product that still counts as float32."""


@cache
def choose_matmul(device: str) -> None:
    """Let a CPU by AMD compute float32 products with oneDNN, which is two to four times as fast
    there as the default library; where that rounds to bfloat16, leave the default.

    It goes by the maker's name, not by a stopwatch: the choice decides the last bits of a result,
    so a machine must always make the same.
    """
    # With a GPU in play the same switch would allow its products to round.
    if device != "cpu" or _cpu_maker() != "AuthenticAMD":
        return
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    if product_error() > TOLERANCE:
        torch.set_float32_matmul_precision(was)


def product_error() -> float:
    """The relative error of a float32 product, by the matmul precision in force."""
    random = torch.Generator().manual_seed(0)
    one, other = (torch.randn(256, 256, generator=random) for _ in range(2))
    exact = one.double() @ other.double()
    return float(((one @ other).double() - exact).norm() / exact.norm())


def check_precision(precision: str, device: torch.device) -> None:
    """See that a device has the precision.

    Raises:
        StageError: it has not.
    """
    if precision != "bf16" or device.type != "cuda":
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise StageError(f"{name} has no bfloat16; use a GPU from Ampere (2020) on")


def _cpu_maker() -> str:
    """As the kernel names it, empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if "vendor_id" in line), "")
