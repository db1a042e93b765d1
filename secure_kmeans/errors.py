"""What can go wrong, as a tree of exceptions.

SecureKMeansError
├── JobError             (ValueError)    the job or an option asks for something impossible
├── DataError            (ValueError)    a table cannot be used as it is
├── IdentityError        (ValueError)    a key or a certificate cannot be used as it is
├── StateError           (ValueError)    a run cannot be resumed from what the state folder holds
├── MissingPackageError  (ImportError)   a package that a protocol needs is not installed
├── ProtocolError        (RuntimeError)  the parties' computation went wrong, the result is not to be used
└── RoleError            (RuntimeError)  a party or the dealer failed, died or stopped answering

A message says who, what came, what was expected and the remedy. It never holds a value of a
table, a share or a key.
"""


class SecureKMeansError(Exception):
    """Base of every error that this package raises on purpose."""


class JobError(SecureKMeansError, ValueError):
    """The job or an option asks for something impossible."""


class DataError(SecureKMeansError, ValueError):
    """A table cannot be used as it is."""


class IdentityError(SecureKMeansError, ValueError):
    """A key or a certificate cannot be used as it is."""


class StateError(SecureKMeansError, ValueError):
    """A run cannot be resumed from what the state folder holds."""


class MissingPackageError(SecureKMeansError, ImportError):
    """A package that a protocol needs is not installed."""


class ProtocolError(SecureKMeansError, RuntimeError):
    """The parties' computation went wrong; its result is not to be used."""


class RoleError(SecureKMeansError, RuntimeError):
    """A party or the dealer failed, died or stopped answering.

    Attributes
    ----------
    role : str
        Name of the party, or ``"dealer"``.
    reason : str
        What happened to it.
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f'role "{role}" failed: {reason}')
        self.role = role
        self.reason = reason
