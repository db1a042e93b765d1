"""SHK-means: rows held by several parties, a dealer, k-means on secret shares."""

from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.protocols.shk.protocol import SHK

__all__ = ["SHK", "ShkJob"]
