import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from secure_kmeans.errors import IdentityError
from secure_kmeans.net.identity import CERTIFICATE, FINGERPRINT, KEY, fingerprint_of, load_identity, new_identity

ED25519 = bytes.fromhex("06032b6570")  # the object identifier 1.3.101.112 in DER
UNKNOWN = bytes.fromhex("06032b657f")  # 1.3.101.127, which stands for nothing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_identity(tmp_path / "clinic")
    return tmp_path / "clinic"


def refusal(folder: Path) -> str:
    with pytest.raises(IdentityError) as caught:
        load_identity(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def der_of(file: Path) -> bytes:
    return base64.b64decode(b"".join(file.read_bytes().splitlines()[1:-1]))


def write_pem(file: Path, label: bytes, der: bytes) -> None:
    file.write_bytes(b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(der), label))


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_enter_the_folder_and_read_the_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        new_identity(tmp_path / "clinic")
    finally:
        os.umask(before)
    assert (tmp_path / "clinic").stat().st_mode & 0o777 == 0o700
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "clinic").iterdir()}
    assert modes == {KEY: 0o600, CERTIFICATE: 0o600, FINGERPRINT: 0o600}


def test_what_was_made_is_what_is_loaded(tmp_path: Path) -> None:
    made = new_identity(tmp_path / "deep" / "down" / "clinic")
    loaded = load_identity(tmp_path / "deep" / "down" / "clinic")
    assert loaded.certificate == made.certificate
    assert raw(loaded.key) == raw(made.key)
    assert loaded.fingerprint == made.fingerprint


def test_the_certificate_says_nothing_of_its_role_and_belongs_to_the_key(tmp_path: Path) -> None:
    identity = new_identity(tmp_path / "clinic")
    assert identity.certificate.subject.rfc4514_string() == "CN=secure_kmeans"
    assert identity.certificate.issuer == identity.certificate.subject
    assert identity.certificate.public_key() == identity.key.public_key()
    identity.certificate.verify_directly_issued_by(identity.certificate)
    assert identity.certificate.not_valid_after_utc.year == 9999


def test_the_fingerprint_is_sha256_of_the_certificate_in_der(folder: Path) -> None:
    expected = hashlib.sha256(der_of(folder / CERTIFICATE)).hexdigest()
    identity = load_identity(folder)
    assert identity.fingerprint == expected
    assert fingerprint_of(identity.certificate) == expected
    assert (folder / FINGERPRINT).read_text() == f"{expected}\n"


def test_no_two_identities_are_alike(tmp_path: Path) -> None:
    one, other = (new_identity(tmp_path / folder) for folder in ("one", "other"))
    assert one.fingerprint != other.fingerprint
    assert raw(one.key) != raw(other.key)
    assert one.certificate.serial_number != other.certificate.serial_number


def test_no_key_is_ever_overwritten(folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(IdentityError) as caught:
        new_identity(folder)
    assert str(caught.value) == f"{folder}: this exists already; choose another name, or remove it"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("what", ["empty folder", "file", "dangling link"])
def test_anything_that_has_the_name_already_stays_as_it_is(tmp_path: Path, what: str) -> None:
    path = tmp_path / "clinic"
    if what == "empty folder":
        path.mkdir()
    elif what == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IdentityError, match=r"this exists already; choose another name, or remove it$"):
        new_identity(path)
    assert [file.name for file in tmp_path.iterdir()] == ["clinic"]
    assert not path.is_dir() or not any(path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError) as caught:
        new_identity(tmp_path / "file" / "clinic")
    assert str(caught.value) == f"{tmp_path}/file/clinic: Not a directory"


