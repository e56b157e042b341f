"""Where each chain ended when its server answered last, noted beside the keys: for a log that was removed or cut off.

The note is written after each commit and not synced: it outlives the process, and after a loss of power it is older,
or empty, and then says less. So the chain must be at it or beyond.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.core.errors import SetupError
from placet.core.trail_break import NotedRecord

if TYPE_CHECKING:
    from pathlib import Path

    from placet.core.chain import Head

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

    def note(self, head: Head) -> None:
        """The chain ends there, durably. OSError."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        said = orjson.dumps({"writer": self._writer, "sequence": head.sequence, "hash": head.hash.hex()})
        os.pwrite(self._descriptor, said.ljust(_BYTES - 1) + b"\n", 0)

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
        """Those that say something: one that is empty or cut off does not. SetupError when one cannot be read."""
        return [each for path in sorted(self.folder.glob(f"{PREFIX}*{_ENDING}")) if (each := _read(path)) is not None]

    def forget(self, writer: str) -> None:
        """Remove the note of a writer whose records are gone. OSError."""
        note_path(self.folder, writer).unlink(missing_ok=True)


def note_path(folder: Path, writer: str) -> Path:
    """The file of one writer."""
    return folder / f"{PREFIX}{writer}{_ENDING}"


def _read(path: Path) -> NotedRecord | None:
    try:
        said = orjson.loads(path.read_bytes().strip(b"\0 \n"))
        return NotedRecord(str(said["writer"]), int(said["sequence"]), str(said["hash"]))
    except OSError as error:
        raise SetupError(
            f"{path}: cannot be read ({error.strerror}); let Placet's user own it, or remove it: it is written anew"
        ) from error
    except (KeyError, TypeError, ValueError):
        return None
