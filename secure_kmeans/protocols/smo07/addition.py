"""Multi-party addition: private inputs become private factors whose product is the sum of the inputs.

S. Samet, A. Miri, L. Orozco-Barbosa, "Privacy preserving k-means clustering in multi-party environment" (SECRYPT 2007),
as summarised in section 4.2.2 of a report on an implementation. The steps below have the report's numbers.

Symbols: P_1, ..., P_k the parties in rank order, P_1 the leader; x_i the input of P_i; N the modulus of the leader's
Paillier key; l_i the share of P_i; Enc and Dec under that key. At the end::

    x_1 + ... + x_k = l_1 * ... * l_k  (mod N)

It is a building block of its own, for any job whose parties meet::

    shares = multi_party_addition(context, [len(own), sum(own)])     # at every party
    totals = product_at_leader(context, shares)                      # at the leader [n, sum]; None at the others

Shares can do more than be shown. Those of two additions under one key multiply without a message: ``a * b`` are shares
of the products of the two sums. ``shares.chosen([0])`` are some of the shares, so that only these numbers are shown::

    key = new_key(context)
    total = multi_party_addition(context, [sum(own)], key=key)
    other = multi_party_addition(context, [sum(others)], key=key)
    product = product_at_leader(context, total * other)              # the leader learns the product, and not the sums

Differs from the paper:

- The identity holds modulo N. A sum that is negative is above N / 2; :func:`product_at_leader` decodes it.
- Several inputs of a party travel together, so that any number of additions costs one way around the ring. Each number
  has an l_i of its own: with a common one, quotients of the shares would be quotients of the sums.
- l_i is a uniform *unit* modulo N, where the report takes any l_i but the identity. Without an inverse l_i could not
  divide. With another distribution l_1 would depend on the sum: only the product with a uniform unit is the same for
  all sums that are units.
- Steps 5 and 6 add a fresh encryption of 0, under a uniform r of full length. A power alone shows its exponent to
  P_1: the owner of the key also sees the random part r of a ciphertext, and r^e is no square modulo p only where e is
  odd.
- Each message is bound to the session, key, addition, step and receiver (:mod:`.frames`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from secure_kmeans.crypto.paillier import (
    Ciphertext,
    CiphertextError,
    PrivateKey,
    PublicKey,
    PublicKeyError,
    random_unit,
    signed,
)
from secure_kmeans.errors import ProtocolError
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07.frames import BINDING_BYTES, bound, label_of, receive, send, unbound
from secure_kmeans.protocols.smo07.job import Smo07Job

_KEY: Final = b"smo07 key"
_UP: Final = b"smo07 addition, up"
_DOWN: Final = b"smo07 addition, down"
_SHARE: Final = b"smo07 share"


@dataclass(eq=False)
class AdditionKey:
    """The key of some additions. Each party has an object of its own; :func:`new_key` makes it.

    Attributes
    ----------
    public : PublicKey
    private : PrivateKey or None
        At the leader.
    additions : int
        Additions that have begun under this key: the running number that their messages are bound to.
    """

    public: PublicKey
    private: PrivateKey | None = field(default=None, repr=False)
    additions: int = 0


@dataclass(frozen=True)
class Shares:
    """One party's shares of some numbers: factors modulo N. The product of all parties' shares is the number.

    Attributes
    ----------
    modulus : int
        N.
    residues : tuple of int
        From 0 to N - 1. They are secret, and ``repr`` leaves them out.
    label : 32 bytes
        Names the numbers. It is the same at all parties.
    """

    modulus: int
    residues: tuple[int, ...] = field(repr=False)
    label: bytes

    def __len__(self) -> int:
        return len(self.residues)

    def __mul__(self, other: Shares) -> Shares:
        """Shares of the products of the numbers, one by one. Rounds: 0.

        A product is right where its absolute value is below N / 2.

        Raises
        ------
        ValueError
            Where the shares are of another number of numbers, or under another key.
        """
        if other.modulus != self.modulus:
            raise ValueError("shares under two keys cannot be multiplied: add both sums under one key")
        if len(other) != len(self):
            raise ValueError(f"shares of {len(self)} numbers cannot be multiplied by shares of {len(other)}")
        products = (a * b % self.modulus for a, b in zip(self.residues, other.residues, strict=True))
        return Shares(self.modulus, tuple(products), label_of(b"product", self.label, other.label))

    def chosen(self, positions: Sequence[int]) -> Shares:
        """The shares at some positions, from 0."""
        residues = tuple(self.residues[position] for position in positions)
        return Shares(self.modulus, residues, label_of(b"chosen", self.label, *positions))


def room(key_bits: int, parties: int) -> int:
    """The most bits that the absolute value of an input may have, so that no sum leaves the room of the modulus.

    N is at least ``2^(key_bits - 1)``, and a sum of ``parties`` such inputs is below N / 2.
    """
    return key_bits - 2 - (parties - 1).bit_length()


def new_key(context: Context[Any], *, key_bits: int | None = None, private: PrivateKey | None = None) -> AdditionKey:
    """Step 1: the leader makes a key, and all parties get its public half. All parties call this.

    Rounds: 1 at a party, 0 at the leader. Bytes: to each other party the leader sends its public key, 768 with 2048
    bits, and 35 more.

    Parameters
    ----------
    context : Context
    key_bits : int, optional
        Bits of the modulus. By default as the job says, or 2048 where the job has no such key.
    private : PrivateKey, optional
        At the leader: the key, where it has made one before.

    Raises
    ------
    RoleError
        Where a role is lost, or the leader sends no key of this size.
    """
    bits = key_bits or _usual_bits(context)
    leader = context.parties[0]
    # [SMO07] step 1: P_1 runs KeyGen and sends e to all parties.
    if context.role.name == leader:
        private = private or PrivateKey.generate(bits)
        assert private.public_key.bits == bits, "the key has another size than the parties expect"
        for rank, party in enumerate(context.parties[1:], start=1):
            frame = bound(label_of(_KEY, context.mesh.session, rank), private.public_key.to_bytes())
            context.mesh.traffic.sent(context.mesh.post_object(party, frame))
        context.mesh.flush()
        return AdditionKey(private.public_key, private)
    return AdditionKey(_receive_key(context, leader, bits))


def _usual_bits(context: Context[Any]) -> int:
    return int(getattr(context.job, "key_bits", Smo07Job.default_of("key_bits")))


def _receive_key(context: Context[Any], leader: str, bits: int) -> PublicKey:
    frame = context.mesh.receive_object(leader)
    context.mesh.traffic.waited()
    if not isinstance(frame, bytes) or len(frame) < BINDING_BYTES:
        raise context.mesh.blame(leader, "it sent something else than a public key")
    label = label_of(_KEY, context.mesh.session, context.rank)
    try:
        return PublicKey.from_bytes(unbound(context, leader, label, frame, "keys"), bits)
    except PublicKeyError as error:
        raise context.mesh.blame(leader, f"it sent something that cannot be used: {error}") from None


def multi_party_addition(
    context: Context[Any], values: Sequence[int], *, key: AdditionKey | None = None, key_bits: int | None = None
) -> Shares:
    """Turn private inputs into private shares: the product of all parties' shares is the sum modulo N.

    All parties call this with the same number of values. v values, k parties, c bytes of a ciphertext (512 with 2048
    bits). Messages that wait for each other: 2 (k - 1), and 1 for a new key, for any number of values.
    Rounds of a party: 2; of the leader and of the last party: 1; and 1 for a new key, at all but the leader.
    Bytes: 32 + c v in each of the 2 (k - 1) messages, and those of a new key (:func:`new_key`).

    What each party sees: P_i (i >= 2) sees ciphertexts, which it cannot open, and its l_i, which it has drawn. P_1
    decrypts one number for each value: the sum times uniform units. That is a uniform unit, or 0 where the sum is 0.
    So P_1 learns which sums are 0, and nobody learns anything else. Coalitions:

    - P_1 with P_i can decrypt what P_i received: the sum x_1 + ... + x_(i-1). So P_1 with P_3 learns x_2, and P_1 with
      both neighbours of any P_i in the ring learns x_i. P_1 with P_k learns the whole sum, too.
    - P_1 with P_(k-1) learns x_k once P_1 knows the sum.
    - Any parties without P_1 learn nothing.
    - Of two parties, each learns the other's input as soon as it knows the sum.

    All of this holds where the parties follow the protocol. A party that does not can spoil the sum.

    Parameters
    ----------
    context : Context
    values : sequence of int
        This party's inputs, negative ones too; of at most :func:`room` bits.
    key : AdditionKey, optional
        Of an earlier :func:`new_key`; without it there is a new one for this addition alone.
    key_bits : int, optional
        See :func:`new_key`.

    Raises
    ------
    ProtocolError
        Where a value is too large.
    RoleError
        Where a role is lost; or names the role that sent anything else than is expected.
    """
    most = room(key.public.bits if key else key_bits or _usual_bits(context), len(context.parties))
    if any(abs(value) >> most for value in values):
        raise ProtocolError(f"a value has more than {most} bits, so that the sum could leave the room of the key")
    key = key or new_key(context, key_bits=key_bits)
    key.additions += 1
    ring = _Ring(context, key, len(values))
    own = [int(value) for value in values]
    residues = ring.lead(own) if context.rank == 0 else ring.follow(own)
    return Shares(key.public.n, tuple(residues), ring.label)


class _Ring:
    """One way of v ciphertexts from P_1 up to P_k and back down, at one party."""

    def __init__(self, context: Context[Any], key: AdditionKey, count: int) -> None:
        self.context, self.key, self.count = context, key, count
        self.public = key.public
        self.label = label_of(context.mesh.session, self.public.fingerprint, key.additions, count)

    def lead(self, values: Sequence[int]) -> list[int]:
        """Steps 2 and 7, at P_1."""
        private = self.key.private
        assert private is not None, "the leader of an addition has its private key"
        if len(self.context.parties) == 1:
            return [value % self.public.n for value in values]
        # [SMO07] step 2: Enc(x_1) to P_2.
        self._send(_UP, 1, [private.encrypt(value) for value in values])
        # [SMO07] step 7: l_1 = Dec(y_2).
        return [private.decrypt(y) for y in self._receive(_DOWN, 1)]

    def follow(self, values: Sequence[int]) -> list[int]:
        """Steps 3 to 6, at P_2, ..., P_k. What needs no message is computed before the party waits for one."""
        rank = self.context.rank
        last = rank == len(self.context.parties) - 1
        encrypted = [self.public.encrypt(value) for value in values]
        drawn = self._draw() if last else None
        before = self._receive(_UP, rank - 1)
        # [SMO07] steps 3 and 4: Enc(x_i) times the product of those before.
        together = [each + own for each, own in zip(before, encrypted, strict=True)]
        if not last:
            self._send(_UP, rank + 1, together)
        units, inverses, zeros = drawn or self._draw()
        # [SMO07] steps 5 and 6: y_i = y_(i+1)^(1 / l_i), where y_(k+1) is the encrypted sum; plus an encryption of 0.
        received = together if last else self._receive(_DOWN, rank + 1)
        powers = [y * inverse + zero for y, inverse, zero in zip(received, inverses, zeros, strict=True)]
        self._send(_DOWN, rank - 1, powers)
        return units

    def _draw(self) -> tuple[list[int], list[int], list[Ciphertext]]:
        """The l_i of each value, its inverse, and an encryption of 0."""
        n = self.public.n
        units = [int(random_unit(n)) for _ in range(self.count)]
        return units, [pow(unit, -1, n) for unit in units], self._zeros()

    def _zeros(self) -> list[Ciphertext]:
        return [self.public.encrypt(0, textbook=True) for _ in range(self.count)]

    def _send(self, step: bytes, to: int, ciphertexts: Sequence[Ciphertext]) -> None:
        items = [each.to_bytes() for each in ciphertexts]
        send(self.context, self.context.parties[to], label_of(step, self.label, to), items)

    def _receive(self, step: bytes, sender: int) -> list[Ciphertext]:
        """The ciphertexts of a neighbour in the ring, checked."""
        peer = self.context.parties[sender]
        labels = {peer: label_of(step, self.label, self.context.rank)}
        items = receive(self.context, labels, self.count, self.public.ciphertext_bytes, "ciphertexts")[peer]
        try:
            return [self.public.ciphertext(item) for item in items]
        except CiphertextError as error:
            raise self.context.mesh.blame(peer, f"it sent something that cannot be used: {error}") from None


def product_at_leader(context: Context[Any], shares: Shares) -> list[int] | None:
    """Show the numbers to the leader: all parties send it their shares, and it multiplies them. All parties call this.

    v shares, k parties, b bytes of N. Rounds: 1 at the leader, 0 at the others. Bytes: 32 + b v from each other party.

    The leader learns the numbers. The shares tell it nothing else of the inputs: those of the other parties are uniform
    units. The other parties learn nothing. Where the shares are a product of two, the leader learns the product of the
    sums; it can factorise it, and so guess at the sums.

    Returns
    -------
    The numbers at the leader, between -N / 2 and N / 2; None at the other parties.

    Raises
    ------
    RoleError
        Where a role is lost; or names the party that sent anything else than such shares.
    """
    leader, *others = context.parties
    n, size = shares.modulus, -(-shares.modulus.bit_length() // 8)
    if context.role.name != leader:
        items = [residue.to_bytes(size, "big") for residue in shares.residues]
        send(context, leader, label_of(_SHARE, shares.label, context.rank), items)
        return None
    labels = {party: label_of(_SHARE, shares.label, rank) for rank, party in enumerate(others, start=1)}
    products = list(shares.residues)
    for party, items in receive(context, labels, len(shares), size, "shares").items():
        for position, item in enumerate(items):
            residue = int.from_bytes(item, "big")
            if residue >= n or math.gcd(residue, n) != 1:
                raise context.mesh.blame(party, "it sent a share that is no unit modulo N")
            products[position] = products[position] * residue % n
    return [signed(product, n) for product in products]
