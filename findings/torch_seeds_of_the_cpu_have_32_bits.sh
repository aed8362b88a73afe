#!/usr/bin/env bash
# torch 2.13.0: manual_seed takes 64 bits and says so (initial_seed gives them back), but the generator
# of the CPU uses the lower 32. Seeds that differ above are one seed.
#
# Guess: two seeds that manual_seed accepts and initial_seed tells apart give two streams, as they do
# with numpy's default_rng.
# Seen: a seed made of a run's and a process' number, (rank << 32) + seed, gives all ranks the same
# numbers, order of rows and dropout on the CPU, where most orders of rows are drawn also if a GPU
# trains; (seed << 32) + rank gives all seeds of a study the same ones, so that their spread is 0 with
# no error anywhere. Mix both numbers into 32 bits instead, for example by numpy's SeedSequence.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.2
cat > "$folder/seeds.py" <<'PY'
import numpy as np
import torch
from torch.utils.data import DataLoader

RANKS, SEED = 4, 7


def stream(seed):
    """What a process draws: numbers, an order of rows, and what dropout keeps."""
    torch.manual_seed(seed)
    assert torch.initial_seed() == seed
    numbers = torch.rand(1000)
    generator = torch.Generator().manual_seed(seed)
    rows = [int(row) for row in DataLoader(range(100), shuffle=True, generator=generator)]
    kept = torch.nn.functional.dropout(torch.ones(1000), 0.1)
    return tuple(numbers.tolist()), tuple(rows), tuple(kept.tolist())


def distinct(told, seeds):
    numbers, rows, kept = (len(set(part)) for part in zip(*map(stream, seeds)))
    of_numpy = len({tuple(np.random.default_rng(seed).random(10)) for seed in seeds})
    print(
        f"{told}, {len(seeds)} of them: {numbers} streams of numbers, {rows} orders of rows, "
        f"{kept} of dropout; {of_numpy} streams of numpy"
    )
    return numbers, rows, kept, of_numpy


above = distinct("seeds that differ above bit 31", [(rank << 32) + SEED for rank in range(RANKS)])
below = distinct("seeds that differ below", [(SEED << 32) + rank for rank in range(RANKS)])
runs = distinct("a rank's seeds in runs of one study", [(seed << 32) + 1 for seed in range(RANKS)])
mixed = distinct(
    "numbers mixed into 32 bits",
    [int(np.random.SeedSequence((SEED, rank)).generate_state(1)[0]) for rank in range(RANKS)],
)
assert above == runs == (1, 1, 1, RANKS), (above, runs)
assert below == mixed == (RANKS,) * 4, (below, mixed)
PY
"$folder/venv/bin/python" "$folder/seeds.py"
echo "as described"
