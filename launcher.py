#!/usr/bin/env python3
"""Encrypted k-means: ``python launcher.py --help``."""

from secure_kmeans.app.cli import launch as main

if __name__ == "__main__":
    main()
