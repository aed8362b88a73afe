"""Read a probe off an encoder: forward passes alone, on sentences and their English translations.

Values have the names of `xstilts.scores.probes`. What is of one hidden state is told first of the
one that retrieval pools, and of all states beside it. A probe that cannot be read says why and has
no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from xstilts.config.probes import ENGLISH, FERTILITY
from xstilts.data.encoding import TokenCache
from xstilts.data.samples import sample
from xstilts.data.statistics import joined
from xstilts.errors import StageError
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.stage import Signal
from xstilts.records import StageManifest
from xstilts.scores import probes
from xstilts.scores.probes import Name
from xstilts.training.model import LmHead, load_encoder_with_lm_head
from xstilts.training.predict import Predictor

MOST_MASKED = 32
"""Tokens of a sentence that are masked at most, each in a pass of its own; of longer ones a sample,
the same for every encoder."""

Values = dict[str, float]


@dataclass(slots=True)
class Probed:
    """What the probes of a trial said: `values` by their names, and `holes`, by the name of a
    probe why it said nothing."""

    values: Values = field(default_factory=dict)
    holes: dict[str, str] = field(default_factory=dict)
    _texts: dict[str, list[Values]] = field(default_factory=dict)

    def add(self, stage: Signal, manifest: StageManifest) -> None:
        """Take in a probe; of fertility, which is one of each target, all rows of a language count
        together, by their tokens."""
        if manifest.hole:
            self.holes[stage.signal] = manifest.hole
        if stage.signal != FERTILITY:
            self.values |= manifest.values
            return
        for language, _ in stage.rows.rows:
            names = (FERTILITY, "tokens", "unknown")
            figures = {name: manifest.values[f"{name}/{language}"] for name in names}
            own = self._texts.setdefault(language, [])
            own.append(figures)
            self.values[str(Name(FERTILITY, language))] = joined(own)[FERTILITY]


@dataclass(frozen=True, slots=True)
class ProbeReader:
    """What reading a probe needs. `before_pass` is called before each pass of the encoder and may
    raise; `predictor` has the LM head as the one head where the probe is pseudo-perplexity."""

    stage: Signal
    predictor: Predictor
    token_cache: TokenCache
    before_pass: Callable[[], None]

    def read(self) -> Values:
        """The values of the probe.

        Raises:
            DataError: its rows cannot be read.
        """
        readers = {
            probes.ANISOTROPY: self._anisotropy,
            probes.ALIGNMENT: self._alignment,
            probes.IDENTITY: self._language_identity,
            probes.PERPLEXITY: self._pseudo_perplexity,
        }
        return readers[self.stage.signal]()

    def _anisotropy(self) -> Values:
        found: dict[str, list[float]] = {}
        for language, sources, english in self._vectors():
            # English stands beside every language; the first one's is as good as any.
            for name, vectors in ((ENGLISH, english), (language, sources)):
                if name not in found and len(vectors) > 1:
                    layers = map(probes.unit, vectors.swapaxes(0, 1))
                    found[name] = [100 * probes.mean_cosine(rows) for rows in layers]
        return self._by_layer(probes.ANISOTROPY, found)

    def _alignment(self) -> Values:
        margins, hits = {}, {}
        for language, sources, english in self._vectors():
            if len(sources) > 1:
                layers = range(sources.shape[1])
                told = [probes.alignment(sources[:, i], english[:, i]) for i in layers]
                margins[language] = [100 * margin for margin, _ in told]
                hits[language] = [100 * found for _, found in told]
        margin = self._by_layer(probes.ALIGNMENT, margins)
        return {**margin, **self._by_layer(probes.RETRIEVAL, hits)}

    def _language_identity(self) -> Values:
        sides: dict[str, np.ndarray] = {}
        for language, sources, english in self._vectors():
            sides.setdefault(ENGLISH, english)
            sides[language] = sources.copy()  # a view would keep the English side too
        languages = [name for name, side in sides.items() for _ in side]
        # Samples are the same in every language, so a row is an item where text is parallel in all.
        items = np.concatenate([np.arange(len(side)) for side in sides.values()])
        found: dict[str, list[float]] = {name: [] for name in sides}
        for layer in range(sides[ENGLISH].shape[1]):
            vectors = np.concatenate([side[:, layer] for side in sides.values()])
            told = probes.language_identity(vectors, languages, items)
            for name, share in told.items():
                found[name].append(share)
        return self._by_layer(probes.IDENTITY, found)

    def _pseudo_perplexity(self) -> Values:
        values: Values = {}
        for language, encoded, count in self._texts():
            sides = {language: (0, count)}
            if not values:
                sides[ENGLISH] = (count, 2 * count)
            for name, (begin, end) in sides.items():
                features = encoded.features.slice(begin, end - begin)
                masked, lengths = mask_each(features, self.predictor.vocabulary.special_ids)
                told = self.predictor.log_probabilities(masked)
                value = probes.pseudo_perplexity(told, masked["example"].to_pylist(), lengths)
                if value is not None:
                    values[str(Name(probes.PERPLEXITY, name))] = value
        return values

    def _texts(self) -> Iterator[tuple[str, Encoded, int]]:
        """Every language with its encoded pairs and their number."""
        for language, _ in self.stage.rows.rows:
            self.before_pass()
            encoded = self.token_cache.encoded(self.stage.rows, language)
            yield language, encoded, encoded.examples.num_rows

    def _vectors(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Every language with the mean vectors of its sentences and of their translations, row by
        row: (pairs, hidden states, hidden size) each, float32. One language is held at a time."""
        task = self.stage.rows.entry
        for language, encoded, count in self._texts():
            outputs = np.stack(self.predictor.layer_outputs(encoded.features, task))
            gold = encoded.examples["gold"].to_numpy()
            english = np.empty_like(outputs[count:])
            english[gold] = outputs[count:]
            yield language, outputs[:count], english

    def _by_layer(self, probe: str, found: dict[str, list[float]]) -> Values:
        """Values of all states, and first the one that is told of each language."""
        assert self.stage.layer is not None
        values = {str(Name(probe, name)): own[self.stage.layer] for name, own in found.items()}
        for name, own in found.items():
            values |= {str(Name(probe, name, i)): value for i, value in enumerate(own)}
        return values


