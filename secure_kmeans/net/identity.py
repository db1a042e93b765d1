"""A role's identity: a private key and a self-signed certificate, in a folder that only its owner can read.

No authority signs the certificate. A role is recognised by the certificate's fingerprint, which the job names. The
certificate therefore never expires, and it holds nothing about the role, because every caller at an open port sees it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from secure_kmeans.errors import IdentityError

KEY: Final = "key.pem"
CERTIFICATE: Final = "certificate.pem"
FINGERPRINT: Final = "fingerprint"
_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, section 4.1.2.5


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in DER, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True)
class Identity:
    """A key pair and its certificate.

    Attributes
    ----------
    certificate : x509.Certificate
    key : Ed25519PrivateKey
    """

    certificate: x509.Certificate
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in DER, in hexadecimal, as the job names it."""
        return fingerprint_of(self.certificate)


def new_identity(folder: Path) -> Identity:
    """Make a key and a certificate for a role, in a new folder.

    Parameters
    ----------
    folder : path
        Must not exist, so that no key can be overwritten.

    Raises
    ------
    IdentityError
    """
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "secure_kmeans")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )
    identity = Identity(certificate, key)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise IdentityError(f"{folder}: this exists already; choose another name, or remove it") from None
    except OSError as error:
        raise IdentityError(f"{folder}: {error.strerror}") from None
    try:
        _write(folder / KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _write(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
        _write(folder / FINGERPRINT, f"{identity.fingerprint}\n".encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        raise IdentityError(f"{folder}: {error.strerror}") from None
    return identity


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def load_identity(folder: Path) -> Identity:
    """Read an identity that :func:`new_identity` made.

    Raises
    ------
    IdentityError
        Where a file is missing or unusable, where other users may read the key, or where key and certificate do not
        belong together.
    """
    key_path, certificate_path = folder / KEY, folder / CERTIFICATE
    try:
        open_to_others = bool(key_path.stat().st_mode & 0o077)
        key_pem, certificate_pem = key_path.read_bytes(), certificate_path.read_bytes()
    except OSError as error:
        raise IdentityError(f"{error.filename}: {error.strerror}; make one with new-identity") from None
    if open_to_others:
        raise IdentityError(f"{key_path}: others may read this key; chmod 600 it, or better make a new identity")
    try:
        key = load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        public_key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion):
        raise IdentityError(f"{folder}: its key or certificate cannot be read; make a new identity") from None
    if not isinstance(key, Ed25519PrivateKey) or public_key != key.public_key():
        raise IdentityError(f"{folder}: its key and certificate do not belong together; make a new identity")
    return Identity(certificate, key)
