"""The newest signed checkpoint of each chain, pinned beside the keys: the database must hold it at the next start.

It tells a database that was lost, emptied or replaced by an older or another one from a fresh installation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.audit.chain import parse_checkpoint
from placet.audit.trail_break import BreakKind, TrailBreak
from placet.audit.verification.problems import ProblemKind, problem
from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import dump_pinned_checkpoints, load_pinned_checkpoints
from placet.signing.keys import PRIVATE_NAME, sync_folder
from placet.signing.newest_record import unwritable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from placet.audit.records import AuditProblem, VerifyReport
    from placet.audit.verification.verify_trail import PinnedCheckpoint

MARKER_NAME: Final = "trail-not-begun"
"""An empty file that exists from before the key is created until the first record is durable. With it, a crash in
between is not taken for a loss."""
PINNED_PREFIX: Final = "newest-checkpoint."
LOST_PREFIX: Final = "lost-checkpoint."
"""Prefix of the copy of a pinned checkpoint when a person accepts the loss of the records that it covers: evidence."""
_ENDING: Final = ".json"


@dataclass(frozen=True, slots=True)
class PinnedCheckpoints:
    """The pinned checkpoints in the folder of the keys."""

    folder: Path

    @property
    def begun(self) -> bool:
        """Whether a trail was begun with the key: there is a key, and no marker."""
        return (self.folder / PRIVATE_NAME).exists() and not (self.folder / MARKER_NAME).exists()

    def prepare(self) -> None:
        """Before the key is created, set the marker that no trail was begun with it.

        Raises ConfigurationError when a trail was begun and the key is gone.
        """
        private = self.folder / PRIVATE_NAME
        if private.exists():
            return
        if pinned := self.read():
            path = self.path(pinned[0][0].writer)
            raise ConfigurationError(
                f"{private}: is gone, and {path} was signed with the key {pinned[0][0].key_id}; restore that key, "
                f"or move {self.folder} and the database aside to begin a new trail"
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self.folder / MARKER_NAME, b"")
        except OSError as error:
            remedy = remedy_for(error, f"let Placet's user own {self.folder}")
            raise ConfigurationError(f"{private}: cannot be made ({error.strerror}); {remedy}") from error

    def end_preparing(self) -> None:
        """Remove the marker, once the first record is durable. From now on its loss is detected. Raises OSError."""
        if (self.folder / MARKER_NAME).exists():
            (self.folder / MARKER_NAME).unlink()
            sync_folder(self.folder)

    def path(self, writer: str) -> Path:
        """Return the file of a chain's pinned checkpoint."""
        return self.folder / f"{PINNED_PREFIX}{writer}{_ENDING}"

    def read(self) -> list[PinnedCheckpoint]:
        """Return the pinned checkpoints of all chains. Raises ConfigurationError when one cannot be read."""
        return [pinned for path in sorted(self.folder.glob(f"{PINNED_PREFIX}*{_ENDING}")) for pinned in _read(path)]

    def write(self, body: bytes, signature: bytes) -> None:
        """Pin a checkpoint that is durable in the database, replacing the previous one. Raises OSError."""
        checkpoint = parse_checkpoint(body)
        row = (checkpoint.writer, checkpoint.sequence, body, signature)
        path = self.path(checkpoint.writer)
        try:
            _write(path, dump_pinned_checkpoints([row], str(self.folder)))
        except OSError as error:
            raise unwritable(path, error) from error

    def save_lost(self, pinned: PinnedCheckpoint) -> None:
        """Copy a checkpoint that the database does not hold, as evidence. Raises OSError."""
        checkpoint = pinned[0]
        name = f"{LOST_PREFIX}{checkpoint.writer}.{checkpoint.sequence}{_ENDING}"
        _write(self.folder / name, self.path(checkpoint.writer).read_bytes())

    def forget(self, pinned: PinnedCheckpoint) -> None:
        """Remove a checkpoint that the database need not hold any more, unless a newer one replaced it.

        Raises OSError.
        """
        path = self.path(pinned[0].writer)
        if pinned in _read(path):
            path.unlink()
            sync_folder(self.folder)


def name_pinned(report: VerifyReport, pinned: Sequence[PinnedCheckpoint]) -> VerifyReport:
    """Return the report, in which a mismatch of a pinned checkpoint is reported as a missing end of the chain."""
    places = {(checkpoint.writer, checkpoint.sequence) for checkpoint, _ in pinned}
    return replace(report, problems=tuple(_named(item, places) for item in report.problems))


def _named(reported: AuditProblem, places: Collection[tuple[str, int]]) -> AuditProblem:
    if reported.kind != ProblemKind.KEPT_CHECKPOINT_MISMATCH or (reported.writer, reported.sequence) not in places:
        return reported
    return missing_end(TrailBreak(BreakKind.OTHER, reported.writer, reported.sequence, "", 0))


def missing_end(broken: TrailBreak) -> AuditProblem:
    """Return the problem that a chain does not continue from what is pinned or noted beside the keys."""
    detail = (
        f"records up to {broken.expected_sequence} are gone or others; was placet.db-wal removed, an older copy "
        "restored, or another database put there?"
    )
    return problem(ProblemKind.NEWEST_CHECKPOINT_MISSING, broken.writer, broken.expected_sequence, detail)


def _read(path: Path) -> list[PinnedCheckpoint]:
    try:
        return load_pinned_checkpoints(path.read_bytes())
    except (OSError, ConfigurationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise ConfigurationError(
            f"{path}: cannot be read ({why}); restore it from a backup. Without one, run `placet audit verify "
            "--checkpoint FILE` with a checkpoint kept elsewhere, then remove it: the next start writes it anew"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Write the file atomically and durably."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path.parent)
