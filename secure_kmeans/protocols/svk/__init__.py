"""SVK-means: columns held by several parties, a dealer, k-means on secret shares."""

from secure_kmeans.protocols.svk.job import SvkJob
from secure_kmeans.protocols.svk.protocol import SVK

__all__ = ["SVK", "SvkJob"]
