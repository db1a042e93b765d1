"""The mode "paillier" at all parties: its numbers against plain integers, its ledger, keys, costs and refusals."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.crypto.paillier import PrivateKey, ciphertext_bytes, public_key_bytes
from secure_kmeans.errors import JobError, ProtocolError, RoleError
from secure_kmeans.job.ledger import Entry, Ledger
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.smo07 import addition, paillier_mode
from secure_kmeans.protocols.smo07.disclosures import disclosures
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits
from secure_kmeans.protocols.smo07.paillier_mode import PaillierMode, check_room, number_of_least
from tests.protocols.adding import context_of, fresh_key, job_of, small_key
from tests.threads import MemoryMesh, Threads, threads_of

BITS = 512
LIMITS = Limits(n=40, largest=1000, largest_by_column=1000)
INT = np.int64


def small_job(parties: int, **keys: object) -> Smo07Job:
    """A job with a key that is far too small to be safe, which no job file can ask for."""
    return job_of(parties, **keys).model_copy(update={"key_bits": BITS})


class Run:
    """A part with the mode at all parties.

    Attributes
    ----------
    answers : list
    ledgers : list of lists of Entry
    threads : Threads
    """

    def __init__(
        self,
        job: Smo07Job,
        part: Callable[[PaillierMode, int], Any],
        *,
        limits: Limits = LIMITS,
        generate: Callable[[int], PrivateKey] = small_key,
        **options: Any,
    ) -> None:
        ledgers = {name: Ledger(disclosures(job)) for name in job.names}

        def take_part(role: Any, mesh: Mesh) -> Any:
            mode = PaillierMode(context_of(job, role.name, mesh, ledgers[role.name]), limits, generate=generate)
            try:
                return part(mode, job.names.index(role.name))
            finally:
                mode.close()

        self.threads: Threads = threads_of(job, take_part, **options)
        self.answers = self.threads.answers
        self.ledgers = [ledger.entries for ledger in ledgers.values()]

    @property
    def answer(self) -> Any:
        """What all parties have been answered."""
        first, *others = self.answers
        for other in others:
            assert np.array_equal(other, first)
        return first


def means_of(
    sums: Any, counts: Any, otherwise: Any, *, least: int = 1, iteration: int | None = 1
) -> Callable[[PaillierMode, int], np.ndarray]:
    """The parties' sums, (parties, q, d), and sizes, (parties, q), as a part of a run."""
    return lambda mode, rank: mode.means(
        np.array(sums[rank], dtype=INT),
        np.array(counts[rank], dtype=INT),
        np.array(otherwise, dtype=INT),
        largest=mode.limits.largest,
        least=least,
        iteration=iteration,
    )


