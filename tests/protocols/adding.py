"""Multi-party addition at all parties in threads, under small keys, and parties that send something else."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gmpy2
import numpy as np

from secure_kmeans.crypto.paillier import PrivateKey
from secure_kmeans.crypto.primes import random_prime
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07.addition import AdditionKey, Shares, multi_party_addition, new_key, product_at_leader
from secure_kmeans.protocols.smo07.job import Smo07Job
from tests.jobs import a_job_of
from tests.threads import MemoryMesh, Threads, threads_of

BITS = 256
NAMES = ("a", "b", "c", "d", "e", "f")


@cache
def small_key(bits: int = BITS, number: int = 0) -> PrivateKey:
    """A key that is far too small to be safe, and known: the same one in all runs."""
    drawn = random.Random(f"{bits}, {number}")

    def prime() -> int:
        while True:
            found = int(gmpy2.next_prime(drawn.getrandbits(bits // 2) | 3 << bits // 2 - 2))
            if found % 4 == 3:
                return found

    p, q = prime(), prime()
    while math.gcd(p - 1, q - 1) > 2:
        q = prime()
    return PrivateKey.of_primes(p, q, x=drawn.getrandbits(bits - 2))


def fresh_key(bits: int = BITS) -> PrivateKey:
    """A key that is far too small to be safe; another one each time."""
    while True:
        p, q = random_prime(bits // 2), random_prime(bits // 2)
        if math.gcd(p - 1, q - 1) == 2:
            return PrivateKey.of_primes(int(p), int(q))


def job_of(parties: int, **keys: object) -> Smo07Job:
    names = NAMES if parties <= len(NAMES) else tuple(f"party_{number}" for number in range(parties))
    return a_job_of(Smo07Job, *names[:parties], accept_two_parties=True, **keys)


def context_of(job: Any, name: str, mesh: Mesh, ledger: Ledger | None = None) -> Context[Any]:
    role = next(role for role in job.roles if role.name == name)
    return Context(job, role, None, mesh, ledger or Ledger(()), no_progress, None, lambda _iteration, _state: None)


def at_each_party(job: Job, part: Callable[[Context[Any]], Any], **options: Any) -> Threads:
    return threads_of(job, lambda role, mesh: part(context_of(job, role.name, mesh)), **options)


def key_for(context: Context[Any], private: PrivateKey | None = None) -> AdditionKey:
    """Step 1 with a given key, or the small one."""
    private = private or small_key()
    leads = context.rank == 0
    return new_key(context, key_bits=private.public_key.bits, private=private if leads else None)


@dataclass(frozen=True)
class Added:
    """All parties' shares, the numbers that the leader finds, and what travelled."""

    shares: list[Shares]
    totals: list[int]
    threads: Threads


def add(inputs: Sequence[Sequence[int]], *, private: PrivateKey | None = None, **options: Any) -> Added:
    """Add up the inputs of each party, and show the sums to the leader."""

    def part(context: Context[Any]) -> tuple[Shares, list[int] | None]:
        shares = multi_party_addition(context, inputs[context.rank], key=key_for(context, private))
        return shares, product_at_leader(context, shares)

    threads = at_each_party(job_of(len(inputs)), part, **options)
    (_, totals), *others = threads.answers
    assert totals is not None
    assert all(shown is None for _, shown in others)
    return Added([shares for shares, _ in threads.answers], totals, threads)


def forging(sender: str, to: str, number: int, forge: Callable[[bytes], bytes]) -> Callable[..., MemoryMesh]:
    """A mesh whose ``number``-th array from one party to another is forged, from 0."""

    class Forging(MemoryMesh):
        count = 0

        def post(self, peer: str, numbers: np.ndarray) -> None:
            if (self.me, peer) == (sender, to):
                type(self).count += 1
                if type(self).count == number + 1:
                    numbers = np.frombuffer(forge(numbers.tobytes()), dtype=np.uint8)
            super().post(peer, numbers)

    return Forging
