"""Several organisations cluster all their data together without showing anybody a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from secure_kmeans.errors import (
    DataError,
    IdentityError,
    JobError,
    ProtocolError,
    RoleError,
    SecureKMeansError,
    StateError,
)
from secure_kmeans.version import VERSION

if TYPE_CHECKING:
    from secure_kmeans.estimators import PlaintextKMeans, SecureKMeans
    from secure_kmeans.report import Report


__version__ = VERSION

__all__ = [
    "DataError",
    "IdentityError",
    "JobError",
    "PlaintextKMeans",
    "ProtocolError",
    "Report",
    "RoleError",
    "SecureKMeans",
    "SecureKMeansError",
    "StateError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first asked for: the roles' processes never need them."""
    if name in ("PlaintextKMeans", "SecureKMeans"):
        from secure_kmeans import estimators

        return getattr(estimators, name)
    if name == "Report":
        from secure_kmeans.report import Report

        return Report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
