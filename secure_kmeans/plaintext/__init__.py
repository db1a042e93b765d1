"""k-means in the clear, the baseline and oracle of the secure protocols. It knows nothing of torch."""
