"""The nearest neighbours of two pools of vectors in each other, from one product of the pools; and
of queries in one pool that comes in parts.

Products are computed block by block. A product is looked at again only if it is above the k-th
largest so far of its row or its column, and after the first blocks few are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK_ROWS, BLOCK_COLUMNS = 2048, 5120
"""Products held at a time, 40 MB: pools of any size are compared block by block."""

SCANNED_ROWS = 64
"""Rows of a block that are compared at a time: what is noted of them stays in the cache."""

CANDIDATES = 2**18
"""Products taken up at a time; more in a block, as where all vectors are equal, come in turns."""

GROUPS = 128
"""Groups of a block's products; see `_Largest.floor`."""

Neighbours = tuple[np.ndarray, np.ndarray]
"""Products and positions of the nearest vectors, best first: (vectors, k), float32 and int64."""


def nearest(sources: Tensor, targets: Tensor, k: int) -> tuple[Neighbours, Neighbours]:
    """The `k` largest inner products of each vector with the other pool: of the sources, then of
    the targets. Of equal products the one with the lowest position counts.

    A vector has as many neighbours as there are where the other pool is smaller than `k`; a
    product that is not a number is none. Memory: a block and the neighbours, beside the pools.

    Args:
        sources: (sources, hidden size), float32, on the host.
        targets: (targets, hidden size), float32, on the host.
    """
    forward = _Largest(len(sources), min(k, len(targets)))
    backward = _Largest(len(targets), min(k, len(sources)))
    # New memory for every block would take as long as some of the work that is done on it.
    memory = torch.empty(min(BLOCK_ROWS, len(sources)) * min(BLOCK_COLUMNS, len(targets)))
    for left in range(0, len(targets), BLOCK_COLUMNS):
        columns = targets[left : left + BLOCK_COLUMNS].T.contiguous()
        for top in range(0, len(sources), BLOCK_ROWS):
            rows = sources[top : top + BLOCK_ROWS]
            shape = len(rows), columns.shape[1]
            block = memory[: shape[0] * shape[1]].view(shape)
            products = torch.mm(rows, columns, out=block).numpy()
            floors = forward.floor(products, top), backward.floor(products.T, left)
            hits = _above(products, *floors)
            for first in range(0, len(hits), CANDIDATES):
                row, column = np.divmod(hits[first : first + CANDIDATES], shape[1])
                values = products[row, column]
                forward.add(top + row, left + column, values)
                backward.add(left + column, top + row, values)
    return forward.neighbours(), backward.neighbours()


class Search:
    """The `k` largest inner products of queries with the candidates of a pool, of which a part is
    there at a time. Of equal products the one with the lowest position counts.

    Memory: a block and the neighbours, beside the queries and a part.

    Args:
        queries: (queries, size), float32, on the host.
    """

    def __init__(self, queries: Tensor, k: int):
        self._queries = queries
        self._largest = _Largest(len(queries), k)
        self._memory = torch.empty(min(BLOCK_ROWS, len(queries)) * BLOCK_COLUMNS)
        self.num_candidates = 0

    def add(self, candidates: Tensor) -> None:
        """Compare with the next candidates: (candidates, size), float32, on the host."""
        for left in range(0, len(candidates), BLOCK_COLUMNS):
            columns = candidates[left : left + BLOCK_COLUMNS].T.contiguous()
            for top in range(0, len(self._queries), BLOCK_ROWS):
                rows = self._queries[top : top + BLOCK_ROWS]
                shape = len(rows), columns.shape[1]
                block = self._memory[: shape[0] * shape[1]].view(shape)
                products = torch.mm(rows, columns, out=block).numpy()
                hits = _above(products, self._largest.floor(products, top))
                for first in range(0, len(hits), CANDIDATES):
                    row, column = np.divmod(hits[first : first + CANDIDATES], shape[1])
                    positions = self.num_candidates + left + column
                    self._largest.add(top + row, positions, products[row, column])
        self.num_candidates += len(candidates)

    def neighbours(self) -> Neighbours:
        """The best so far, fewer where the candidates were."""
        products, positions = self._largest.neighbours()
        return products[:, : self.num_candidates], positions[:, : self.num_candidates]


def _above(
    products: np.ndarray, row_floor: np.ndarray, column_floor: np.ndarray | None = None
) -> np.ndarray:
    """Where products exceed the floor of their row or their column: positions in the flat block."""
    found = []
    for top in range(0, len(products), SCANNED_ROWS):
        rows = slice(top, top + SCANNED_ROWS)
        is_above = products[rows] > row_floor[rows, None]
        if column_floor is not None:
            is_above |= products[rows] > column_floor
        found.append(np.flatnonzero(is_above) + top * products.shape[1])
    return np.concatenate(found)


class _Largest:
    """The `k` largest products of every vector of a pool so far.

    A product is kept as the complex number -value + position i: NumPy sorts these by their real
    part, then by their imaginary part, so that sorting puts the best first and settles ties.
    """

    def __init__(self, count: int, k: int):
        self.kept = np.full((count, k), np.inf, np.complex128)

    def floor(self, products: np.ndarray, start: int) -> np.ndarray:
        """What a product must exceed to count: (vectors,), float32.

        Args:
            products: (vectors, others), of the vectors from `start` on.
        """
        worst = self.kept[start : start + len(products), -1].real
        floor: np.ndarray = -worst.astype(np.float32)
        k = self.kept.shape[1]
        whole = products.shape[1] // GROUPS * GROUPS
        if whole and k <= GROUPS and np.isneginf(floor).any():
            # Nothing kept so far would make every product a candidate. The k-th largest of the
            # maxima of some groups is at most the k-th largest product, and close to it.
            groups = products[:, :whole].reshape(len(products), -1, GROUPS)
            maxima = np.partition(np.fmax.reduce(groups, axis=1), -k, axis=1)[:, -k]
            floor = np.fmax(floor, np.nextafter(maxima, np.float32(-np.inf)))
        return floor

    def add(self, owners: np.ndarray, positions: np.ndarray, values: np.ndarray) -> None:
        """Take up products, (products,) each: whose, with which, and how large.

        Products of one vector come in the order of their positions, over all calls.
        """
        k = self.kept.shape[1]
        better = np.flatnonzero(values > -self.kept[owners, -1].real)
        better = better[np.argsort(owners[better], kind="stable")]
        owners = owners[better]
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        counts = np.diff(first, append=len(owners))
        # A row for each vector: what it has, then what is new.
        rows = np.full((len(first), k + counts.max(initial=0)), np.inf, np.complex128)
        rows[:, :k] = self.kept[owners[first]]
        row = np.repeat(np.arange(len(first)), counts)
        column = k + np.arange(len(owners)) - np.repeat(first, counts)
        rows[row, column] = -values[better] + 1j * positions[better]
        rows.sort(axis=1)
        self.kept[owners[first]] = rows[:, :k]

    def neighbours(self) -> Neighbours:
        """The products and their positions."""
        return -self.kept.real.astype(np.float32), self.kept.imag.astype(np.int64)