class TestMeans:
    def test_by_hand(self) -> None:
        """9 / 2 = 4.5 and -9 / 2 = -4.5 are rounded upwards; the last cluster has no row and keeps its centroid."""
        sums = [[[5, -5], [0, 0], [0, 0]], [[4, -4], [8, -8], [0, 0]]]
        counts = [[1, 0, 0], [1, 3, 0]]
        means = Run(small_job(2), means_of(sums, counts, [[7, 7], [7, 7], [7, -7]])).answer
        assert means.tolist() == [[5, -4], [3, -3], [7, -7]]
        assert means.dtype == INT

    def test_a_cluster_of_few_rows_keeps_its_centroid(self) -> None:
        sums, counts = [[[50], [50]]] * 2, [[1, 3], [1, 2]]
        assert Run(small_job(2), means_of(sums, counts, [[7], [8]], least=5)).answer.tolist() == [[7], [20]]
        assert Run(small_job(2), means_of(sums, counts, [[7], [8]], least=6)).answer.tolist() == [[7], [8]]

    @pytest.mark.parametrize("parties", range(2, 7))
    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 1 << 32))
    def test_against_fractions(self, parties: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        counts = generator.integers(0, 3, (parties, 3))
        sums = generator.integers(-1000, 1001, (parties, 3, 2)) * counts[:, :, None]
        otherwise = generator.integers(-1000, 1001, (3, 2))
        means = Run(small_job(parties), means_of(sums, counts, otherwise)).answer
        for cluster, t in enumerate(counts.sum(axis=0).tolist()):
            for column, T in enumerate(sums.sum(axis=0)[cluster].tolist()):
                rounded = floor(Fraction(T, t) + Fraction(1, 2)) if t else int(otherwise[cluster, column])
                assert means[cluster, column] == rounded

    @pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
    def test_sums_at_their_bound(self, signs: tuple[int, int]) -> None:
        """Each neighbour in a plaintext is at its bound, too: 40 rows, all of them at the largest coordinate."""
        largest, clusters = 2**31 - 1, 9
        own = np.array([signs] * clusters) * largest * 20
        limits = Limits(40, largest, largest)
        part = means_of([own, own], [[20] * clusters] * 2, np.zeros((clusters, 2)))
        assert (Run(small_job(2), part, limits=limits).answer == np.array(signs) * largest).all()

    def test_all_starts_in_more_plaintexts_than_one(self) -> None:
        sums = np.arange(3 * 60 * 2).reshape(3, 60, 2)
        run = Run(small_job(3), means_of(sums, np.ones((3, 60)), np.zeros((60, 2))))
        total = sums.sum(axis=0)
        assert (run.answer == (total + 1) // 3).all()


class TestOthers:
    def test_totals(self) -> None:
        bounds = [0, 7, 1 << 200, 1 << 249]
        own = [[0, 2, 1 << 199, -(1 << 248)], [0, -7, 1 << 199, -(1 << 248)]]
        found = Run(small_job(2), lambda mode, rank: mode.totals(own[rank], bounds)).answer
        assert found == [0, -5, 1 << 200, -(1 << 249)]

    def test_no_totals(self) -> None:
        assert Run(small_job(2), lambda mode, rank: mode.totals([], [])).answer == []

    def test_sizes_below_the_least_are_not_told(self) -> None:
        own = np.array([[4, 0, 9], [1, 4, 0], [0, 0, 0]], dtype=INT)
        found = Run(small_job(3), lambda mode, rank: mode.sizes(own[rank], 5)).answer
        assert found == [5, None, 9]

    def test_the_best_start(self) -> None:
        own = [[10**20, 9, 3], [7, 3, 9]]
        found = Run(small_job(2), lambda mode, rank: mode.best(own[rank], 1 << 70)).answer
        assert found == 1

    @pytest.mark.parametrize(
        ("inertias", "best"),
        [([3, 2, 2], 1), ([10**15 + 1000, 10**15], 0), ([10**15 + 1001, 10**15], 1), ([5, 0, 0], 1), ([7], 0)],
    )
    def test_of_inertias_that_are_equal_but_for_a_rounding_the_first(self, inertias: list[int], best: int) -> None:
        assert number_of_least(inertias) == best


def everything(mode: PaillierMode, rank: int) -> None:
    """All that a run of one iteration asks for."""
    ones, zeros = np.ones((2, 1), dtype=INT), np.zeros((2, 1), dtype=INT)
    mode.totals([1], [6])
    mode.means(ones, ones[:, 0], zeros, largest=1000, least=1, iteration=1)
    mode.best([1, 2], 60)
    mode.means(ones, ones[:, 0], zeros, largest=1000, least=1, iteration=None)
    mode.sizes(ones[:, 0], 1)


def test_what_the_leader_learns_is_in_the_ledger_of_every_party() -> None:
    first, *others = Run(small_job(3), everything).ledgers
    assert first == [
        Entry(what="sums and sizes of the clusters", to="a", iteration=1),
        Entry(what="final sums, sizes and inertias", to="a"),
    ]
    assert all(other == first for other in others)


class TestKeys:
    @staticmethod
    def made(fresh_keys: str) -> tuple[Run, list[int]]:
        asked: list[int] = []

        def generate(bits: int) -> PrivateKey:
            asked.append(bits)
            return fresh_key(bits)

        return Run(small_job(2, fresh_keys=fresh_keys), everything, generate=generate), asked

    def test_each_addition_has_its_own_and_the_next_one_is_made_ahead(self) -> None:
        run, asked = self.made("iteration")
        keys = [each for each in run.threads.sent["a", "b"] if isinstance(each, bytes)]
        assert (len(keys), len(set(keys)), asked) == (5, 5, [BITS] * 6)

    def test_one_for_the_run(self) -> None:
        run, asked = self.made("run")
        assert (sum(isinstance(each, bytes) for each in run.threads.sent["a", "b"]), asked) == (1, [BITS])

    def test_an_error_beside_the_run_is_raised_in_it(self) -> None:
        def generate(bits: int) -> PrivateKey:
            raise OSError("no entropy")

        with pytest.raises(OSError, match="no entropy"):
            Run(small_job(2), everything, generate=generate)


@pytest.mark.parametrize("parties", [2, 4])
def test_rounds_and_bytes_are_as_stated(parties: int) -> None:
    run = Run(small_job(parties), means_of([np.ones((3, 2))] * parties, [[1, 1, 1]] * parties, np.zeros((3, 2))))
    key = public_key_bytes(BITS) + 34
    ring, share, results, last = 32 + ciphertext_bytes(BITS), 32 + BITS // 8, 8 * 3 * 2, parties - 1
    for rank, traffic in enumerate(run.threads.traffic):
        at_end = rank in (0, last)
        assert traffic.rounds == (2 if rank == 0 else 4 - at_end)
        assert traffic.bytes_sent == ring * (2 - at_end) + (share if rank else last * (key + results))


class TestRefusals:
    def refused(self, sums: Any, counts: Any, reason: str) -> None:
        with pytest.raises(ProtocolError, match=rf"the parties' numbers do not add up: {reason}"):
            Run(small_job(2), means_of(sums, counts, [[0]]))

    def test_sums_and_sizes_that_cannot_be(self) -> None:
        self.refused([[[1001]], [[0]]], [[1], [0]], "a cluster's sum is larger than its number of rows allows")
        self.refused([[[-1]], [[0]]], [[0], [0]], "a cluster's sum is larger than its number of rows allows")
        self.refused([[[0]], [[0]]], [[-2], [1]], "a cluster has fewer than 0 rows")

    def test_numbers_beyond_their_bounds(self) -> None:
        """Each party's are within them, and their sum is not."""
        self.refused([[[0]], [[0]]], [[30], [30]], "a sum is beyond its bound")

    def test_a_party_that_uses_another_plaintext(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def spoiled(context: Any, values: Sequence[int], **options: Any) -> Any:
            return addition.multi_party_addition(
                context, [1 << (BITS - 10)] if context.rank == 1 else values, **options
            )

        monkeypatch.setattr(paillier_mode, "multi_party_addition", spoiled)
        self.refused([[[0]], [[0]]], [[3], [3]], "a sum is beyond its bound")

    @pytest.mark.parametrize(
        ("what", "sent", "part"),
        [
            ("centroids", 1001, means_of([[[1]]] * 2, [[1]] * 2, [[0]])),
            ("sizes", 41, lambda mode, _rank: mode.sizes(np.ones(1, dtype=INT), 2)),
            ("sizes", 1, lambda mode, _rank: mode.sizes(np.ones(1, dtype=INT), 2)),
            ("sizes", -2, lambda mode, _rank: mode.sizes(np.ones(1, dtype=INT), 2)),
            ("the number of a start", 1, lambda mode, _rank: mode.best([4], 9)),
            ("the number of a start", -1, lambda mode, _rank: mode.best([4], 9)),
            ("totals", 6, lambda mode, _rank: mode.totals([2], [5])),
        ],
    )
    def test_a_leader_that_tells_what_cannot_be(self, what: str, sent: int, part: Any) -> None:
        class Telling(MemoryMesh):
            def post(self, peer: str, numbers: np.ndarray) -> None:
                tells = self.me == "a" and numbers.size == 1
                super().post(peer, np.full_like(numbers, sent) if tells else numbers)

        with pytest.raises(RoleError, match=rf'^role "a" failed: it sent {what} that cannot be$'):
            Run(small_job(2), part, mesh=Telling)


class TestRoom:
    def test_the_plaintexts_of_an_iteration(self) -> None:
        assert check_room(job_of(5, n_init=1, n_clusters=4), Limits(500_000, 1 << 21, 1 << 21)) == 1
        assert check_room(job_of(5, n_init=5, n_clusters=9), Limits(500_000, 1 << 21, 1 << 21)) > 1

    @pytest.mark.parametrize("limits", [Limits(1 << 30, 1 << 31, 1), Limits(1 << 31, 1, 1 << 31)])
    def test_a_sum_that_fits_into_no_plaintext_is_refused(self, limits: Limits) -> None:
        job = job_of(2)
        check_room(job, limits)
        with pytest.raises(JobError, match=r"^key_bits: "):
            check_room(job.model_copy(update={"key_bits": 64}), limits)


def test_with_a_key_of_usual_size() -> None:
    run = Run(job_of(3), everything, generate=PrivateKey.generate)
    assert run.threads.sent["a", "b"][1].size == 32 + ciphertext_bytes(2048)
