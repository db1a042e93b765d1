import pytest

from secure_kmeans.job import Endpoint, Party, split_address
from tests.job.refusing import refusal


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("clinic.example:7100", ("clinic.example", 7100)),
        ("192.0.2.7:1", ("192.0.2.7", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[2001:DB8::7]:443", ("2001:DB8::7", 443)),
        ("my_host-1:80", ("my_host-1", 80)),
    ],
)
def test_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert Endpoint.of(address=address).address == address


@pytest.mark.parametrize("address", ["", "host", "host:0", "host:65536", "::1:7100", "a b:1", "https://h:1"])
def test_an_address_that_is_none(address: str) -> None:
    said = f'"{address}" is no address; write host:port, like clinic.example:7100'
    with pytest.raises(ValueError, match="is no address") as caught:
        split_address(address)
    assert str(caught.value) == said
    assert refusal(Endpoint.of, address=address) == f"address: {said}"


@pytest.mark.parametrize("fingerprint", ["", "ab" * 31, "AB" * 32, "0g" * 32])
def test_a_fingerprint_that_is_none(fingerprint: str) -> None:
    assert refusal(Endpoint.of, fingerprint=fingerprint).startswith("fingerprint: ")


def test_parties_without_endpoints() -> None:
    assert Party.named("a", "b") == (Party.of(name="a"), Party.of(name="b"))
    assert (Party.of(name="a").address, Party.of(name="a").fingerprint) == (None, None)
