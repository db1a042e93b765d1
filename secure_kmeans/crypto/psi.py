"""Primitives of private set intersection: identifiers as elements of a group, under secret scalars. No network.

The group is ristretto255 (RFC 9496): of prime order, without cofactor, 32 bytes an element. Its arithmetic is
libsodium's, by way of ``rbcl``. It takes the same time for all scalars and elements, and releases Python's global lock,
so that threads compute side by side.

=========  ==================================================================================
H(x)       an identifier x as an element: SHA-512 of its normal form, mapped to the group
a_p        party p's share of the joint key a = a_1 a_2 ... a_P, a secret scalar
F(x)       H(x)^a, which no party can compute alone
r_p        party p's blinding of its own elements, a secret scalar; H(x)^(r_p) shows nothing of x
tag        the first 16 bytes of SHA-256 of F(x)
=========  ==================================================================================

A party's scalars are drawn anew in each session, by libsodium from the operating system's entropy. References: Jarecki
and Liu, "Fast secure computation of set intersection" (SCN 2010) for F; Casacuberta, Hesse and Lehmann, "SoK: Oblivious
pseudorandom functions" (EuroS&P 2022).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from rbcl import (
    crypto_core_ristretto255_from_hash,
    crypto_core_ristretto255_scalar_invert,
    crypto_core_ristretto255_scalar_mul,
    crypto_core_ristretto255_scalar_random,
    crypto_scalarmult_ristretto255,
)

from secure_kmeans.identifiers import normal_form

DIGEST_BYTES: Final = 64
ELEMENT_BYTES: Final = 32
TAG_BYTES: Final = 16

_PART: Final = 512
"""Elements that one thread takes at a time: some 20 ms."""
_IDENTIFIER: Final = b"secure_kmeans psi identifier 1\0"
_LIST: Final = b"secure_kmeans psi ordered list 1\0"
_TAG: Final = b"secure_kmeans psi tag 1\0"


class InvalidElementError(ValueError):
    """Bytes that encode no element of the group, or its identity."""


class RepeatedTagError(ValueError):
    """A list that holds a tag twice.

    Attributes
    ----------
    position : int
        Of the list among all lists.
    """

    def __init__(self, position: int) -> None:
        super().__init__(f"list {position} holds a tag twice")
        self.position = position


# ------------------------------------------------------------------ identifiers


def encoded(identifier: str) -> bytes:
    """The normal form of an identifier in UTF-8."""
    return normal_form(identifier).encode("utf-8", "surrogatepass")


def digest_of_identifier(identifier: str) -> bytes:
    """64 bytes, for :func:`hash_to_group`."""
    return hashlib.sha512(_IDENTIFIER + encoded(identifier)).digest()


def digest_of_list(identifiers: Iterable[str]) -> bytes:
    """64 bytes of a whole list, for :func:`hash_to_group`. Each identifier stands behind its length."""
    digest = hashlib.sha512(_LIST)
    for identifier in identifiers:
        text = encoded(identifier)
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()


def random_digest() -> bytes:
    """64 bytes of an element that belongs to no identifier: uniform in the group."""
    return os.urandom(DIGEST_BYTES)


def random_order(size: int) -> np.ndarray:
    """A uniform order of ``size`` numbers, from the operating system's entropy, as int32 (size,)."""
    words = np.frombuffer(os.urandom(16 * size), dtype=np.uint64).reshape(2, size)
    return np.lexsort(tuple(words)).astype(np.int32)


# --------------------------------------------------------------------- elements


@dataclass(frozen=True, repr=False)
class Scalars:
    """One party's secrets of one session.

    Attributes
    ----------
    share : 32 bytes
        a_p.
    blinding : 32 bytes
        r_p.
    """

    share: bytes
    blinding: bytes

    def __repr__(self) -> str:
        return "Scalars(hidden)"

    @classmethod
    def draw(cls) -> Self:
        """Fresh ones, uniform from 1 to the order of the group less 1."""
        return cls(crypto_core_ristretto255_scalar_random(), crypto_core_ristretto255_scalar_random())

    @property
    def last(self) -> bytes:
        """a_p / r_p, which takes the blinding off and puts the party's share of the key on."""
        inverse = crypto_core_ristretto255_scalar_invert(self.blinding)
        product: bytes = crypto_core_ristretto255_scalar_mul(self.share, inverse)
        return product


