"""A program that must stay the file that it was when it was found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


class PinnedProgram:
    """A program with the SHA-256 of its file. What replaces it while the server runs was checked by nobody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = _digest(path)

    def require_unchanged(self) -> None:
        """Read the file again (40 ms for OPA). ConfigurationError when it is another one, or gone."""
        found = _digest(self._path)
        if found != self.digest:
            raise ConfigurationError(
                f"{self._path}: was replaced while Placet ran (its SHA-256 was {self.digest}, now it is {found}); "
                "put the old file back, or restart Placet to take the new one"
            )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; put the program back") from error
