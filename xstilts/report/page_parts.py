"""What pages have in common: how their templates are read, and how they print numbers.

`page.html` has the style that all pages share, and `page_parts.html` their tables; another page
extends the one and imports the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xstilts.errors import ConfigError, Problem
from xstilts.files import write_atomically


def environment(*folders: Path) -> Environment:
    """Templates of this folder and of others, which escape what they are filled with."""
    found = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "signed": signed, "value": value}
    return found


def number(given: float | None, digits: int = 1) -> str:
    """A number, or the sign of a hole."""
    return "–" if given is None else f"{given:.{digits}f}".replace("-", "−")


def signed(given: float | None, digits: int = 1) -> str:
    """A difference, with a minus that is as wide as a plus."""
    return "–" if given is None else f"{given:+.{digits}f}".replace("-", "−")


def value(given: Any) -> str:
    """A parameter's value, or the sign of a hole."""
    if given is None:
        return "–"
    return f"{given:.4g}" if isinstance(given, float) else str(given)


def write(text: str, path: Path) -> Path:
    """Write a page; its path.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError([Problem("--html", "cannot be written", str(error))]) from error
    return path
