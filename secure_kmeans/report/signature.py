"""A party's signature under its report: a file beside ``report.json``, by the key of the party's identity.

The signature covers every byte of ``report.json``, and no other file. It is Ed25519 (RFC 8032) over
:data:`_PREFIX`, which no other use of the key begins with, and the bytes of the file. The certificate lies in the
file of the signature, and its fingerprint is that of the party in the report and in the job.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from secure_kmeans.errors import SignatureError
from secure_kmeans.job import Kind, digest_of_keys
from secure_kmeans.net.identity import Identity, fingerprint_of
from secure_kmeans.report.report import JobPart, RolePart

SUFFIX: Final = ".sig"
_PREFIX: Final = b"secure_kmeans: signature of a report, version 1\n"


class _Signature(BaseModel):
    """The content of a signature's file.

    Attributes
    ----------
    version : int
        Of this layout.
    fingerprint : str
        Of the certificate, in hexadecimal.
    certificate : str
        In PEM.
    signature : str
        In base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1] = 1
    fingerprint: str
    certificate: str
    signature: str


class Record(BaseModel):
    """The keys of a report that a signature is judged by: those of every version of the layout that has signatures.

    Attributes
    ----------
    program, session, started, ended, job, roles, n_samples, table_digests
        As in :class:`~secure_kmeans.report.report.Report`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    program: str
    session: str | None
    started: AwareDatetime
    ended: AwareDatetime | None = None
    job: JobPart
    roles: list[RolePart]
    n_samples: dict[str, int]
    table_digests: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class SignedReport:
    """A report whose signature was verified.

    Attributes
    ----------
    record : Record
    signer : RolePart
        The party that signed it, with the fingerprint of its certificate.
    """

    record: Record
    signer: RolePart


def sign(report: bytes, identity: Identity) -> bytes:
    """The content of the file beside a report.

    Parameters
    ----------
    report : bytes
        The whole content of ``report.json``.
    identity : Identity
    """
    signature = _Signature(
        fingerprint=identity.fingerprint,
        certificate=identity.certificate.public_bytes(Encoding.PEM).decode("ascii"),
        signature=base64.b64encode(identity.key.sign(_PREFIX + report)).decode("ascii"),
    )
    return signature.model_dump_json(indent=2).encode() + b"\n"


def verify(path: Path) -> SignedReport:
    """Verify the signature beside a report. Nothing is written.

    Raises
    ------
    SignatureError
        Where the file is no report, it is not signed, it has changed since it was signed, or its signer is not the
        party whose report it is.
    """
    data = _read(path)
    record = _record_in(data, path)
    signature = _signature_beside(path, record)
    certificate = _certificate_in(signature, path)
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{_file_of(path)}: its certificate is of another kind than new-identity makes")
    try:
        key.verify(base64.b64decode(signature.signature, validate=True), _PREFIX + data)
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError(
            f"{path}: the signature beside it does not fit: one of the two files has changed; ask the signer for both"
        ) from None
    return SignedReport(record, _signer_of(record, signature.fingerprint, path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror}") from None


def _record_in(data: bytes, path: Path) -> Record:
    try:
        return Record.model_validate_json(data)
    except ValueError:
        raise SignatureError(f"{path}: this is not the report of a run") from None


def _signature_beside(path: Path, record: Record) -> _Signature:
    file = _file_of(path)
    if not file.exists():
        if not any(role.fingerprint for role in record.roles):
            raise SignatureError(
                f"{path}: it is not signed, because all roles ran on one machine, where no role has to prove who it "
                "is; a run with --party signs its report"
            )
        raise SignatureError(f"{path}: there is no signature beside it; ask its party for {file.name}, too")
    try:
        return _Signature.model_validate_json(_read(file))
    except ValidationError:
        raise SignatureError(f"{file}: this is no signature of a report") from None


def _file_of(path: Path) -> Path:
    return path.with_suffix(SUFFIX)


def _certificate_in(signature: _Signature, path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(signature.certificate.encode())
        fits = fingerprint_of(certificate) == signature.fingerprint
    except (ValueError, x509.InvalidVersion):
        fits = False
    if not fits:
        raise SignatureError(f"{_file_of(path)}: its certificate cannot be read, or has another fingerprint")
    return certificate


def _signer_of(record: Record, fingerprint: str, path: Path) -> RolePart:
    """The party of the report that has this fingerprint, and whose report it is."""
    for role in record.roles:
        if role.fingerprint == fingerprint and role.kind is Kind.PARTY:
            break
    else:
        raise SignatureError(f"{path}: it is signed by the certificate {fingerprint}, which none of its parties has")
    if list(record.table_digests) != [role.name]:
        raise SignatureError(f'{path}: "{role.name}" signed it, but it is not the report of this party')
    keys = json.loads(record.job.model_dump_json(exclude={"digest"}))
    if record.job.digest != digest_of_keys(keys).hex():
        raise SignatureError(f"{path}: its digest is not that of the job in it; its signer has to explain this")
    return role
