"""What XTREME-R adds to tasks of XTREME: languages, their rows as published, their codes.

Ruder et al. 2021, arXiv 2104.07412, and the files that its scripts make. In an entry the added
languages are the last ones, so that rows of evaluations keep their places.
"""

from __future__ import annotations

XTREME_R = {
    "udpos": ("lt", "pl", "ro", "uk", "wo"),
    "panx": ("az", "gu", "lt", "pa", "pl", "qu", "ro", "uk"),
    "xquad": ("ro",),
    "tatoeba": ("az", "lt", "pl", "ro", "uk"),
}
"""The added languages, by task."""

# All treebanks of UD 2.7 joined.
UDPOS_SIZES = {"lt/test": 739, "pl/test": 4_942, "ro/test": 2_272, "uk/test": 892, "wo/test": 470}
PANX_SIZES = {
    f"{language}/{split}": rows
    for language, rows in {
        "az": 1_000,
        **dict.fromkeys(("gu", "pa", "qu"), 100),
        **dict.fromkeys(("lt", "pl", "ro", "uk"), 10_000),
    }.items()
    for split in ("validation", "test")
}

# Of all Azerbaijani, `aze`, not of the northern alone.
TATOEBA_CODES = {"az": "aze", "lt": "lit", "pl": "pol", "ro": "ron", "uk": "ukr"}
