"""`python -m xstilts.bench`: the figures as JSON where torch and transformers are all there is.

A GPU machine that is borrowed for an hour needs no Ray, MLflow or datasets to be measured.
"""

from __future__ import annotations

import argparse
import json
import sys

from xstilts.bench.measure import DTYPES, measure
from xstilts.bench.workloads import WORKLOADS


def main() -> None:
    """Measure what the options say."""
    parser = argparse.ArgumentParser(prog="python -m xstilts.bench", description=__doc__)
    parser.add_argument("model", help="xlmr-mini, xlmr-base, xlmr-large or a model folder")
    parser.add_argument("--work", nargs="+", choices=sorted(WORKLOADS), default=["mnli"])
    parser.add_argument("--precision", nargs="+", choices=sorted(DTYPES), default=["fp32"])
    for name, value in (("batch", 32), ("steps", 10), ("rounds", 3), ("threads", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peer", action="store_true")
    chosen = parser.parse_args()
    found = measure(
        chosen.model,
        works=chosen.work,
        precisions=chosen.precision,
        batch_size=chosen.batch,
        steps=chosen.steps,
        rounds=chosen.rounds,
        threads=chosen.threads,
        with_peer=chosen.peer,
        seed=chosen.seed,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
