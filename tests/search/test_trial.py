"""The trainable: an actor that starts fast."""

from __future__ import annotations

import subprocess
import sys


def test_an_actor_starts_without_torch() -> None:
    """While it starts, a warm actor must not take its trial away."""
    code = "import sys, xstilts.search.trial; assert not {'torch', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
