"""k-means in the clear: the baseline and the oracle of the secure protocols. NumPy only."""
