"""CrypTen's own methods on tensors of integer shares: exact, local, and the same at the dealer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import original
from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.rounds import Opening, Step
from tests.mpc.roles_in_threads import shares_of
from tests.parties import AtRole, run_parties

everywhere = pytest.mark.parametrize("number", [2, 3])

LARGE = 2**62 + 12345
X = np.array([[1, -2, LARGE], [-LARGE, 0, 7]])
Y = np.array([[LARGE, 5, -6], [3, -LARGE, 2**63 - 1]])
PUBLIC = np.array([[3, -LARGE, 2], [LARGE, -1, 0]])

Operation = Callable[[Any, Any, Any], Any]
ON_TENSORS: dict[str, tuple[Operation, Operation]] = {
    "tensor + tensor": (lambda x, y, p: x + y, lambda x, y, p: x + y),
    "tensor - tensor": (lambda x, y, p: x - y, lambda x, y, p: x - y),
    "tensor + public": (lambda x, y, p: x + p, lambda x, y, p: x + p),
    "tensor - public": (lambda x, y, p: x - p, lambda x, y, p: x - p),
    "tensor * public": (lambda x, y, p: x * p, lambda x, y, p: x * p),
    "matmul public": (lambda x, y, p: x.matmul(p.t()), lambda x, y, p: x @ p.T),
    "tensor + row": (lambda x, y, p: x + p[0], lambda x, y, p: x + p[0]),
    "tensor * row": (lambda x, y, p: x * p[0], lambda x, y, p: x * p[0]),
    "tensor * int": (lambda x, y, p: x * -3, lambda x, y, p: x * -3),
    "int - tensor": (lambda x, y, p: 5 - x, lambda x, y, p: 5 - x),
    "-tensor": (lambda x, y, p: -x, lambda x, y, p: -x),
    "neg": (lambda x, y, p: x.neg(), lambda x, y, p: -x),
    "sum": (lambda x, y, p: x.sum(), lambda x, y, p: x.sum()),
    "sum of columns": (lambda x, y, p: x.sum(0), lambda x, y, p: x.sum(axis=0)),
    "sum of rows": (lambda x, y, p: x.sum(1), lambda x, y, p: x.sum(axis=1)),
    "row": (lambda x, y, p: x[1], lambda x, y, p: x[1]),
    "slice": (lambda x, y, p: x[:, 1:], lambda x, y, p: x[:, 1:]),
    "rows by number": (lambda x, y, p: x[torch.tensor([1, 0, 1])], lambda x, y, p: x[[1, 0, 1]]),
    "reshape": (lambda x, y, p: x.reshape(3, 2), lambda x, y, p: x.reshape(3, 2)),
    "flatten": (lambda x, y, p: x.reshape(-1), lambda x, y, p: x.reshape(-1)),
    "unsqueeze": (lambda x, y, p: x.unsqueeze(1), lambda x, y, p: x[:, None]),
    "t": (lambda x, y, p: x.t(), lambda x, y, p: x.T),
    "transpose": (lambda x, y, p: x.transpose(0, 1), lambda x, y, p: x.T),
    "unbind": (lambda x, y, p: x.unbind(0)[1], lambda x, y, p: x[1]),
    "cat": (lambda x, y, p: crypten.cat([x, y]), lambda x, y, p: np.concatenate([x, y])),
    "cat of columns": (lambda x, y, p: crypten.cat([x, y], dim=1), lambda x, y, p: np.concatenate([x, y], axis=1)),
    "stack": (lambda x, y, p: crypten.stack([x, y]), lambda x, y, p: np.stack([x, y])),
    "stack of one": (lambda x, y, p: crypten.stack([x], dim=1), lambda x, y, p: np.stack([x], axis=1)),
}


@pytest.fixture
def as_role(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """CrypTen in this process as a role without lines and keys: every message, every draw and every division fails."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("CrypTen truncates")

    monkeypatch.setattr(original.arithmetic_primitives.ArithmeticSharedTensor, "div_", fail)
    monkeypatch.setattr(original.beaver, "truncate", fail)

    def become(rank: int, number: int) -> None:
        role = object.__new__(RoleCommunicator)
        role.rank, role.world_size, role.zero_sharing = rank, number, {}
        monkeypatch.setattr(RoleCommunicator.in_this_thread, "instance", role)

    return become


@everywhere
@pytest.mark.parametrize("name", ON_TENSORS)
def test_crypten_s_own_methods_are_exact_and_local(name: str, number: int, as_role: Callable[[int, int], None]) -> None:
    on_shares, on_numbers = ON_TENSORS[name]
    public = torch.from_numpy(PUBLIC)
    with np.errstate(over="ignore"):
        expected = np.asarray(on_numbers(X, Y, PUBLIC))
    shares = []
    for rank in range(number + 1):
        as_role(rank, number)
        mine = [shares_of(values, number, rank, seed) for seed, values in enumerate((X, Y))]
        before = [own.copy() for own in mine]
        result = on_shares(crypten.wrap(mine[0]), crypten.wrap(mine[1]), public)
        assert type(result) is crypten.Shared
        assert result.encoder.scale == 1
        assert tuple(result.shape) == tuple(result.size()) == expected.shape
        shares.append(crypten.share_of(result))
        assert shares[-1].dtype == np.int64
        assert all((own == kept).all() for own, kept in zip(mine, before, strict=True)), "an operand changed"
    with np.errstate(over="ignore"):
        assert np.array_equal(np.sum(shares[:-1], axis=0, dtype=np.int64), expected)
    assert not shares[-1].any()  # the dealer's


