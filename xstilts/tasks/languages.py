"""What languages are called, their families and scripts, for whoever groups scores by them.

Families are those of XTREME's table of languages (Hu et al. 2020), scripts those of its data as
ISO 15924 names them. The miniature benchmark's constructed languages are a family of their own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language of the benchmarks; `code` is the one that scores have."""

    code: str
    name: str
    family: str
    script: str


_FAMILIES = {
    "Indo-European": "af Afrikaans, bg Bulgarian, bn Bengali, de German, el Greek, en English, "
    "es Spanish, fa Persian, fr French, gu Gujarati, hi Hindi, it Italian, lt Lithuanian, "
    "mr Marathi, nl Dutch, pa Punjabi, pl Polish, pt Portuguese, ro Romanian, ru Russian, "
    "uk Ukrainian, ur Urdu",
    "Afro-Asiatic": "ar Arabic, he Hebrew",
    "Austro-Asiatic": "vi Vietnamese",
    "Austronesian": "id Indonesian, jv Javanese, ms Malay, tl Tagalog",
    "Dravidian": "ml Malayalam, ta Tamil, te Telugu",
    "Isolate": "eu Basque",
    "Japonic": "ja Japanese",
    "Kartvelian": "ka Georgian",
    "Koreanic": "ko Korean",
    "Kra-Dai": "th Thai",
    "Niger-Congo": "sw Swahili, wo Wolof, yo Yoruba",
    "Quechuan": "qu Quechua",
    "Sino-Tibetan": "my Burmese, zh Chinese",
    "Turkic": "az Azerbaijani, kk Kazakh, tr Turkish",
    "Uralic": "et Estonian, fi Finnish, hu Hungarian",
    "Constructed": "qaa qaa, qab qab, qac qac, qad qad, qae qae, qaf qaf",
}

_SCRIPTS = {
    "Arab": "ar fa ur",
    "Beng": "bn",
    "Cyrl": "bg kk qac ru uk",
    "Deva": "hi mr",
    "Geor": "ka",
    "Grek": "el qad",
    "Gujr": "gu",
    "Guru": "pa",
    "Hans": "zh",
    "Hebr": "he",
    "Jpan": "ja",
    "Kore": "ko",
    "Mlym": "ml",
    "Mymr": "my",
    "Taml": "ta",
    "Telu": "te",
    "Thai": "th",
}
"""All others are written in Latin letters."""

UNKNOWN = "not known"

_SCRIPT_OF = {code: script for script, codes in _SCRIPTS.items() for code in codes.split()}

LANGUAGES = {
    code: Language(code, name, family, _SCRIPT_OF.get(code, "Latn"))
    for family, named in _FAMILIES.items()
    for code, name in (entry.split(" ", 1) for entry in named.split(", "))
}
"""The languages of the benchmarks that the package brings, by code, family after family."""


def language(code: str) -> Language:
    """The language of a code; of one that is not known the code itself is the name."""
    return LANGUAGES.get(code) or Language(code, code, UNKNOWN, UNKNOWN)
