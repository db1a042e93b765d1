"""The report of a run: what it found, what it cost and who learned what. ``report.json``, tables and pictures."""

from secure_kmeans.report.report import Report

__all__ = ["Report"]
