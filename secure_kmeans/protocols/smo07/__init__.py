"""SMO07: rows held by several parties, a leader, k-means whose centroids all parties know in each iteration."""

from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.smo07.protocol import SMO07

__all__ = ["SMO07", "Smo07Job"]
