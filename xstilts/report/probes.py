"""What probes say of a sweep's encoders, before and after each intermediate: a table, numbers, and
pictures of alignment by layer.

An intermediate stands for all of its trials of search, each of which has an encoder of its own: a
number is the mean over them, and there is none unless each of them has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xstilts.config.derive import NONE
from xstilts.config.probe_checks import unprobed_languages
from xstilts.records import TrialRecord
from xstilts.report import page_pictures as pictures
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.scores.probes import ALIGNMENT, FERTILITY, UNITS, Name, mean_over_languages


@dataclass(frozen=True, slots=True)
class ProbedEncoder:
    """A model before (`none`) or after an intermediate; `values` are means over `trials` trials,
    `languages` those in which any encoder of the sweep was probed, by probe."""

    model: str
    intermediate: str
    trials: int
    values: dict[Name, float]
    languages: Mapping[str, Sequence[str]]

    def mean(self, probe: str, layer: int | None = None) -> float | None:
        """The mean over languages of a probe, of a hidden state where one is given; None where it
        says nothing."""
        names = (Name(probe, language, layer) for language in self.languages.get(probe, ()))
        return mean_over_languages(probe, [self.values.get(name) for name in names])

    def layers(self, probe: str) -> list[int]:
        """The hidden states that a probe was read of."""
        return sorted({n.layer for n in self.values if n.probe == probe and n.layer is not None})


def probed_encoders(results: Results) -> list[ProbedEncoder]:
    """The encoders of which probes were read, those of a model together, as pretrained first."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in results.searched:
        if record.probes or record.probe_holes:
            groups.setdefault((record.model, record.intermediate), []).append(record)
    languages: dict[str, dict[str, None]] = {}
    for key in {key for own in groups.values() for one in own for key in one.probes}:
        languages.setdefault(Name.of(key).probe, {})[Name.of(key).language] = None
    told = {probe: sorted(own) for probe, own in languages.items()}
    order = [NONE, *results.sweep.intermediates]
    found = []
    for model in results.sweep.models:
        for name in order:
            if records := groups.get((model, name)):
                values = {Name.of(key): value for key, value in _means(records)}
                found.append(ProbedEncoder(model, name, len(records), values, told))
    return found


def _means(records: Sequence[TrialRecord]) -> Iterator[tuple[str, float]]:
    for key in records[0].probes:
        values = [record.probes[key] for record in records if key in record.probes]
        if len(values) == len(records):
            yield key, fmean(values)


def probe_numbers(results: Results) -> list[dict[str, Any]]:
    """All numbers, a row for each encoder, probe, language and layer; `layer` is None of the one
    that is told first, `language` None of the mean over languages."""
    rows = []
    for one in probed_encoders(results):
        about = {"model": one.model, "intermediate": one.intermediate, "trials": one.trials}
        for probe in UNITS:
            mean = one.mean(probe)
            if mean is not None:
                rows.append(
                    {**about, "probe": probe, "language": None, "layer": None, "value": mean}
                )
        for name, value in one.values.items():
            rows.append({**about, **name._asdict(), "value": value})
    return rows


def probe_table(results: Results) -> Table | None:
    """Probes by encoders, means over languages; None where nothing was probed."""
    encoders = probed_encoders(results)
    if not encoders:
        return None
    names = list(dict.fromkeys(one.intermediate for one in encoders))
    models = list(dict.fromkeys(one.model for one in encoders))
    by_name = {(one.model, one.intermediate): one for one in encoders}
    rows = []
    for model in models:
        own = [by_name.get((model, name)) for name in names]
        for probe in UNITS:
            means = [None if one is None else one.mean(probe) for one in own]
            if any(mean is not None for mean in means):
                digits = 2 if probe == FERTILITY else 1
                cells = ["-" if mean is None else f"{mean:.{digits}f}" for mean in means]
                rows.append([probe if len(models) == 1 else f"{model} {probe}", *cells])
    header = ("probe", *("before" if name == NONE else name for name in names))
    return Table("Probes of encoders", header, rows, _note(results, encoders))


def _note(results: Results, encoders: Sequence[ProbedEncoder]) -> str:
    """What the numbers are, and why some are not there."""
    have = {name.probe for one in encoders for name in one.values}
    told = [f"{probe}: {unit}" for probe, unit in UNITS.items() if probe in have]
    told.append("means over languages, of pseudo-perplexity geometric")
    if many := [f"{x.trials} of {x.intermediate}" for x in encoders if x.trials > 1]:
        told.append(f"and over trials ({', '.join(many)})")
    if lacking := unprobed_languages(results.sweep):
        spec = results.sweep.probes
        assert spec is not None
        told.append(f"{spec.parallel} has no sentences in {', '.join(lacking)}")
    holes = {
        f"no {probe} of {record.model}: {why}"
        for record in results.searched
        for probe, why in record.probe_holes.items()
    }
    return "; ".join((*told, *sorted(holes)))


def alignment_pictures(results: Results) -> list[dict[str, Any]]:
    """Alignment by layer after each intermediate beside that of the pretrained encoder: a name, a
    picture and its numbers, a row a layer."""
    encoders = probed_encoders(results)
    before = {one.model: one for one in encoders if one.intermediate == NONE}
    found = []
    for one in encoders:
        first, layers = before.get(one.model), one.layers(ALIGNMENT)
        if one.intermediate == NONE or first is None or layers != first.layers(ALIGNMENT):
            continue
        rows = [(i, first.mean(ALIGNMENT, i), one.mean(ALIGNMENT, i)) for i in layers]
        curves = [
            ("of-none", [(layer, a) for layer, a, _ in rows if a is not None]),
            ("of-best", [(layer, b) for layer, _, b in rows if b is not None]),
        ]
        if not all(points for _, points in curves):
            continue
        name = one.intermediate if len(before) == 1 else f"{one.model}, {one.intermediate}"
        label = f"Alignment by layer before and after {name}"
        picture = pictures.lines(curves, label, "layer", "alignment")
        found.append({"name": name, "picture": picture, "rows": rows})
    return found
