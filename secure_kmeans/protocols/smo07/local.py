"""A party's own part of an iteration: labels, sums and sizes of its own rows, block by block. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from secure_kmeans.job.fixed_point import FixedPoint, exact_sums
from secure_kmeans.job.scaling import Scaling
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.plaintext.points import Moments
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.tables import Table


@dataclass(repr=False)
class OwnRows:
    """A party's rows, read in blocks.

    Parameters
    ----------
    job : Smo07Job
    table : Table
        Within the job's bounds.
    """

    job: Smo07Job
    table: Table

    def __post_init__(self) -> None:
        self._fixed_point = FixedPoint(self.job.precision_bits)
        self._kept = None if self.table.IS_CHUNKED else [self._encoded(rows) for rows in self.table.blocks()]

    def __len__(self) -> int:
        return len(self.table)

    def _encoded(self, rows: np.ndarray) -> np.ndarray:
        """A block of rows in units of the fixed point, columns first: (d, m) int64, contiguous."""
        return np.ascontiguousarray(self._fixed_point.encode(self.job.scaling.apply(rows)).T)

    def _blocks(self) -> Iterator[np.ndarray]:
        """All blocks in units of the fixed point. Those of a table that is read in chunks are encoded in each pass."""
        return map(self._encoded, self.table.blocks()) if self._kept is None else iter(self._kept)

    def _both(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All blocks in original units, rows first, and in units of the fixed point."""
        if self._kept is not None:
            return zip(self.table.blocks(), self._kept, strict=True)
        return ((rows, self._encoded(rows)) for rows in self.table.blocks())

    def moments(self, tolerance: Tolerance | None) -> tuple[Moments, int]:
        """The sums of the rows and of their squares, and of the shifted norms where there is a tolerance."""
        d = len(self.job.columns)
        sums, squares, norms = [0] * d, [0] * d, 0
        for block in self._blocks():
            X = block.T
            sums = [total + own for total, own in zip(sums, exact_sums(X), strict=True)]
            squares = [total + own for total, own in zip(squares, exact_sums(X * X), strict=True)]
            if tolerance is not None:
                norms += int(tolerance.shifted_norms(X).sum())
        return Moments(len(self), sums, squares), norms

    def sums(self, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums (r, k, d) and sizes (r, k) of each cluster of r starts, int64.

        Parameters
        ----------
        C : (r, k, d) int64
        """
        sums, sizes = np.zeros(C.shape, dtype=np.int64), np.zeros(C.shape[:2], dtype=np.int64)
        for block in self._blocks():
            for start, centroids in enumerate(C):
                labels, _ = _nearest(block, centroids)
                add_by_label(block, labels, sums[start], sizes[start])
        return sums, sizes

    def inertias(self, C: np.ndarray) -> list[int]:
        """The inertia of each of r starts, in units of the fixed point squared, exactly."""
        totals = [0] * len(C)
        for block in self._blocks():
            for start, centroids in enumerate(C):
                _, squared = _nearest(block, centroids)
                totals[start] += exact_sums(squared[:, None])[0]
        return totals

    def sizes(self, centroids: np.ndarray) -> np.ndarray:
        """The number of rows that are nearest to each of (k, d) centroids, (k,) int64."""
        sizes = np.zeros(len(centroids), dtype=np.int64)
        for labels in self.labels(centroids):
            sizes += np.bincount(labels, minlength=len(sizes))
        return sizes

    def labels(self, centroids: np.ndarray) -> Iterator[np.ndarray]:
        """The number of the nearest of (k, d) centroids of each row, in blocks of (m,) int64."""
        for block in self._blocks():
            yield _nearest(block, centroids)[0]

    def sums_by_column(self, centroids: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`sums` for (k, d) centroids, of rows in units of each column's range, with ``bits`` of fraction."""
        scaling: Scaling = self.job.scaling.by_column
        fixed_point = FixedPoint(bits)
        sums, sizes = np.zeros(centroids.shape, dtype=np.int64), np.zeros(len(centroids), dtype=np.int64)
        for rows, own in self._both():
            block = np.ascontiguousarray(fixed_point.encode(scaling.apply(rows)).T)
            add_by_label(block, _nearest(own, centroids)[0], sums, sizes)
        return sums, sizes

    def inertia(self, grid: np.ndarray, centroids: np.ndarray) -> float:
        """The inertia around (k, d) centroids in original units, of rows that are labelled by the grid centroids."""
        return sum(inertia(rows, _nearest(own, grid)[0], centroids) for rows, own in self._both())


def _nearest(block: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centroid of each row, the lowest index at a tie, and its squared distance, both (m,) int64.

    Parameters
    ----------
    block : (d, m) int64
    centroids : (k, d) int64
    """
    labels = np.zeros(block.shape[1], dtype=np.int64)
    squared = _squared(block, centroids[0])
    for number, centroid in enumerate(centroids[1:], start=1):
        other = _squared(block, centroid)
        nearer = other < squared
        labels[nearer] = number
        np.minimum(squared, other, out=squared)
    return labels, squared


def _squared(block: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    total = np.zeros(block.shape[1], dtype=np.int64)
    for column, coordinate in zip(block, centroid, strict=True):
        difference = column - coordinate
        difference *= difference
        total += difference
    return total


def add_by_label(block: np.ndarray, labels: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> None:
    """Add rows to the sums of their clusters, and count them.

    Parameters
    ----------
    block : (d, m) int64
        ``m max|x| < 2^53``: the sums of a block are exact in double precision.
    labels : (m,) int64
    sums : (k, d) int64, changed
    sizes : (k,) int64, changed
    """
    k = len(sizes)
    sizes += np.bincount(labels, minlength=k)
    for column, numbers in enumerate(block):
        sums[:, column] += np.bincount(labels, weights=numbers, minlength=k).astype(np.int64)
