"""The elbow of the two-party paper (section 6.1): losses for 1 to 10 clusters, plaintext and encrypted.

    python experiments/elbow.py

Writes ``elbow.csv``, ``elbow.png`` and the reports of the encrypted runs, and prints the table.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.app.cli import launch_elbow as main

if __name__ == "__main__":
    main()
