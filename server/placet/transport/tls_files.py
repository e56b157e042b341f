"""The files of a listener's certificates. Kept apart from what reads them, so that settings import nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a listener, in PEM."""

    certificate: Path
    """The server's certificate, followed by the intermediate ones."""
    key: Path
    client_ca: Path | None = None
    """The CAs whose client certificates are accepted. None: clients need no certificate."""

    def signature(self) -> tuple[object, ...]:
        """Return what changes when a file is written or replaced."""
        return tuple(_signature(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
