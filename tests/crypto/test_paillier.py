"""Paillier's encryption: known answers, another implementation, the homomorphism, and what is refused."""

import copy
import pickle
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import phe
import pytest
from gmpy2 import is_prime, jacobi, mpz
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.crypto import paillier
from secure_kmeans.crypto.paillier import (
    Ciphertext,
    CiphertextError,
    PrivateKey,
    PublicKey,
    PublicKeyError,
    ciphertext_bytes,
    public_key_bytes,
    random_unit,
    signed,
)
from secure_kmeans.crypto.primes import are_fit
from secure_kmeans.errors import ProtocolError

TINY: Final = PrivateKey.of_primes(7, 11, x=2)
"""N = 77, N^2 = 5929, h = -4 = 73 modulo 77, h_s = 73^77 = 215 modulo 5929."""

P: Final = 0xF0899D18DDD0A57A6D701F24B5D4FE4F
Q: Final = 0xC77DD5359FBF94A59BC16273C45B62F7
SIZE: Final = 32
"""Bytes of N = P Q in SMALL."""


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    """One of 2048 bits."""
    return PrivateKey.generate()


@pytest.fixture(scope="module")
def theirs(key: PrivateKey) -> tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey]:
    """The same key in python-paillier."""
    public = phe.PaillierPublicKey(key.public_key.n)
    return public, phe.PaillierPrivateKey(public, int(key._p), int(key._q))


SMALL: Final = PrivateKey.of_primes(P, Q)
N: Final = SMALL.public_key.n
numbers = st.integers(1 - N, N - 1)


def value_of(ciphertext: Ciphertext) -> int:
    return int.from_bytes(ciphertext.to_bytes(), "big")


# ------------------------------------------------------------------- known answers


def test_the_public_part_of_a_small_key() -> None:
    public = TINY.public_key
    assert (public.n, public.bits, public.to_bytes()) == (77, 7, bytes([77]) + (215).to_bytes(2, "big"))


def test_textbook_with_a_known_unit() -> None:
    # 5 under r = 2: (1 + 5 * 77) * 2^77 = 386 * 3791 = 4792 modulo 5929
    public = TINY.public_key
    ciphertext = public._seal(5, public._power_of_unit(mpz(2)))
    assert (value_of(ciphertext), TINY.decrypt(ciphertext)) == (4792, 5)


def test_short_exponent_with_a_known_exponent() -> None:
    # -5 under r = 3: (1 - 5 * 77) * 215^3 = 1217 modulo 5929
    public = TINY.public_key
    ciphertext = public._seal(-5, public._power_of_base(3))
    assert (value_of(ciphertext), TINY.decrypt(ciphertext)) == (1217, 72)
    assert public.signed(72) == -5


def test_sums_and_multiples_by_hand() -> None:
    public = TINY.public_key
    a, b = Ciphertext(public, mpz(4792)), Ciphertext(public, mpz(1217))  # 5 and -5
    assert value_of(a + b) == 4792 * 1217 % 5929
    assert value_of(a * 3) == 4792**3 % 5929
    assert value_of(a + 2) == 4792 * (1 + 2 * 77) % 5929
    assert [TINY.decrypt(each) for each in (a + b, a * 3, a + 2)] == [0, 15, 7]


def test_every_plaintext_of_a_small_key_in_every_way() -> None:
    public = TINY.public_key
    for m in range(77):
        for made in (public.encrypt(m), public.encrypt(m, textbook=True), TINY.encrypt(m)):
            assert TINY.decrypt(made) == m


def test_decryption_by_remainders_is_the_plain_one() -> None:
    n, n2 = 77, 5929
    lambda_ = 30  # the least common multiple of 6 and 10
    for c in range(1, n2):
        if c % 7 and c % 11:
            plain = (pow(c, lambda_, n2) - 1) // n * pow(lambda_, -1, n) % n
            assert TINY.decrypt(Ciphertext(TINY.public_key, mpz(c))) == plain


def test_the_signed_numbers_of_a_small_key() -> None:
    residues = (0, 1, 38, 39, 76, 77, 78)
    assert [signed(m, 77) for m in residues] == [0, 1, 38, -38, -1, 0, 1]
    assert [TINY.public_key.signed(m) for m in residues] == [0, 1, 38, -38, -1, 0, 1]


