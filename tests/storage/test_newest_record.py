"""The note of where a chain ended: the next start reads it, so it is kept up in the place where that start looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.audit.chain import Head
from placet.signing.newest_record import NewestRecord, NewestRecords, note_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("lose", [remove, replace, empty])
def test_a_note_that_was_lost_is_made_anew(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    note = NewestRecord(tmp_path, "a")
    note.note(Head(1, b"\1" * 32))
    lose(note_path(tmp_path, "a"))
    note.note(Head(2, b"\2" * 32))
    assert [each.sequence for each in NewestRecords(tmp_path).read()] == [2]
    note.close()


def test_a_note_that_cannot_be_written_is_told_once_and_again_when_it_could_be_meanwhile(tmp_path: Path) -> None:
    note, path = NewestRecord(tmp_path, "a"), note_path(tmp_path, "a")
    for first in (1, 11):
        path.mkdir()
        with pytest.raises(
            OSError, match=r"newest-record\.a\.json: cannot be written \(Is a directory\); .* remove it"
        ):
            note.note(Head(first, b"\1" * 32))
        note.note(Head(first + 1, b"\2" * 32))
        path.rmdir()
        note.note(Head(first + 2, b"\3" * 32))
        assert [each.sequence for each in NewestRecords(tmp_path).read()] == [first + 2]
        path.unlink()
    note.close()
