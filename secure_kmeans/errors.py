"""The exceptions that this package raises.

SecureKMeansError
├── JobError             (ValueError)    the job or an option asks for something impossible
├── DataError            (ValueError)    a table cannot be used as it is
│   └── MismatchError    (ValueError)    the parties' tables do not fit each other; all roles raise it
├── IdentityError        (ValueError)    a key or a certificate cannot be used as it is
├── StateError           (ValueError)    a run cannot be resumed from what the state folder holds
├── ConsentError         (ValueError)    a party does not agree to what a run would disclose
├── SignatureError       (ValueError)    a report is not signed, or not by the party whose report it is
├── MissingPackageError  (ImportError)   a package that a protocol needs is not installed
├── ProtocolError        (RuntimeError)  the computation on shares failed, there is no result
└── RoleError            (RuntimeError)  a role failed, died or stopped answering

A message says who, what was found, what was expected and the remedy. It never holds a value of a table, a share or a
key. Where it names a key of the job (:func:`secure_kmeans.words.key`), an option or a parameter can be shown instead.
"""

from __future__ import annotations

from collections.abc import Mapping

from secure_kmeans.words import named, with_marked_lead


class SecureKMeansError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes
    ----------
    names : mapping or None
        What the user calls the keys that the message names, see :func:`secure_kmeans.words.named`. A caller that
        made a job of its user's options sets it.
    """

    names: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return named(self.marked, self.names)

    @property
    def marked(self) -> str:
        """The message, with its keys still marked: for another error that repeats it."""
        return super().__str__()


class JobError(SecureKMeansError, ValueError):
    """The job or an option asks for something impossible.

    A message about one key begins with its name: ``n_init: ...``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(with_marked_lead(message))


class DataError(SecureKMeansError, ValueError):
    """A table cannot be used as it is."""


class MismatchError(DataError):
    """The parties' tables do not fit each other.

    Every role raises it, with the same message. The message holds nothing that not all roles know.
    """


class IdentityError(SecureKMeansError, ValueError):
    """A key or a certificate cannot be used as it is."""


class StateError(SecureKMeansError, ValueError):
    """A run cannot be resumed from what the state folder holds."""


class ConsentError(SecureKMeansError, ValueError):
    """A party does not agree to what a run would disclose."""


class SignatureError(SecureKMeansError, ValueError):
    """A report is not signed, or not by the party whose report it is, or it has changed since."""


class MissingPackageError(SecureKMeansError, ImportError):
    """A package that a protocol needs is not installed."""


class ProtocolError(SecureKMeansError, RuntimeError):
    """The computation on shares failed, or a role did not follow the protocol; there is no result."""


class RoleError(SecureKMeansError, RuntimeError):
    """A role failed, died or stopped answering.

    Attributes
    ----------
    role : str
        Its name.
    reason : str
        What happened, as a sentence about the role, which it calls "it".
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f'role "{role}" failed: {reason}')
        self.role = role
        self.reason = reason
