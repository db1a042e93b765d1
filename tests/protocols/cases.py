"""What the conformance suite has to know of each protocol."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.net.messages import encode_object
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.tables import Table
from tests.protocols.test_costs_of_lloyd import symbols_of
from tests.protocols.toy.mean import MEAN_PROTOCOL, MeanJob
from tests.stated_costs import ROUNDS, TO_EACH, stated


class Case(ABC):
    """One protocol, with a small problem.

    Attributes
    ----------
    name : str
        Under which the protocol is registered.
    numbers_of_parties : tuple of int
    shortest_mask_bytes : int
        Shorter messages are public, or may be equal by chance.
    """

    name: str
    numbers_of_parties: tuple[int, ...] = (2, 3, 10)
    shortest_mask_bytes: int = 16

    @abstractmethod
    def job(self, parties: int) -> Job:
        """A job of a run with several iterations."""

    @abstractmethod
    def tables(self, job: Job) -> dict[str, Table]:
        """Each party's table; the parties have different numbers of rows."""

    @abstractmethod
    def check_against_oracle(self, job: Job, tables: dict[str, Table], results: Sequence[Any]) -> None:
        """Compare all parties' results with the same run in the clear."""

    @abstractmethod
    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """Rounds and bytes of the first party, from the protocol's documentation."""

    def own(self, result: Any) -> Any:
        """What one party alone holds of a result, without times."""
        return result.own

    def masked_to(self, job: Job, sender: str) -> str:
        """A role to which all longer messages of a role are masked or shares."""
        return next(name for name in job.names if name != sender)

    @staticmethod
    def names(parties: int) -> tuple[str, ...]:
        return tuple(f"party_{rank}" for rank in range(parties))


def split(rows: np.ndarray, job: Job, columns: tuple[str, ...]) -> dict[str, Table]:
    """Rows in slices; the first party has most of them."""
    edges = np.cumsum([len(rows) - 2 * (len(job.parties) - 1), *[2] * (len(job.parties) - 2)])
    return {name: Table(name, columns, part) for name, part in zip(job.names, np.split(rows, edges), strict=True)}


class ShkCase(Case):
    """SHK with one start at random rows, 70 rows, 2 columns, 4 clusters."""

    name = "shk"
    rows = np.random.default_rng(4).random((70, 2))

    def job(self, parties: int) -> ShkJob:
        return ShkJob.of(
            parties=Party.named(*self.names(parties)),
            columns=("x", "y"),
            n_clusters=4,
            init="random",
            n_init=1,
            seed=3,
            scaling=Scaling.of(lower=(0.0, 0.0), upper=(1.0, 1.0)),
            precision_bits=24,
        )

    def tables(self, job: Job) -> dict[str, Table]:
        return split(self.rows, job, ("x", "y"))

    def check_against_oracle(self, job: Job, tables: dict[str, Table], results: Sequence[Any]) -> None:
        assert isinstance(job, ShkJob)
        check_shk_against_plaintext(job, self.rows, results)

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """The formulas of docs/protocols.md, in the order of a run."""
        assert isinstance(job, ShkJob)
        symbols = symbols_of(job, len(self.rows))
        n, d = symbols["n"], symbols["d"]
        iterations, others = results[0].common.n_iter, len(job.parties) - 1

        def cost(name: str, **given: int) -> np.ndarray:
            return np.array([stated(name, column, **symbols | given) for column in (ROUNDS, TO_EACH)])

        stop = cost("negative", m=1, b=64) + np.array([0, 8])  # Delta beside the comparison; a word of bits
        model = results[0].common
        small = sum(sizes.count(None) for sizes in model.sizes_by_iteration)
        total = np.array([2, 8 + 32])  # the number of rows, the digest of the coins
        total += cost("fixed")
        total += cost("iteration_withholding") * iterations
        total -= [0, stop[1] + symbols["S"] * small]  # the first iteration has no stop bit
        total += cost("labelling") + np.array([0, stop[1]])
        total += cost("conclusion") + cost("sum_of_all")
        total -= [0, (4 + 8 * 2 * d) * len(model.withheld)]
        rounds, to_each = total.tolist()
        to_owners = 4 * (n - results[0].n_samples[job.names[0]])
        to_dealer = [results[0].n_samples[name] for name in job.names], None, *[[0]] * iterations, []
        return rounds, others * to_each + to_owners + sum(len(encode_object(told)) for told in to_dealer)

    def own(self, result: Any) -> Any:
        return result.own.labels


def check_shk_against_plaintext(job: ShkJob, rows: np.ndarray, results: Sequence[Any]) -> None:
    """Compare all that SHK found with the plaintext run from the same coins, to the last bit."""
    model = results[0].common
    assert all(result.common == model for result in results), "the parties hold different results"
    runs = run_in_the_clear(job, rows, model.seed or 0)
    assert model.best_restart == number_of_best(runs)
    run = runs[model.best_restart]
    plain = conclude(job, rows, run)
    assert [label for result in results for label in result.own.labels] == plain.labels.tolist()
    assert (model.n_iter, model.converged, model.withheld) == (run.n_iter, run.converged, plain.withheld)
    assert model.centroids == plain.centroids
    assert model.grid_centroids == plain.grid_centroids
    assert model.sizes == (None if job.hide_counts else plain.sizes)
    assert model.sizes_by_iteration == ([] if job.hide_counts else plain.sizes_by_iteration)
    if model.inertia is not None:
        expected = inertia(rows, plain.labels, plain.centroids)
        assert math.isclose(model.inertia, expected, rel_tol=1e-12, abs_tol=1e-30)


class MeanCase(Case):
    """The protocol of the tests: a private mean of each of three columns."""

    name = "mean"
    numbers_of_parties = (3, 10)
    shortest_mask_bytes = 8
    rows = np.round(np.random.default_rng(6).normal(40, 20, (31, 3)), 2)

    def job(self, parties: int) -> MeanJob:
        return MeanJob.of(parties=Party.named(*self.names(parties)), columns=("age", "dose", "weight"))

    def tables(self, job: Job) -> dict[str, Table]:
        return split(self.rows, job, ("age", "dose", "weight"))

    def check_against_oracle(self, job: Job, tables: dict[str, Table], results: Sequence[Any]) -> None:
        assert isinstance(job, MeanJob)
        expected = np.array(MEAN_PROTOCOL.in_the_clear(job, tables, []))
        error = len(job.parties) * 0.5 * 2.0**-20 / len(self.rows)  # each party rounds its sum once
        for result in results:
            assert np.abs(np.array(result.common.means) - expected).max() <= error

    def masked_to(self, job: Job, sender: str) -> str:
        return job.roles[-1].name

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """The number of rows to and from every other party; a masked sum to the adder and a total for each column."""
        assert isinstance(job, MeanJob)
        others = len(job.parties) - 1
        return 1 + len(job.columns), 8 * others + 8 * len(job.columns)


CASES: tuple[Case, ...] = (ShkCase(), MeanCase())
