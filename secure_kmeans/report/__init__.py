"""What a run found, what it cost and who learned what: ``report.json``, tables and pictures."""
