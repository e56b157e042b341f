"""A program whose file must not change while Placet runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


class PinnedProgram:
    """A program and the SHA-256 of its file. A file that replaces it later was never checked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = _digest(path)

    def require_unchanged(self) -> None:
        """Hash the file again (40 ms for OPA). Raises ConfigurationError when it changed or is gone."""
        digest = _digest(self._path)
        if digest != self.digest:
            raise ConfigurationError(
                f"{self._path}: was replaced while Placet ran (its SHA-256 was {self.digest}, now it is {digest}); "
                "restore the old file, or restart Placet to use the new one"
            )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; restore the program") from error