def test_the_owner_draws_all_powers_of_n_alike() -> None:
    powers = {pow(r, 77, 5929) for r in range(1, 77) if r % 7 and r % 11}
    drawn = [value_of(TINY.encrypt(0)) for _ in range(1500)]
    assert set(drawn) == powers
    assert len(powers) == 60
    assert max(drawn.count(each) for each in powers) < 55  # 25 on average, with a standard deviation of 5


# ------------------------------------------------------------ another implementation


@pytest.mark.parametrize("m", [0, 1, 12345678901234567890, -7])
def test_theirs_and_ours_decrypt_each_other(key: PrivateKey, theirs: Any, m: int) -> None:
    public, private = theirs
    n = key.public_key.n
    for ours in (key.public_key.encrypt(m), key.public_key.encrypt(m, textbook=True), key.encrypt(m)):
        assert private.raw_decrypt(value_of(ours)) == m % n
    assert key.decrypt(Ciphertext(key.public_key, mpz(public.raw_encrypt(m % n)))) == m % n


def test_theirs_under_the_same_unit_is_ours(key: PrivateKey, theirs: Any) -> None:
    r = random_unit(mpz(key.public_key.n))
    ours = key.public_key._seal(99, key.public_key._power_of_unit(r))
    assert value_of(ours) == theirs[0].raw_encrypt(99, r_value=int(r))


def test_theirs_adds_and_multiplies_as_ours(key: PrivateKey, theirs: Any) -> None:
    a, b = key.encrypt(1000), key.encrypt(-1)
    x, y = (phe.EncryptedNumber(theirs[0], value_of(each), 0) for each in (a, b))
    assert value_of(a + b) == (x + y).ciphertext(be_secure=False)
    assert value_of(a * 77) == (x * 77).ciphertext(be_secure=False)


# -------------------------------------------------------------------- homomorphism


@given(numbers, numbers)
def test_a_sum_of_ciphertexts_is_one_of_the_sum(a: int, b: int) -> None:
    total = SMALL.public_key.encrypt(a) + SMALL.encrypt(b)
    assert SMALL.decrypt(total) == (a + b) % N


@given(numbers, st.integers(-3 * N, 3 * N))
def test_constants_are_added_and_multiplied_modulo_n(a: int, constant: int) -> None:
    ciphertext = SMALL.public_key.encrypt(a)
    assert SMALL.decrypt(ciphertext + constant) == (a + constant) % N
    assert SMALL.decrypt(constant + ciphertext) == (a + constant) % N
    assert SMALL.decrypt(ciphertext * constant) == a * constant % N
    assert SMALL.decrypt(constant * ciphertext) == a * constant % N


