"""Plaintext k-means, the baseline: ``python main.py --help``."""

from typing import Any

import click

from secure_kmeans.options import Options, run, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@shared_options("data", "clusters", "algorithm")
@click.option("--elbow", is_flag=True, help="Run 1 to 10 clusters and draw the elbow instead.")
@shared_options("output")
def main(elbow: bool, **options: Any) -> None:
    """Cluster rows in the clear: the plaintext run that launcher.py compares itself with.

    Without options: the 200 mall customers in five clusters. Several --data files are put together.
    """
    from secure_kmeans import workflow

    if elbow:
        workflow.elbow(Options(**options), encrypted=False)
    else:
        workflow.plaintext(Options(**options))


if __name__ == "__main__":
    run(main)
