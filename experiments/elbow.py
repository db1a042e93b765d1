"""The elbow of the two-party paper (section 6.1): losses for 1 to 10 clusters, plaintext and encrypted.

    python experiments/elbow.py

Writes ``elbow.csv`` and ``elbow.png``, and prints the table.
"""

import sys
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.options import Options, run, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@shared_options("data", "parties", "algorithm", "output")
@click.option("--skip-encrypted", is_flag=True, help="Only the plaintext runs.")
def main(skip_encrypted: bool, **options: Any) -> None:
    """Run 1 to 10 clusters, in the clear and encrypted, and draw inertia and mean-distance loss against them.

    Without options: the mall customers, split between two parties. Some two minutes.
    """
    from secure_kmeans import workflow

    workflow.elbow(Options(**options), encrypted=not skip_encrypted)


if __name__ == "__main__":
    run(main)
