"""Where each chain ended when its server answered last, noted beside the keys: for a log that was removed or cut off.

The note is written after each commit and not synced: it outlives the process, and after a loss of power it is older,
or empty, and then says less. So the chain must be at it or beyond.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.audit.trail_break import NotedRecord
from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from placet.audit.chain import Head

PREFIX: Final = "newest-record."
_ENDING: Final = ".json"
_BYTES: Final = 512
"""Of each note: a writer's name, a number and a hash fit, and one write replaces all of it."""


class NewestRecord:
    """The note of one writer. Lives in the thread that writes."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._path = note_path(folder, writer)
        self._writer = writer
        self._descriptor: int | None = None
        self._told = ""

    def note(self, head: Head) -> None:
        """The chain ends there, durably. OSError, once for each reason, when it cannot be noted."""
        try:
            self._note(head)
            self._told = ""
        except OSError as error:
            self.close()
            told, self._told = self._told, str(error)
            if told != self._told:
                raise unwritable(self._path, error) from error

    def _note(self, head: Head) -> None:
        if self._descriptor is not None and not self._in_place(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        said = orjson.dumps({"writer": self._writer, "sequence": head.sequence, "hash": head.hash.hex()})
        os.pwrite(self._descriptor, said.ljust(_BYTES - 1) + b"\n", 0)

    def _in_place(self, descriptor: int) -> bool:
        """Whether the note that is open is the one that the next start would read."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class NewestRecords:
    """The notes of all writers in a folder."""

    folder: Path

    def read(self) -> list[NotedRecord]:
        """Those that say something: one that is empty or cut off does not.

        ConfigurationError when one cannot be read.
        """
        return [each for path in sorted(self.folder.glob(f"{PREFIX}*{_ENDING}")) if (each := _read(path)) is not None]

    def forget(self, writer: str) -> None:
        """Remove the note of a writer whose records are gone. OSError."""
        note_path(self.folder, writer).unlink(missing_ok=True)


def note_path(folder: Path, writer: str) -> Path:
    """The file of one writer."""
    return folder / f"{PREFIX}{writer}{_ENDING}"


def unwritable(path: Path, error: OSError) -> OSError:
    """The error of what is kept beside the keys, with its remedy."""
    why = error.strerror or type(error).__name__
    remedy = remedy_for(error, "let Placet's user own it, or remove it: it is written anew")
    return OSError(error.errno, f"{path}: cannot be written ({why}); {remedy}")


def _read(path: Path) -> NotedRecord | None:
    try:
        said = orjson.loads(path.read_bytes().strip(b"\0 \n"))
        return NotedRecord(str(said["writer"]), int(said["sequence"]), str(said["hash"]))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}); let Placet's user own it, or remove it: it is written anew"
        ) from error
    except (KeyError, TypeError, ValueError):
        return None