@everywhere
def test_words_of_bits(number: int, as_role: Callable[[int, int], None]) -> None:
    words, mask = np.array([[2**64 - 1, 0, 5], [1, 2, 2**63]], dtype=np.uint64), torch.tensor([-1, 6, 0])
    found: list[list[np.ndarray]] = []
    for rank in range(number + 1):
        as_role(rank, number)
        generator = np.random.default_rng(3)
        parts = [generator.integers(0, 2**63, words.shape).astype(np.uint64) for _ in range(number - 1)]
        parts = [*parts, np.bitwise_xor.reduce([*parts, words]), np.zeros_like(words)]
        tensor = crypten.wrap(parts[rank])
        tensors = [tensor, crypten.bits_xor_public(tensor, mask), tensor[1], crypten.cat([tensor, tensor], dim=1)]
        found.append([crypten.share_of(each) for each in tensors])
        assert all(own.dtype == np.uint64 for own in found[-1])
    both = np.concatenate([words, words], axis=1)
    expected = [words, words ^ mask.numpy().view(np.uint64), words[1], both]
    for number_of, values in enumerate(expected):
        assert np.array_equal(np.bitwise_xor.reduce([own[number_of] for own in found[:-1]]), values)
        assert not found[-1][number_of].any()


def test_wrapping_copies_nothing_and_knows_its_kind() -> None:
    own = np.arange(6).reshape(2, 3)[:, ::2]  # not contiguous
    tensor = crypten.wrap(own)
    assert np.shares_memory(crypten.share_of(tensor), own)
    assert tensor.share.tolist() == own.tolist()
    assert tensor.ptype is crypten.arithmetic
    assert not tensor.requires_grad
    words = own.astype(np.uint64)
    assert np.shares_memory(crypten.share_of(crypten.wrap(words)), words)
    row = np.broadcast_to(np.arange(3), (2, 3))
    assert not np.shares_memory(crypten.share_of(crypten.wrap(row)), row)  # read-only
    scalar = np.array(7)
    assert crypten.share_of(crypten.wrap(scalar)).shape == ()
    assert crypten.wrap(words).ptype is crypten.binary
    assert [crypten.is_bits(crypten.wrap(each)) for each in (own, words)] == [False, True]
    with pytest.raises(AssertionError):
        crypten.wrap(np.zeros(2))


def test_an_in_place_method_writes_into_the_wrapped_array(as_role: Callable[[int, int], None]) -> None:
    as_role(0, 2)
    own = np.array([1, 2])
    tensor = crypten.wrap(own)
    tensor += torch.tensor([10, 20])
    assert own.tolist() == [11, 22]


def test_a_share_that_crypten_has_replaced_is_the_new_one() -> None:
    for array in (np.arange(6), np.arange(6, dtype=np.uint64)):
        tensor = crypten.wrap(array)
        assert crypten.share_of(tensor) is array
        primitive = tensor._tensor
        assert primitive._tensor.data_ptr() == array.ctypes.data  # made now, in the same memory
        assert crypten.share_of(tensor) is array
        primitive._tensor = primitive._tensor + 1
        assert crypten.share_of(tensor).dtype == array.dtype
        assert (crypten.share_of(tensor) == array + 1).all()
        assert (array == np.arange(6)).all()


@everywhere
def test_from_entry_to_opening_in_real_processes(number: int) -> None:
    """Entered by two parties, added, multiplied and summed by CrypTen's methods, the dealer taking part."""

    def opening(own: np.ndarray) -> Step[np.ndarray]:
        return (yield Opening(own))

    def body(at: AtRole) -> Any:
        mine = torch.from_numpy([X, Y][at.rank]) if at.rank < 2 else None
        x, y = (crypten.share(mine if at.rank == owner else None, owner, X.shape) for owner in range(2))
        before = at.traffic.rounds, at.traffic.bytes_sent
        result = ((x - y) * torch.from_numpy(PUBLIC) + torch.from_numpy(PUBLIC)).sum(0)
        assert (at.traffic.rounds, at.traffic.bytes_sent) == before
        own = crypten.share_of(result)
        if at.rank == number:
            assert not own.any()
            return None
        return at.sharing.engine.execute(opening(own)).tolist()

    with np.errstate(over="ignore"):
        expected = ((X - Y) * PUBLIC + PUBLIC).sum(axis=0)
    assert run_parties(number, body, processes=True) == [expected.tolist()] * number