def test_an_incomplete_identity_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path: str | Path, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(CERTIFICATE):
            raise OSError(28, "No space left on device", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(IdentityError) as caught:
        new_identity(tmp_path / "clinic")
    assert str(caught.value) == f"{tmp_path}/clinic: No space left on device"
    assert not (tmp_path / "clinic").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_key_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    (folder / KEY).chmod(mode)
    assert refusal(folder) == (f"{folder}/{KEY}: others may read this key; chmod 600 it, or better make a new identity")
    (folder / KEY).chmod(0o400)
    load_identity(folder)


@pytest.mark.parametrize("file", [KEY, CERTIFICATE])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert refusal(folder) == f"{folder}/{file}: No such file or directory; make one with new-identity"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    where = tmp_path / "clinic"
    assert refusal(where) == f"{where}/{KEY}: No such file or directory; make one with new-identity"


@pytest.mark.parametrize("file", [KEY, CERTIFICATE])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 1000, b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_garbage_is_refused(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    assert refusal(folder) == f"{folder}: its key or certificate cannot be read; make a new identity"


@pytest.mark.parametrize("file", [KEY, CERTIFICATE])
def test_a_cut_file_is_refused(folder: Path, file: str) -> None:
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    assert refusal(folder) == f"{folder}: its key or certificate cannot be read; make a new identity"


@pytest.mark.parametrize(("file", "label"), [(KEY, b"PRIVATE KEY"), (CERTIFICATE, b"CERTIFICATE")])
def test_a_kind_of_key_that_nobody_knows_is_refused(folder: Path, file: str, label: bytes) -> None:
    head, *tail = der_of(folder / file).split(ED25519)
    within, *tail = tail if file == CERTIFICATE else (b"", *tail)  # the second one is in the certificate's public key
    changed = (
        head + ED25519 + within + UNKNOWN + ED25519.join(tail) if file == CERTIFICATE else head + UNKNOWN + tail[0]
    )
    write_pem(folder / file, label, changed)
    assert refusal(folder) == f"{folder}: its key or certificate cannot be read; make a new identity"


def test_an_encrypted_key_is_refused(folder: Path) -> None:
    key = load_identity(folder).key
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / KEY).write_bytes(encrypted)
    assert refusal(folder) == f"{folder}: its key or certificate cannot be read; make a new identity"


@pytest.mark.parametrize(
    "key", [Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())], ids=["same", "other"]
)
def test_a_key_that_is_not_the_certificates_is_refused(
    folder: Path, key: Ed25519PrivateKey | EllipticCurvePrivateKey
) -> None:
    (folder / KEY).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert refusal(folder) == f"{folder}: its key and certificate do not belong together; make a new identity"


def test_a_certificate_that_is_not_the_keys_is_refused(folder: Path, tmp_path: Path) -> None:
    new_identity(tmp_path / "lab")
    (folder / CERTIFICATE).write_bytes((tmp_path / "lab" / CERTIFICATE).read_bytes())
    assert refusal(folder) == f"{folder}: its key and certificate do not belong together; make a new identity"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("change", [0x01, 0x02, 0x55, 0x80, 0xFF])
@pytest.mark.parametrize(("file", "label"), [(KEY, b"PRIVATE KEY"), (CERTIFICATE, b"CERTIFICATE")])
def test_one_changed_byte_never_raises_anything_else(folder: Path, file: str, label: bytes, change: int) -> None:
    due = load_identity(folder).fingerprint
    der = der_of(folder / file)
    for position in range(len(der)):
        changed = bytearray(der)
        changed[position] ^= change
        write_pem(folder / file, label, bytes(changed))
        try:
            loaded = load_identity(folder)
        except IdentityError:
            continue
        assert file == CERTIFICATE  # only its fingerprint counts
        assert loaded.fingerprint != due


def test_no_text_shows_the_key(folder: Path) -> None:
    identity = load_identity(folder)
    shown = f"{identity!r} {identity} {vars(identity)!r}"
    secret = raw(identity.key)
    for form in (secret.hex(), base64.b64encode(secret).decode(), repr(secret), "PRIVATE", "Ed25519PrivateKey"):
        assert form not in repr(identity)
    assert secret.hex() not in shown
    assert re.search(r"key", repr(identity)) is None


def test_no_file_but_the_key_holds_the_key(folder: Path) -> None:
    secret = raw(load_identity(folder).key)
    public = load_identity(folder).key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert secret in der_of(folder / KEY)
    assert secret not in der_of(folder / CERTIFICATE)
    assert public in der_of(folder / CERTIFICATE)