def read_fertility(stage: Signal, token_cache: TokenCache) -> Values:
    """Tokens a word of the rows that a target is scored on, and how many tokens they have.

    Raises:
        DataError: its rows cannot be read.
    """
    values: Values = {}
    for language, _ in stage.rows.rows:
        figures = token_cache.figures(stage.rows, language)
        values |= {f"{name}/{language}": figures[name] for name in (FERTILITY, "tokens", "unknown")}
    return values


def lm_head(folder: Path, vocabulary: Vocabulary) -> LmHead:
    """The pretrained LM head of a model, with the output matrix of its checkpoint.

    Raises:
        StageError: it has none that is known, or its tokenizer has no mask.
    """
    if vocabulary.mask_id < 0:
        raise StageError("its tokenizer has no mask token")
    return load_encoder_with_lm_head(folder)[1]


def mask_each(features: pa.Table, special_ids: tuple[int, ...]) -> tuple[pa.Table, dict[int, int]]:
    """Each token of sequences masked in turn, at most `MOST_MASKED` of a sequence.

    Returns:
        a row for each masked token: the features of its sequence, `example` (the row of the
        sequence in the features), `place` (of the masked token) - the mask itself is put there by
        whoever predicts; and how many tokens each sequence has that are not special.
    """
    owners, places, lengths = [], [], {}
    for row, ids in enumerate(features["input_ids"].to_pylist()):
        open_ = [i for i, token in enumerate(ids) if token not in special_ids]
        lengths[row] = len(open_)
        chosen = [open_[i] for i in sample(len(open_), MOST_MASKED)]
        owners += [row] * len(chosen)
        places += chosen
    masked = features.take(pa.array(owners, pa.int64()))
    index = masked.schema.get_field_index("example")
    masked = masked.set_column(index, "example", pa.array(owners, pa.int64()))
    return masked.append_column("place", pa.array(places, pa.int64())), lengths
