"""The plane of a picture of rows and centroids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.words import shown

_LONGEST_NAME: Final = 40


def short_name(name: str) -> str:
    """A name that fits beside a picture."""
    return shown(name, _LONGEST_NAME)


@dataclass(frozen=True)
class Plane:
    """The plane of a picture: a projection of one, two or many columns.

    Attributes
    ----------
    labels : names of the two axes
    origin : (n_features,)
    directions : (2, n_features)
    lines : names of the parties, each on a line of its own; for one column only
    """

    labels: tuple[str, str]
    origin: np.ndarray
    directions: np.ndarray
    lines: Sequence[str] = ()

    @classmethod
    def of(cls, rows: np.ndarray, columns: Sequence[str], parties: Sequence[str], units: np.ndarray) -> Plane:
        """The plane of rows (n, n_features); see :func:`~secure_kmeans.report.plots.draw_clusters`."""
        d = rows.shape[1]
        if d == 1:
            return cls((short_name(columns[0]), ""), np.zeros(1), np.array([[1.0], [0.0]]), parties)
        if d == 2:
            return cls((short_name(columns[0]), short_name(columns[1])), np.zeros(2), np.eye(2))
        variances, directions = np.linalg.eigh(np.cov((rows / units).T) if len(rows) > 1 else np.eye(d))
        parts = 100 * variances[::-1] / max(variances.sum(), np.finfo(float).tiny)
        labels = (f"First principal component ({parts[0]:.0f} %)", f"Second principal component ({parts[1]:.0f} %)")
        return cls(labels, rows.mean(axis=0), directions.T[::-1][:2] / units)

    def project(self, rows: np.ndarray, owners: np.ndarray | None) -> np.ndarray:
        """Positions of rows in the picture, (n, 2); without owners, of centroids."""
        flat: np.ndarray = (rows - self.origin) @ self.directions.T
        if self.lines:
            scatter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
            flat[:, 1] = -1 if owners is None else owners + scatter
        return flat
