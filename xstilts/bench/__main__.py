"""`python -m xstilts.bench`: the figures as JSON where torch and transformers are all there is.

A GPU machine that is borrowed for an hour needs no Ray, MLflow or datasets to be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from xstilts.bench.measure import DTYPES, Benchmark, Case, measure
from xstilts.bench.workloads import SHAPES, WORKLOADS


def main(case_of: type[Case] | None = None) -> None:
    """Measure what the options say; see `measure`."""
    parser = argparse.ArgumentParser(prog="python -m xstilts.bench", description=__doc__)
    parser.add_argument("model", help=f"{', '.join(SHAPES)} or a model folder")
    several: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument(
        "--work", dest="works", choices=sorted(WORKLOADS), default=["mnli"], **several
    )
    parser.add_argument(
        "--precision", dest="precisions", choices=sorted(DTYPES), default=["fp32"], **several
    )
    parser.add_argument("--batch", dest="batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int)
    for name, value in (("rounds", 3), ("threads", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--compile", dest="compiled", action="store_true")

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = measure(Benchmark(**vars(parser.parse_args())), tell, case_of)
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
