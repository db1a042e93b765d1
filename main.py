"""Plaintext k-means, the baseline: ``python main.py --help``."""

from secure_kmeans.app.cli import launch_in_the_clear as main

if __name__ == "__main__":
    main()
