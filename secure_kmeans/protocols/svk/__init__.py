"""SVK-means: columns held by several parties, a dealer, k-means on secret shares."""
