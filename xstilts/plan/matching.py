"""Compute-matched intermediates: the steps, or the tokens, of another one's stage.

Text of MLM has several times the tokens of a pair of sentences, so equal steps and equal tokens
are two comparisons; a sweep file says which it makes.
"""

from __future__ import annotations

from dataclasses import replace

from xstilts.plan.inventory import Inventory, row_key
from xstilts.plan.stage import Part, Rows, Train


def steps_of(other: Train) -> tuple[int, int]:
    """The examples that take a stage's steps, and their batch size: its task's, or the common one
    where it is a mixture."""
    if len(other.parts) == 1:
        return other.parts[0].examples, other.parts[0].batch_size
    return other.num_steps * other.recipe.batch_size, other.recipe.batch_size


def with_tokens_of(other: Train, part: Part, inventory: Inventory, model: str) -> Part:
    """The part with as many examples as have the tokens that another stage draws."""
    tokens = sum(one.examples * _mean_tokens(inventory, model, one) for one in other.parts)
    examples = max(1, round(tokens / _mean_tokens(inventory, model, part)))
    return replace(part, examples=examples)


def token_key(model: str, rows: Rows, language: str) -> str:
    """The key of `Inventory.tokens`."""
    key = f"{model}|{row_key(rows.entry, rows.use, language)}|{rows.max_length}"
    return "|".join([key, *map(str, rows.normaliser or ())])


def _mean_tokens(inventory: Inventory, model: str, part: Part) -> float:
    """Tokens of an example that the part draws, on average."""
    languages = zip(part.train.rows, part.shares, strict=True)
    return sum(
        share * inventory.tokens[token_key(model, part.train, language)]
        for (language, _), share in languages
    )
