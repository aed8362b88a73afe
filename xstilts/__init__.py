"""xstilts: hyperparameter sweeps over intermediate tasks for zero-shot cross-lingual transfer.

The names in `__all__` are public, and loaded when they are asked for: importing the package imports
neither torch nor pandas.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from xstilts.errors import ConfigError, SweepStopped, XstiltsError

if TYPE_CHECKING:
    from xstilts.api import (
        Forecast,
        languages,
        load_sweep,
        open_results,
        plan,
        run_sweep,
        run_trial,
        score_submission,
    )
    from xstilts.config.schema import Sweep
    from xstilts.records import TrialRecord
    from xstilts.report.sweep_results import SweepResults
    from xstilts.scores.official import Official

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "Forecast",
    "Official",
    "Sweep",
    "SweepResults",
    "SweepStopped",
    "TrialRecord",
    "XstiltsError",
    "__version__",
    "languages",
    "load_sweep",
    "open_results",
    "plan",
    "run_sweep",
    "run_trial",
    "score_submission",
]


class _Package(ModuleType):
    """The package, of which `plan` is the function.

    The import system makes a subpackage an attribute of its package, and one is called `plan`; its
    modules are imported by their full names, which does not ask for the attribute.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "plan" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: Any
    if name == "Official":
        from xstilts.scores import official as found
    elif name == "Sweep":
        from xstilts.config import schema as found
    elif name == "SweepResults":
        from xstilts.report import sweep_results as found
    elif name == "TrialRecord":
        from xstilts import records as found
    else:
        from xstilts import api as found
    return getattr(found, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
