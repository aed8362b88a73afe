"""xstilts: hyperparameter sweeps over intermediate tasks for zero-shot cross-lingual transfer."""

__version__ = "0.1.0"
