"""Encrypted k-means: ``python launcher.py --help``."""

from typing import Any

import click

from secure_kmeans.options import Options, run, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@shared_options("data", "parties", "clusters", "algorithm")
@click.option("--skip-plaintext", is_flag=True, help="Do not run the plaintext baseline on all rows for comparison.")
@shared_options("output")
def main(skip_plaintext: bool, **options: Any) -> None:
    """Cluster several parties' rows on secret shares, and compare with a plaintext run.

    All parties and the dealer run on this machine, each in a process of its own that reads its own rows only.
    Without options: the 200 mall customers, split between two parties, in five clusters.
    """
    from secure_kmeans import workflow

    workflow.encrypted(Options(**options), skip_plaintext=skip_plaintext)


if __name__ == "__main__":
    run(main)
