"""The figures of docs/performance.md: this project beside other libraries.

    python experiments/performance.py
    python experiments/performance.py --peer "SPU=/venv/bin/python spu.py {samples} {features} {clusters} {iterations}"

For each shape all contestants run in turn, several times, so that a slow moment of the machine strikes all of them. The
medians are written to ``performance.csv`` and ``race.csv``, and drawn. A peer is any command that prints
``NUMBER s/iter``.
"""

import json
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import matplotlib.pyplot as plt
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.app.forms import run_command

CENTRE: Final = {"samples": 10_000, "features": 2, "clusters": 5, "parties": 2}
"""The shape from which one number at a time is varied."""
SWEEPS: Final[dict[str, list[int]]] = {
    "samples": [200, 1_000, 10_000, 100_000, 1_000_000],
    "features": [2, 5, 10, 20, 50, 100],
    "clusters": [2, 3, 5, 8, 10, 12, 20],
    "parties": [2, 3, 4, 6, 8, 10],
}
RACE: Final = [(10_000, 2, 5), (1_000, 100, 2), (100_000, 2, 5)]
"""Rows, columns and clusters of the shapes that all contestants run."""
TITLES: Final = {"samples": "rows", "features": "columns", "clusters": "clusters", "parties": "parties"}
BENCHMARK: Final = Path(__file__).resolve().with_name("benchmark.py")


def iterations_of(samples: int) -> int:
    """How many iterations are measured of a shape."""
    return 30 if samples <= 10_000 else 10 if samples <= 100_000 else 4


def _ours(shape: dict[str, int], *more: str) -> dict[str, Any]:
    """The figures of ``experiments/benchmark.py`` for a shape."""
    options = [f"--{name}={value}" for name, value in shape.items()]
    options.append(f"--iterations={iterations_of(shape['samples'])}")
    done = subprocess.run(  # noqa: S603 this interpreter, our own script
        [sys.executable, str(BENCHMARK), *options, *more, "--json"], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _peer(command: str, samples: int, features: int, clusters: int) -> float:
    """Seconds for an iteration: the median of the numbers that a peer prints."""
    filled = command.format(samples=samples, features=features, clusters=clusters, iterations=3)
    done = subprocess.run(shlex.split(filled), capture_output=True, text=True, check=True)  # noqa: S603 the user's own command
    return statistics.median(float(seconds) for seconds in re.findall(r"([\d.]+) s/iter", done.stdout))


def _sweep(repeats: int) -> pd.DataFrame:
    """Medians of this project's figures, one number of the shape varied at a time."""
    rows = []
    for axis, values in SWEEPS.items():
        for value in values:
            shape = CENTRE | {axis: value}
            runs = [_ours(shape) for _ in range(1 if shape["samples"] > 100_000 else repeats)]
            median = {
                name: statistics.median(each[name] for each in runs)
                for name, figure in runs[0].items()
                if isinstance(figure, float | int) and not isinstance(figure, bool)
            }
            rows.append({"axis": axis, **median})
            click.echo(f"{axis} = {value:,}: {median['seconds_per_iteration'] * 1000:,.2f} ms")
    return pd.DataFrame(rows)


def _race(peers: dict[str, str], repeats: int) -> pd.DataFrame:
    """Seconds for an iteration of each contestant and shape; medians of runs in turn."""
    rows = []
    for samples, features, clusters in RACE:
        shape = {"samples": samples, "features": features, "clusters": clusters, "parties": 2}
        seconds: dict[str, list[float]] = {}
        for number in range(repeats):
            for name, more in {"secure": (), "secure, 18 bits": ("--precision-bits=18",)}.items():
                seconds.setdefault(name, []).append(_ours(shape, *more)["seconds_per_iteration"])
            if number == 0:
                seconds["engine crypten"] = [_ours(shape, "--engine=crypten")["seconds_per_iteration"]]
            for name, command in peers.items():
                seconds.setdefault(name, []).append(_peer(command, samples, features, clusters))
        rows.append(
            {"samples": samples, "features": features, "clusters": clusters}
            | {name: statistics.median(each) for name, each in seconds.items()}
        )
        click.echo(", ".join(f"{name} {value:,.4g}" for name, value in rows[-1].items()))
    return pd.DataFrame(rows)


def _draw(sweeps: pd.DataFrame, race: pd.DataFrame, path: Path) -> None:
    size = 3.25 * len(SWEEPS), 3.4
    figure, (axes,) = plt.subplots(1, len(SWEEPS), figsize=size, layout="constrained", sharey=True, squeeze=False)
    for ax, (axis, points) in zip(axes, sweeps.groupby("axis", sort=False), strict=True):
        ax.plot(points[axis], points["seconds_per_iteration"], "o-", color="C0", label="secure")
        if axis == "samples":
            for number, name in enumerate(race.columns[4:], start=1):
                shapes = race[race["features"] == CENTRE["features"]].dropna(subset=[name])
                ax.plot(
                    shapes["samples"], shapes[name], "s--", color=f"C{number}", markersize=4, linewidth=1, label=name
                )
            ax.legend(fontsize=7)
        ax.set(xlabel=TITLES[str(axis)], xscale="log", yscale="log")
        ax.grid(alpha=0.3, which="both", linewidth=0.5)
        ax.set_xticks(points[axis], [f"{value:,.0f}" for value in points[axis]], fontsize=7)
        ax.minorticks_off()
    axes[0].set_ylabel("seconds for an iteration")
    figure.savefig(path, dpi=150)
    plt.close(figure)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--peer",
    multiple=True,
    metavar="NAME=COMMAND",
    help="A contestant's command. {samples}, {features}, {clusters} and {iterations} are filled in.",
)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each shape.")
@click.option("--no-sweep", is_flag=True, help="The race alone.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("results/performance"), show_default=True
)
def main(peer: Sequence[str], repeats: int, no_sweep: bool, output: Path) -> None:
    """Measure, and write tables and a picture. Takes a quarter of an hour, on a machine with nothing else to do."""
    peers = dict(each.split("=", 1) for each in peer)
    output.mkdir(parents=True, exist_ok=True)
    race = _race(peers, repeats)
    race.to_csv(output / "race.csv", index=False)
    if not no_sweep:
        sweeps = _sweep(repeats)
        sweeps.to_csv(output / "performance.csv", index=False)
        _draw(sweeps, race, output / "performance.png")
    click.echo(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
