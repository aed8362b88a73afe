"""Two budgets of a sweep file: how much an intermediate trains, and what the whole sweep spends."""

from __future__ import annotations

from pydantic import model_validator

from xstilts.config.strict import Model, PositiveFloat, PositiveInt


class BudgetSpec(Model):
    """How much an intermediate stage trains: examples in all, or passes over all its data."""

    examples: PositiveInt | None = None
    epochs: PositiveFloat | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> BudgetSpec:
        if (self.examples is None) == (self.epochs is None):
            raise ValueError("a budget has exactly one of `examples` and `epochs`")
        return self


class SpendingSpec(Model):
    """What the whole sweep may spend, confirmation in it: hours of its GPUs, or tokens that its
    stages train on."""

    gpu_hours: PositiveFloat | None = None
    tokens: PositiveFloat | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> SpendingSpec:
        if (self.gpu_hours is None) == (self.tokens is None):
            raise ValueError("a sweep's budget has exactly one of `gpu_hours` and `tokens`")
        return self

    @property
    def unit(self) -> str:
        """What is counted, as a reader calls it."""
        return "trained tokens" if self.gpu_hours is None else "GPU-hours"

    @property
    def total(self) -> float:
        """How much of it there is."""
        return self.gpu_hours or self.tokens or 0.0

    def text(self, amount: float) -> str:
        """An amount as it is told: `12.5 GPU-hours`, `3.2 million trained tokens`."""
        if self.gpu_hours is not None:
            return f"{amount:.3g} {self.unit}"
        return f"{amount / 1e6:,.4g} million {self.unit}"
