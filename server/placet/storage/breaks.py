"""Checks that a database holds the trail that this server's keys signed, and explains what to do when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.audit.trail_break import NEW_TRAIL, BreakKind, find_breaks
from placet.audit.verification.problems import ProblemKind
from placet.kernel.errors import ConfigurationError
from placet.signing.keys import PRIVATE_NAME
from placet.signing.newest_record import NewestRecords, note_path
from placet.signing.pinned_checkpoints import missing_end

if TYPE_CHECKING:
    from placet.audit.records import VerifyReport
    from placet.audit.trail_break import TrailBreak
    from placet.signing.pinned_checkpoints import PinnedCheckpoints
    from placet.storage.database import Database

_GONE: Final = (
    "kill switches, approvals and spending are gone with it. Restore the newest backup; to go on without, run "
    f"{NEW_TRAIL}"
)
"""Consequence and remedy when no record of the trail is left."""


def require_its_trail(
    database: Database, writer: str, pinned: PinnedCheckpoints, *, only_its_chain: bool = False
) -> None:
    """Raise ConfigurationError when the database lacks a part of the trail that the keys signed.

    `only_its_chain` leaves out other writers, whose files beside the keys may change at this moment.
    """
    if broken := look_for_breaks(database, writer, pinned, only_its_chain=only_its_chain):
        raise ConfigurationError(_explain(database, pinned, broken[0]))


def require_a_trail(database: Database) -> None:
    """Raise ConfigurationError when there is no database, or it holds no record."""
    database.require_existing()
    if database.find_trail((), ()).empty:
        raise ConfigurationError(
            f"{database.name}: holds no record yet. Name the server's data directory with --data-dir, or its "
            "database with --database-url; the first `placet serve` begins the trail"
        )


def look_for_breaks(
    database: Database, writer: str, pinned: PinnedCheckpoints, *, only_its_chain: bool = False
) -> list[TrailBreak]:
    """Return the chains of which something signed or noted is not in the database.

    Raises ConfigurationError when the database or the files beside the keys cannot be read.
    """
    signed = [checkpoint for checkpoint, _ in pinned.read()]  # before the database, which only grows
    noted = NewestRecords(pinned.folder).read()
    if only_its_chain:
        signed = [checkpoint for checkpoint in signed if checkpoint.writer == writer]
        noted = [record for record in noted if record.writer == writer]
    stored = database.find_trail(
        [(checkpoint.writer, checkpoint.sequence) for checkpoint in signed],
        [(record.writer, record.sequence) for record in noted],
    )
    return find_breaks(writer, signed, noted, stored, begun=pinned.begun)


def add_breaks(report: VerifyReport, database: Database, pinned: PinnedCheckpoints) -> VerifyReport:
    """Return the report, with a problem for each chain that ends before what was noted at the server's last answer.

    Chains with a NEWEST_CHECKPOINT_MISSING problem get no second one. Raises ConfigurationError as `look_for_breaks`.
    """
    reported = {item.writer for item in report.problems if item.kind == ProblemKind.NEWEST_CHECKPOINT_MISSING}
    if any(item.kind == ProblemKind.DATABASE_DAMAGED for item in report.problems):
        return report  # a damaged database cannot be compared
    breaks = look_for_breaks(database, "", pinned)
    missing = [item for item in breaks if item.writer and item.writer not in reported]
    return replace(report, problems=(*report.problems, *map(missing_end, missing)))


def _explain(database: Database, pinned: PinnedCheckpoints, broken: TrailBreak) -> str:
    """Return what is missing, and how to restore it or go on without it."""
    where, writer, expected = database.name, broken.writer, broken.expected_sequence
    if not expected:
        return (
            f"{where}: holds no trail, and {pinned.folder / PRIVATE_NAME} has signed one, or was made elsewhere. If "
            f"there was a trail, {_GONE}. If this is the first start with a key that was made elsewhere, run "
            f"{NEW_TRAIL}, too"
        )
    path = pinned.path(writer)
    if not any(checkpoint.sequence == expected for checkpoint, _ in pinned.read() if checkpoint.writer == writer):
        path = note_path(pinned.folder, writer)
    match broken.kind:
        case BreakKind.LOST:
            return f"{where}: holds no record of {writer}, and {path} tells of record {expected}: {_GONE}"
        case BreakKind.OLDER:
            return (
                f"{where}: the chain of {writer} ends at record {broken.found_sequence}, and {path} tells of "
                f"record {expected}: an older copy was restored, or its -wal file is gone; what was recorded since is "
                f"missing, kill switches and spending too. Put the newest copy back, with its -wal file; to go on "
                f"without, run {NEW_TRAIL}"
            )
        case BreakKind.OTHER:
            return (
                f"{where}: record {expected} of {writer} is not the one that {path} tells of: this is another "
                f"database, or it was changed. Put the right one back; to go on with this one, run {NEW_TRAIL}"
            )