def hash_to_group(digests: Iterable[bytes]) -> np.ndarray:
    """The elements of digests of 64 bytes, as uint8 (n, 32)."""
    return _elements(map(crypto_core_ristretto255_from_hash, digests))


def raise_to(scalar: bytes, elements: np.ndarray) -> np.ndarray:
    """Every element to the power of a scalar, as uint8 (n, 32).

    Parameters
    ----------
    scalar : 32 bytes
    elements : uint8 (n, 32)
        They may come from a peer.

    Raises
    ------
    InvalidElementError
        Where one is the identity, or no canonical encoding of an element.
    """
    data = elements.tobytes()
    parts = (data[start : start + ELEMENT_BYTES] for start in range(0, len(data), ELEMENT_BYTES))
    try:
        return _elements(crypto_scalarmult_ristretto255(scalar, part) for part in parts)
    except RuntimeError:
        raise InvalidElementError("not every element is valid") from None


def _elements(parts: Iterable[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, ELEMENT_BYTES)


def tags_of(session: bytes, elements: np.ndarray) -> np.ndarray:
    """The tags of F(x), as uint8 (n, 16). They are different in every session."""
    data, lead = elements.tobytes(), _TAG + session
    starts = range(0, len(data), ELEMENT_BYTES)
    tags = (hashlib.sha256(lead + data[start : start + ELEMENT_BYTES]).digest()[:TAG_BYTES] for start in starts)
    return np.frombuffer(b"".join(tags), dtype=np.uint8).reshape(-1, TAG_BYTES)


def common_positions(lists: Sequence[np.ndarray]) -> np.ndarray:
    """The positions of the tags that all lists hold, in the order of the tags.

    Parameters
    ----------
    lists : sequence of uint8 (m_p, 16)
        At least two.

    Returns
    -------
    int32 (number of lists, n)
        Row p has the positions in list p. A column belongs to one tag.

    Raises
    ------
    RepeatedTagError
    """
    common = lists[0].view(np.uint64)
    positions = np.arange(len(common), dtype=np.int32)[np.newaxis]
    for number, tags in enumerate(lists[1:], start=1):
        both = np.concatenate([common, tags.view(np.uint64)])
        order = np.lexsort(both.T)  # stable: of two equal tags that of the first list comes first
        equal = np.flatnonzero((both[order[1:]] == both[order[:-1]]).all(axis=1))
        first, second = order[equal], order[equal + 1] - len(common)
        if (first >= len(common)).any():
            raise RepeatedTagError(number)
        if (second < 0).any():
            raise RepeatedTagError(0)
        common = common[first]
        positions = np.concatenate([positions[:, first], second.astype(np.int32)[np.newaxis]])
    return np.ascontiguousarray(positions)


# ---------------------------------------------------------------------- threads

Task = tuple[Callable[[Any], np.ndarray], np.ndarray]
"""A function of an array, row by row, and the array."""


class Workers:
    """Threads that compute on parts of arrays, as many as the process has processor cores.

    It is a context manager: the threads end with it.
    """

    def __init__(self) -> None:
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def compute(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        """The result of each task.

        Raises
        ------
        InvalidElementError
        """
        parts = [(number, part) for number, (_, rows) in enumerate(tasks) for part in _parts(rows)]
        results: list[list[np.ndarray]] = [[] for _ in tasks]
        for (number, _), result in zip(parts, self._map([(tasks[n][0], part) for n, part in parts]), strict=True):
            results[number].append(result)
        return [np.concatenate(each) for each in results]

    def _map(self, tasks: list[Task]) -> Iterable[np.ndarray]:
        if self._cores == 1 or len(tasks) == 1 or sum(len(rows) for _, rows in tasks) < _PART:
            return [function(rows) for function, rows in tasks]
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._cores, thread_name_prefix="psi")
        return self._executor.map(lambda task: task[0](task[1]), tasks)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
