"""A check that CrypTen is installed, which takes milliseconds where its import takes seconds.

CrypTen asks for a retired package whose build stops with an error. Pip therefore cannot install CrypTen together with
this package, and a user installs it by a command of its own.
"""

import importlib.util
from typing import Final

from secure_kmeans.errors import MissingPackageError

COMMAND: Final = "pip install --no-deps crypten==0.4.1"


def check_crypten() -> None:
    """Refuse to go on without CrypTen.

    Raises
    ------
    MissingPackageError
        Its message holds the command that installs CrypTen.
    """
    if importlib.util.find_spec("crypten") is None:
        raise MissingPackageError(f"CrypTen is not installed, and pip does not bring it by itself; run: {COMMAND}")
