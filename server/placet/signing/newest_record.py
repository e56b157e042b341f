"""Notes the end of a chain at the server's last answer, beside the keys.

It reveals a removed or truncated database log.

The note is written after each commit and not synced. It survives the process. After a power failure it may be older or
empty, and proves less. So the chain must reach at least the noted record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.audit.trail_break import NotedRecord
from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from placet.audit.chain import Head

PREFIX: Final = "newest-record."
_ENDING: Final = ".json"
_BYTES: Final = 512
"""Size of a note. A writer's name, a number and a hash fit, and one write replaces all of it."""


class NewestRecord:
    """The note of one writer. Lives in the writer's thread."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._path = note_path(folder, writer)
        self._writer = writer
        self._descriptor: int | None = None
        self._reported = ""

    def note(self, head: Head) -> None:
        """Note that the chain durably ends at `head`.

        Raises OSError, once for each cause, when the note cannot be written.
        """
        try:
            self._note(head)
            self._reported = ""
        except OSError as error:
            self.close()
            previous, self._reported = self._reported, str(error)
            if previous != self._reported:
                raise unwritable(self._path, error) from error

    def _note(self, head: Head) -> None:
        if self._descriptor is not None and not self._in_place(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        content = orjson.dumps({"writer": self._writer, "sequence": head.sequence, "hash": head.hash.hex()})
        os.pwrite(self._descriptor, content.ljust(_BYTES - 1) + b"\n", 0)

    def _in_place(self, descriptor: int) -> bool:
        """Return whether the open file is the one that the next start would read."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class NewestRecords:
    """The notes of all writers in a folder."""

    folder: Path

    def read(self) -> list[NotedRecord]:
        """Return the notes. Skips empty and truncated ones.

        Raises ConfigurationError when a file cannot be read.
        """
        return [
            record for path in sorted(self.folder.glob(f"{PREFIX}*{_ENDING}")) if (record := _read(path)) is not None
        ]

    def forget(self, writer: str) -> None:
        """Remove the note of a writer whose records are lost. Raises OSError."""
        note_path(self.folder, writer).unlink(missing_ok=True)


def note_path(folder: Path, writer: str) -> Path:
    """Return the file of a writer's note."""
    return folder / f"{PREFIX}{writer}{_ENDING}"


def unwritable(path: Path, error: OSError) -> OSError:
    """Return the error for a file beside the keys that cannot be written, with its remedy."""
    why = error.strerror or type(error).__name__
    remedy = remedy_for(error, "let Placet's user own it, or remove it: it is written anew")
    return OSError(error.errno, f"{path}: cannot be written ({why}); {remedy}")


def _read(path: Path) -> NotedRecord | None:
    try:
        members = orjson.loads(path.read_bytes().strip(b"\0 \n"))
        return NotedRecord(str(members["writer"]), int(members["sequence"]), str(members["hash"]))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}); let Placet's user own it, or remove it: it is written anew"
        ) from error
    except (KeyError, TypeError, ValueError):
        return None
