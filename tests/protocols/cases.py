"""What the conformance suite has to know of each protocol."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from secure_kmeans.crypto.paillier import ciphertext_bytes, public_key_bytes
from secure_kmeans.crypto.plaintext_packing import Packing
from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.net.messages import encode_object
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.protocols.smo07.addition import room
from secure_kmeans.protocols.smo07.checks import check_all_rows
from secure_kmeans.protocols.svk import SvkJob
from secure_kmeans.tables import Table
from tests.protocols import columns, leading
from tests.protocols.test_costs_of_lloyd import symbols_of
from tests.protocols.toy.mean import MEAN_PROTOCOL, MeanJob
from tests.stated_costs import ROUNDS, TO_EACH, stated


class Case(ABC):
    """One protocol, with a small problem.

    Attributes
    ----------
    name : str
        Under which the protocol is registered.
    title : str
        Of the case, in the names of tests.
    numbers_of_parties : tuple of int
    shortest_mask_bytes : int
        Shorter messages are public, or may be equal by chance.
    """

    name: str
    title: str
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

    def n_samples(self, tables: dict[str, Table]) -> dict[str, int]:
        """The number of rows of each party that take part."""
        return {name: len(table) for name, table in tables.items()}

    def rows_of_all(self, result: Any) -> int:
        """The number of rows that are clustered."""
        return sum(result.n_samples.values())

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

    name = title = "shk"
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


class SvkCase(Case):
    """SVK with open labels: one start at rows that are shares at first, 70 rows, 11 columns, 4 clusters."""

    name, title = "svk", "svk"
    rows = np.random.default_rng(4).random((70, 11))
    keys: ClassVar[dict[str, Any]] = {"init": "farthest", "seed": 3}

    def job(self, parties: int) -> SvkJob:
        """The first party has most of the columns."""
        given = {"precision_bits": 24, "scaling": Scaling.of(lower=(0.0,) * 11, upper=(1.0,) * 11)} | self.keys
        return columns.job_for(self.rows, [12 - parties, *[1] * (parties - 1)], 4, **given)

    def tables(self, job: Job) -> dict[str, Table]:
        assert isinstance(job, SvkJob)
        return columns.tables_of(job, self.rows)

    def n_samples(self, tables: dict[str, Table]) -> dict[str, int]:
        return dict.fromkeys(tables, len(self.rows))

    def rows_of_all(self, result: Any) -> int:
        return int(result.n_samples["party_0"])

    def own(self, result: Any) -> Any:
        return result.own.rows, result.own.labels, result.own.centroids, result.own.grid_centroids

    def check_against_oracle(self, job: Job, tables: dict[str, Table], results: Sequence[Any]) -> None:
        assert isinstance(job, SvkJob)
        columns.check_svk_against_plaintext(job, columns.joined(tables, results), results)

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """Row counts, coins, the start, labellings and the inertia, in the order of a run."""
        assert isinstance(job, SvkJob)
        cost, others = self._costs(job), len(job.parties) - 1
        labellings = results[0].common.n_iter + 1
        n, k = len(self.rows), job.n_clusters
        total = np.array([2, 8 + 32]) + cost("fixed") + cost("sum_of_all")
        total += cost("squares", m=n * len(job.columns)) + (k - 1) * cost("squared_distances", c=1)
        total += (k - 2) * cost("smaller", m=n)
        total += (k - 1) * sum(cost("tournament_stage", c=c, g=g) for c, g in ((9, 8), (2, 8), (1, 2)))
        total += self._labellings(cost, labellings) + 2 * cost("masked")  # two labellings on shares
        rounds, to_each = total.tolist()
        to_dealer = None, [n] * len(job.parties), *[[[0], False]] * (labellings - 1), [[], False]
        return rounds, others * to_each + _bytes_of(to_dealer)

    def _costs(self, job: SvkJob) -> Callable[..., np.ndarray]:
        symbols = symbols_of(job, len(self.rows))
        return lambda name, **given: np.array([stated(name, each, **symbols | given) for each in (ROUNDS, TO_EACH)])

    def _labellings(self, cost: Callable[..., np.ndarray], number: int) -> np.ndarray:
        """Each opens the labels; all but the first open a stop bit beside."""
        label = cost("argmin_of_masked", m=len(self.rows)) + np.array([1, 8 * 3 * 2])  # words of 70 rows
        stop = cost("negative", m=1, b=64) + np.array([1, 8])
        assert stop[0] <= label[0]
        return number * label + (number - 1) * np.array([0, stop[1]])


class AlignedSvkCase(SvkCase):
    """SVK with open labels of the rows that all parties have, from given centroids, disclosed to all."""

    title = "svk-psi"
    keys: ClassVar[dict[str, Any]] = {
        "align": "psi",
        "id": "patient",
        "most_rows": 90,
        "centroids": tuple(map(tuple, SvkCase.rows[:4].tolist())),
        "disclose": {"centroids": "all"},
    }

    def tables(self, job: Job) -> dict[str, Table]:
        assert isinstance(job, SvkJob)
        return columns.scattered(job, self.rows, extra=5)

    def masked_to(self, job: Job, sender: str) -> str:
        """The dealer: parties disclose centroids to each other."""
        return job.roles[-1].name if sender != job.roles[-1].name else job.names[-1]

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """The alignment, labellings, centroids and the inertia."""
        assert isinstance(job, SvkJob)
        cost, parties, labellings = self._costs(job), len(job.parties), results[0].common.n_iter + 1
        shown = job.n_clusters - len(results[0].common.withheld)
        total = self._labellings(cost, labellings) + cost("sum_of_all")
        total += cost("opened", m=2 * shown * len(job.columns), S=8)
        total += [1 + parties + 2, 0]  # a block, hops, positions and a digest
        rounds, to_each = total.tolist()
        alignment = 32 * 90 * parties + 16 * 90 + 32 * (parties - 1)
        to_dealer = None, *[[0]] * (labellings - 1), []
        return rounds, (parties - 1) * to_each + alignment + _bytes_of(to_dealer)


class HiddenSvkCase(SvkCase):
    """SVK with hidden labels, which one party learns at the end; the order of the rows is compared."""

    title = "svk-hidden"
    keys: ClassVar[dict[str, Any]] = {
        "align": "order",
        "id": "patient",
        "hide_labels": True,
        "init": "random",
        "seed": 3,
        "min_cluster_size": 5,
        "disclose": {"labels": ("party_1",)},
    }

    def tables(self, job: Job) -> dict[str, Table]:
        assert isinstance(job, SvkJob)
        return columns.tables_of(job, self.rows, [f"id-{number}" for number in range(len(self.rows))])

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """Those of a run of SHK, but for the alignment, and for what is disclosed to its owner alone."""
        assert isinstance(job, SvkJob)
        symbols, cost, parties = symbols_of(job, len(self.rows)), self._costs(job), len(job.parties)
        model, n, d, k = results[0].common, len(self.rows), len(job.columns), job.n_clusters
        stop = cost("negative", m=1, b=64) + np.array([0, 8])
        total = np.array([2, 8 + 32]) + cost("fixed") + cost("iteration_withholding") * model.n_iter
        total -= [0, stop[1] + symbols["S"] * sum(sizes.count(None) for sizes in model.sizes_by_iteration)]
        total += cost("labelling") + np.array([0, stop[1]])
        total += cost("conclusion") - [0, 8 * 2 * k * d + 4 * len(model.withheld)]
        total += [parties + 1, 0]  # the order is compared
        rounds, to_each = total.tolist()
        to_owners = 4 * n + 8 * 2 * (k - len(model.withheld)) * (d - job.widths[0])
        to_dealer = None, [n] * parties, *[[0]] * model.n_iter, []
        return rounds, (parties - 1) * to_each + to_owners + 32 * parties + 16 + _bytes_of(to_dealer)


def _bytes_of(told: Sequence[Any]) -> int:
    """The bytes of plain values that the first party sends to the dealer."""
    return sum(len(encode_object(each)) for each in told)


class Smo07Case(Case):
    """SMO07 by multi-party addition: one start within the moments, 70 rows, 2 columns, 4 clusters."""

    name, title = "smo07", "smo07"
    numbers_of_parties = (3, 10)
    rows = np.random.default_rng(4).random((70, 2))
    keys: ClassVar[dict[str, Any]] = {"seed": 5}

    def masked_to(self, job: Job, sender: str) -> str:
        """The last party, which receives ciphertexts; what the leader sends it is public."""
        return job.names[-1] if sender not in (job.names[0], job.names[-1]) else sender

    def job(self, parties: int) -> Smo07Job:
        given = {"precision_bits": 24, "scaling": Scaling.of(lower=(0.0, 0.0), upper=(1.0, 1.0))} | self.keys
        return leading.with_small_keys(leading.job_for(self.rows, parties, 4, **given))

    def tables(self, job: Job) -> dict[str, Table]:
        assert isinstance(job, Smo07Job)
        return split(self.rows, job, job.columns)

    def check_against_oracle(self, job: Job, tables: dict[str, Table], results: Sequence[Any]) -> None:
        assert isinstance(job, Smo07Job)
        leading.check_results_against_plaintext(job, tables, results)

    def own(self, result: Any) -> Any:
        return result.own.labels

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """Row counts and digests, and an addition for the moments, for each iteration and for the final means.

        Of an addition: the leader sends a new key to all others, ciphertexts to the second party, and what it has found
        to all others; it waits for ciphertexts and for shares.
        """
        assert isinstance(job, Smo07Job)
        others, d = len(job.parties) - 1, len(job.columns)
        n, iterations = len(self.rows), results[0].common.n_iter
        limits = check_all_rows(job, n)
        key, ciphertext = public_key_bytes(job.key_bits) + 34, ciphertext_bytes(job.key_bits)

        def addition(bounds: Sequence[int], result: int) -> np.ndarray:
            plaintexts = Packing.of(bounds, room(job.key_bits, len(job.parties)) + 1).plaintexts
            return np.array([2, (key + result) * others + 32 + ciphertext * plaintexts])

        def means(largest: int) -> np.ndarray:
            return addition([n] * 4 + [n * largest] * 4 * d, 8 * 4 * d)

        total = np.array([2, (8 + 32) * others])
        squares = n * limits.largest**2
        total += addition([n * limits.largest] * d + [squares] * d, 2 * d * (squares.bit_length() // 8 + 1))
        total += iterations * means(limits.largest) + means(limits.largest_by_column)
        rounds, sent = total.tolist()
        return rounds, sent


class AggregateCase(Smo07Case):
    """The same in the mode "aggregate"."""

    title = "smo07-aggregate"
    keys: ClassVar[dict[str, Any]] = {"seed": 5, "mode": "aggregate", "min_cluster_size": 5}

    def masked_to(self, job: Job, sender: str) -> str:
        """The first party, which itself sends results to all others."""
        del sender
        return job.names[0]

    def stated_costs(self, job: Job, results: Sequence[Any]) -> tuple[int, int]:
        """Of the first party: it gathers masked numbers, divides with the second, and sends results to the others."""
        assert isinstance(job, Smo07Job)
        others, k, d = len(job.parties) - 1, job.n_clusters, len(job.columns)
        symbols = {"q": k, "d": d, "k": k}

        def step(e: int) -> np.ndarray:
            given = symbols | {"e": e}
            division = np.array([stated("divide_by_secret", each, **given) for each in (ROUNDS, TO_EACH)])
            limits = [stated("less_than", TO_EACH, m=m * k, b=26) for m in (24, 25)]
            return division + np.array([2, 8 * k * d + limits[1] - limits[0] + 8 * k * d * (others - 1)])

        grid, by_column = (math.ceil(math.ceil(1.02 * 2**bits) / 2**25) + 3 for bits in (24, 30))
        total = np.array([2, (8 + 32) * others])  # rows, and the digest of the start
        total += [1, 32 * 2 * d * others]  # moments
        total += results[0].common.n_iter * step(grid) + step(by_column)
        rounds, sent = total.tolist()
        return rounds, sent


class MeanCase(Case):
    """The protocol of the tests: a private mean of each of three columns."""

    name = title = "mean"
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


CASES: tuple[Case, ...] = (
    ShkCase(),
    SvkCase(),
    AlignedSvkCase(),
    HiddenSvkCase(),
    Smo07Case(),
    AggregateCase(),
    MeanCase(),
)
