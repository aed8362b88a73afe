"""The generator of the miniature benchmark, and the pretraining of its encoder.

What it made from seed 0 lies in `xstilts/mini`; nothing that is installed runs it. Tests and
benchmarks import it for worlds of their own: other seeds, languages or domains.
"""
