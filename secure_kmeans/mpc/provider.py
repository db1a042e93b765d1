"""Correlated randomness by name: uniform masks, and shares of fixed functions of them.

A *mask* is an array of uniform numbers or bits that no party knows. A *correlation* is a function of masks, in shares
whose sum, or XOR, is the function's value. Each method of :class:`Provider` is one kind of correlation. Its arguments
are mask handles and public parameters only, so that a dealer, a protocol without a dealer or a file that was made
beforehand can provide it. :mod:`.dealer` implements all kinds with a dealer.

A *handle* is an array that stands for a mask in later calls. At a party it is the party's share of the mask; at the
dealer it is the mask itself. Sums of handles, rows of a handle and a handle times a public number stand for the same
function of their masks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from secure_kmeans.mpc.circuits import Comparison, Stage
from secure_kmeans.mpc.packing import RING_BYTES


class StageMasks(NamedTuple):
    """Correlations for one stage of a circuit.

    Attributes
    ----------
    stage : Stage
    masks : (a, words) uint64
        Handle of uniform bits, one row for each opened row of the stage.
    products : (p, words) uint64
        XOR shares of the products that ``stage.mask_steps`` lists; zeros at the dealer.
    """

    stage: Stage
    masks: np.ndarray
    products: np.ndarray


class CircuitMasks(NamedTuple):
    """Correlations for all stages of a circuit.

    Attributes
    ----------
    leaves : (bits + products, words) uint64
        XOR shares of the bits of a mask, then of the products of them that ``leaves.mask_steps`` of the comparison
        lists; zeros at the dealer. A circuit without leaves has no rows here.
    stages : list of StageMasks
    """

    leaves: np.ndarray
    stages: list[StageMasks]


class Provider(ABC):
    """A source of correlated randomness at one role.

    All roles call the same methods, with arguments of the same shapes, in the same order. Numbers are int64, additive
    shares modulo 2^64 unless a size is given; bits are planes of uint64 words, XOR shares. At a dealer every
    correlation is 0; handles are not. A party may overwrite a correlation. *Bytes* are those that a dealer sends to the
    last party; it sends none to the others.
    """

    # ------------------------------------------------------------------------------------------------------- masks

    @abstractmethod
    def uniform(self, *shape: int) -> np.ndarray:
        """Handle of a mask of uniform numbers. Bytes: 0."""

    @abstractmethod
    def uniform_planes(self, *shape: int) -> np.ndarray:
        """Handle of a mask of uniform bits, 64 in each uint64 word. Bytes: 0."""

    @abstractmethod
    def uniform_less_product(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Handle of a fresh uniform mask, and shares of it less a matrix product of earlier masks. Bytes: 0.

        Parameters
        ----------
        left : (q, m) handle
        right : (m, c) handle

        Returns
        -------
        handle : (q, c)
            At a party of a dealer this handle is no share of the mask. It only stands for the mask in later calls.
        shares : (q, c)
            Of ``mask - left @ right``; 0 at the dealer, too.
        """

    # ---------------------------------------------------------------------------------------------- one-hot vectors

    @abstractmethod
    def one_hots(self, count: int, n: int) -> np.ndarray:
        """Shares of one-hot vectors whose positions no party knows. Bytes: 8 for each number.

        Parameters
        ----------
        count : int
        n : int

        Returns
        -------
        (count, n). The positions are uniform, and differ from each other where ``count <= n``.
        """

    # -------------------------------------------------------------------------------------- functions of numbers

    @abstractmethod
    def products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Shares of ``left * right``, elementwise, for two masks whose shapes broadcast. Bytes: 8 for each product."""

    @abstractmethod
    def matrix_products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Shares of ``left @ right``, (q, c), for masks (q, m) and (m, c). Bytes: 8 q c."""

    @abstractmethod
    def squares(self, masks: np.ndarray) -> np.ndarray:
        """Shares of ``masks * masks``, elementwise. Bytes: 8 for each number."""

    @abstractmethod
    def sums_of_squares(self, masks: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """Shares of ``(masks * masks).sum(axes)``, for non-negative axes. Bytes: 8 for each sum."""

    @abstractmethod
    def shift_and_top(self, masks: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of ``mask >> bits``, without sign, and of the highest bit, both of the masks' shape.

        Bytes: 16 for each mask.
        """

    @abstractmethod
    def digits_and_top(self, masks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the digits to base 16, (2 size, ...), the lowest first, and of the top bit of ``8 size`` bits.

        Bytes: 16 size + 8 for each mask.
        """

    # ----------------------------------------------------------------------------------------- functions of bits

    @abstractmethod
    def bits_as_integers(self, planes: np.ndarray, m: int, size: int = RING_BYTES) -> np.ndarray:
        """Shares of mask bits as the integers 0 and 1.

        Parameters
        ----------
        planes : (rows, words) handle
        m : int
            Bits of a row.
        size : int
            Bytes of a number: the shares are valid modulo 2^(8 size).

        Returns
        -------
        (rows, m) int64. Bytes: ``size`` for each bit.
        """

    @abstractmethod
    def circuit(self, stages: tuple[Stage, ...], words: int) -> CircuitMasks:
        """Correlations for stages whose planes have ``words`` words.

        Bytes: 8 words for each row of the stages' ``mask_steps``.
        """

    @abstractmethod
    def bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        """Correlations to compare public numbers with (m,) masks; the leaves are the lowest ``circuit.bits`` bits.

        Bytes: 8 words for each of ``circuit.dealt_bits``, where m numbers take ceil(m / 64) words.
        """

    @abstractmethod
    def low_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        """As :meth:`bits`, but the highest of the ``circuit.bits`` bits is 0 instead of the mask's."""

    @abstractmethod
    def difference_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        """As :meth:`bits`, of the differences of all pairs of k masks, of which the first is 0.

        Parameters
        ----------
        masks : (k - 1, m) handle
            All but the first.
        circuit : Comparison

        Returns
        -------
        CircuitMasks
            Of planes as :func:`~secure_kmeans.mpc.cleartext.difference_planes_of` returns them.

        Bytes: 8 words for each of ``circuit.dealt_bits`` and each of the k (k - 1) / 2 pairs.
        """
