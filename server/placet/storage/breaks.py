"""Whether a database holds the trail that its keys signed; and what to tell people when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.audit.problems import ProblemKind
from placet.audit.trail_break import NEW_TRAIL, BreakKind, find_breaks
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


def require_its_trail(database: Database, writer: str, pinned: PinnedCheckpoints) -> None:
    """ConfigurationError where the database is not the one that the keys signed, or not all of it."""
    if broken := look_for_breaks(database, writer, pinned):
        raise ConfigurationError(_told(database, pinned, broken[0]))


def require_a_trail(database: Database) -> None:
    """ConfigurationError where there is no database, or not one record in it: nothing to go on with."""
    database.require_existing()
    if database.find_trail((), ()).empty:
        raise ConfigurationError(
            f"{database.name}: holds no record yet. Name the server's data directory with --data-dir, or its "
            "database with --database-url; the first `placet serve` begins the trail"
        )


def look_for_breaks(database: Database, writer: str, pinned: PinnedCheckpoints) -> list[TrailBreak]:
    """What was signed with the keys and is not in the database. ConfigurationError when that cannot be told."""
    signed = [checkpoint for checkpoint, _ in pinned.read()]  # before the database, which only grows
    noted = NewestRecords(pinned.folder).read()
    found = database.find_trail(
        [(each.writer, each.sequence) for each in signed], [(each.writer, each.sequence) for each in noted]
    )
    return find_breaks(writer, signed, noted, found, begun=pinned.begun)


def add_breaks(report: VerifyReport, database: Database, pinned: PinnedCheckpoints) -> VerifyReport:
    """The report, with the chains that end before what was noted when a server answered last. ConfigurationError."""
    told = {each.writer for each in report.problems if each.kind == ProblemKind.NEWEST_CHECKPOINT_MISSING}
    if any(each.kind == ProblemKind.DATABASE_DAMAGED for each in report.problems):
        return report  # it cannot be looked into
    missing = [each for each in look_for_breaks(database, "", pinned) if each.writer not in told and each.writer]
    return replace(report, problems=(*report.problems, *map(missing_end, missing)))


def _told(database: Database, pinned: PinnedCheckpoints, broken: TrailBreak) -> str:
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
