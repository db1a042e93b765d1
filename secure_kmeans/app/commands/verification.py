"""The command that verifies a signed report."""

from __future__ import annotations

from pathlib import Path

from secure_kmeans.app.commands.values import Verified
from secure_kmeans.words import counted


def verify(path: Path) -> Verified:
    """Verify the signature under a party's report. Nothing is written or sent.

    Parameters
    ----------
    path : path
        A ``report.json``, with its ``report.sig`` beside it.

    Raises
    ------
    SignatureError
        Where it is not signed, has changed since, or is signed by somebody else than the party whose report it is.
    """
    from secure_kmeans.report import signature

    signed = signature.verify(path)
    record, signer = signed.record, signed.signer
    assert signer.fingerprint is not None
    ended = record.ended or record.started
    findings = (
        f'"{signer.name}" signed this report, and no byte of it has changed since',
        f'the certificate of "{signer.name}" has the fingerprint {signer.fingerprint}, in the report and in its job',
        f"the job in the report has the digest {record.job.digest}",
    )
    statements = (
        f"session {record.session}, from {record.started:%Y-%m-%d %H:%M:%S} to {ended:%Y-%m-%d %H:%M:%S} UTC",
        f"version {record.program} of the program",
        f'table of "{signer.name}": {counted(record.n_samples.get(signer.name, 0), "row")} in the run, digest '
        f"{record.table_digests[signer.name]}",
    )
    caveats = (
        f'whose the certificate is: compare its fingerprint with the one that "{signer.name}" gave you, or with your '
        "own copy of the job",
        "whether the report is true: it holds what the signer's machine wrote, its clock included",
        "the other files beside the report, such as labels and pictures: they are not signed",
    )
    return Verified(path, signer.name, signer.fingerprint, findings, statements, caveats)