@given(st.integers(-(N // 2), N // 2))
def test_signed_numbers_return(m: int) -> None:
    assert SMALL.public_key.signed(SMALL.decrypt(SMALL.public_key.encrypt(m))) == m


def test_a_product_with_the_inverse_of_a_constant_undoes_it(key: PrivateKey) -> None:
    n = key.public_key.n
    unit = int(random_unit(mpz(n)))
    assert key.decrypt(key.encrypt(-31) * pow(unit, -1, n) * unit) == n - 31


@pytest.mark.parametrize("textbook", [False, True])
def test_noise_is_fresh(key: PrivateKey, textbook: bool) -> None:
    first = key.public_key.encrypt(3, textbook=textbook)
    others = [key.public_key.encrypt(3, textbook=textbook), first.rerandomised(textbook=textbook), key.encrypt(3)]
    assert len({value_of(each) for each in (first, *others)}) == 4
    assert [key.decrypt(each) for each in others] == [3, 3, 3]


def test_noise_without_and_with_the_table_is_the_same() -> None:
    public = PrivateKey.of_primes(P, Q, x=5).public_key
    powers = [public._power_of_base(r) for r in (0, 1, 2**100 + 1, 2**127 - 1, 2**127 - 1, 2**100 + 1, 1, 0)]
    assert public._table is not None
    assert powers == powers[::-1]
    assert powers[4] == pow(int(powers[1]), 2**127 - 1, public.n**2)


def test_the_table_is_made_when_it_pays() -> None:
    public = PrivateKey.of_primes(P, Q).public_key
    for _ in range(paillier.TABLE_FROM - 1):
        public.encrypt(1)
    assert public._table is None
    public.encrypt(1, textbook=True)
    assert public._table is None
    public.encrypt(1)
    assert public._table is not None


def test_a_short_exponent_has_half_the_bits_of_the_modulus(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def randbits(bits: int) -> int:
        asked.append(bits)
        return 1

    monkeypatch.setattr(secrets, "randbits", randbits)
    SMALL.public_key.encrypt(1)
    assert asked == [128]


# ------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_new_key(bits: int, key: PrivateKey) -> None:
    made = key if bits == 2048 else PrivateKey.generate(bits)
    p, q, public = made._p, made._q, made.public_key
    assert (p * q, public.n.bit_length(), public.bits) == (public.n, bits, bits)
    for prime in (p, q):
        assert is_prime(prime)
        assert (prime.bit_length(), prime >> (bits // 2 - 2), prime % 4) == (bits // 2, 3, 3)
    assert are_fit(p, q)
    assert made.decrypt(public.encrypt(-1)) == public.n - 1


def test_the_base_is_a_power_of_n_of_the_negative_of_a_square(key: PrivateKey) -> None:
    h_s, p, q = key.public_key._h_s, key._p, key._q
    assert key.decrypt(Ciphertext(key.public_key, h_s)) == 0
    assert (jacobi(h_s, p), jacobi(h_s, q)) == (-1, -1)


def test_keys_are_different() -> None:
    fingerprints = {PrivateKey.of_primes(P, Q).public_key.fingerprint for _ in range(3)}
    assert len(fingerprints) == 3  # by h_s
    assert {len(each) for each in fingerprints} == {32}


@pytest.mark.parametrize("bits", [128, 1024, 2047, 4096])
def test_no_key_of_another_size_is_generated(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"^bits={bits} must be one of 2048, 3072$"):
        PrivateKey.generate(bits)


def test_a_public_key_returns_from_its_bytes(key: PrivateKey) -> None:
    data = key.public_key.to_bytes()
    assert len(data) == public_key_bytes(2048) == 768
    for bits in (None, 2048):
        again = PublicKey.from_bytes(data, bits)
        assert (again, again.fingerprint, hash(again)) == (
            key.public_key,
            key.public_key.fingerprint,
            hash(key.public_key),
        )
    assert key.decrypt(again.encrypt(-2) + key.encrypt(3)) == 1


# --------------------------------------------------------------------------- secrecy


def test_a_private_key_shows_nothing_secret(key: PrivateKey) -> None:
    fingerprint = key.public_key.fingerprint.hex()[:16]
    assert repr(key) == f"PrivateKey(hidden, of PublicKey(2048 bits, {fingerprint}))"
    assert str(key) == repr(key)
    assert repr(key.encrypt(4)) == f"Ciphertext(under PublicKey(2048 bits, {fingerprint}))"


@pytest.mark.parametrize("action", [pickle.dumps, partial(pickle.dumps, protocol=0), copy.copy, copy.deepcopy])
def test_a_private_key_is_not_pickled(action: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match=r"^a private key cannot be pickled or copied$"):
        action(TINY)


# -------------------------------------------------------------------------- refusals


def encoded(value: int) -> bytes:
    return value.to_bytes(2 * SIZE, "big")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the ciphertext has 0 bytes, expected 64"),
        (encoded(5)[:-1], "the ciphertext has 63 bytes, expected 64"),
        (encoded(5) + b"\0", "the ciphertext has 65 bytes, expected 64"),
        (encoded(0), "the ciphertext is out of range: expected a number from 1 to N^2 - 1"),
        (encoded(N * N), "the ciphertext is out of range: expected a number from 1 to N^2 - 1"),
        (encoded(2**512 - 1), "the ciphertext is out of range: expected a number from 1 to N^2 - 1"),
        (encoded(N), "the ciphertext is not coprime to N"),
        (encoded(P), "the ciphertext is not coprime to N"),
        (encoded(Q * Q), "the ciphertext is not coprime to N"),
    ],
)
def test_a_ciphertext_that_a_peer_may_not_send(data: bytes, reason: str) -> None:
    with pytest.raises(CiphertextError) as refusal:
        SMALL.public_key.ciphertext(data)
    assert str(refusal.value) == reason
    assert isinstance(refusal.value, ProtocolError)


def test_a_ciphertext_returns_from_its_bytes(key: PrivateKey) -> None:
    sent = key.encrypt(-8)
    data = sent.to_bytes()
    assert len(data) == key.public_key.ciphertext_bytes == ciphertext_bytes(2048) == 512
    arrived = key.public_key.ciphertext(data)
    assert (arrived, hash(arrived), arrived.to_bytes()) == (sent, hash(sent), data)
    assert arrived != sent.rerandomised()


@pytest.mark.parametrize("action", [lambda c: c + SMALL.encrypt(1), SMALL.decrypt])
def test_keys_are_not_mixed(action: Callable[[Ciphertext], object]) -> None:
    with pytest.raises(CiphertextError, match=r"^the ciphertext is under another key$"):
        action(TINY.encrypt(1))


@pytest.mark.parametrize("m", [N, -N, 2 * N])
@pytest.mark.parametrize("encrypt", [SMALL.encrypt, SMALL.public_key.encrypt])
def test_a_plaintext_out_of_range(encrypt: Callable[[int], Ciphertext], m: int) -> None:
    with pytest.raises(ValueError, match=r"^a plaintext is out of range: expected a number from 1 - N to N - 1$"):
        encrypt(m)


@pytest.mark.parametrize(
    "action", [SMALL.encrypt, lambda each: SMALL.encrypt(1) * each, lambda each: SMALL.encrypt(1) + each]
)
def test_only_integers_are_numbers(action: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        action(1.5)


def public_bytes(n: int, h_s: int) -> bytes:
    return n.to_bytes(SIZE, "big") + h_s.to_bytes(2 * SIZE, "big")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(95), "the public key has 95 bytes, expected 96"),
        (public_bytes(N - 1, 5), "the public key's modulus is even"),
        (public_bytes(77, 215), "the public key's modulus has 7 bits, expected 256"),
        (public_bytes(N >> 1, 5), "the public key's modulus has 255 bits, expected 256"),
        (public_bytes(N + 2, 5), "the public key's modulus is not a product of two primes that are 3 modulo 4"),
        (public_bytes(Q * Q, 5), "the public key's modulus is not a product of two different primes"),
        (public_bytes(2**256 - 435, 5), "the public key's modulus is not a product of two different primes"),
        (public_bytes(N, 0), "the public key's base h_s is out of range"),
        (public_bytes(N, 1), "the public key's base h_s is out of range"),
        (public_bytes(N, N * N - 1), "the public key's base h_s is out of range"),
        (public_bytes(N, N * N + 2), "the public key's base h_s is out of range"),
        (public_bytes(N, P), "the public key's base h_s is not coprime to the modulus"),
        (public_bytes(N, N), "the public key's base h_s is not coprime to the modulus"),
        (
            public_bytes(N, next(each for each in range(2, 99) if jacobi(each, N) < 0)),
            "the public key's base h_s is not the negative of a square",
        ),
    ],
)
def test_a_public_key_that_a_peer_may_not_send(data: bytes, reason: str) -> None:
    with pytest.raises(PublicKeyError) as refusal:
        PublicKey.from_bytes(data, 256)
    assert str(refusal.value) == reason
    assert isinstance(refusal.value, ProtocolError)


def test_a_public_key_of_another_size() -> None:
    small = SMALL.public_key.to_bytes()
    with pytest.raises(PublicKeyError, match=r"^the public key has 96 bytes, expected 768 or 1152$"):
        PublicKey.from_bytes(small)
    with pytest.raises(PublicKeyError, match=r"^the public key has 1152 bytes, expected 768$"):
        PublicKey.from_bytes(bytes(1152), 2048)
