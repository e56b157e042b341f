"""The newest signed checkpoint of each chain, pinned beside the keys: what the database must hold at the next start.

A database that was lost, emptied, or replaced by an older or another one is told from a fresh installation by it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.audit.chain import parse_checkpoint
from placet.audit.problems import ProblemKind, problem
from placet.audit.trail_break import BreakKind, TrailBreak
from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import dump_pinned_checkpoints, load_pinned_checkpoints
from placet.signing.keys import PRIVATE_NAME, sync_folder
from placet.signing.newest_record import unwritable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from placet.audit.records import AuditProblem, VerifyReport
    from placet.audit.verify_trail import PinnedCheckpoint

MARKER_NAME: Final = "trail-not-begun"
"""An empty file, there from before the key is made until the first record is durable: a crash between is no loss."""
PINNED_PREFIX: Final = "newest-checkpoint."
LOST_PREFIX: Final = "lost-checkpoint."
"""What a pinned checkpoint is copied to when somebody goes on without the records that it covers: evidence."""
_ENDING: Final = ".json"


@dataclass(frozen=True, slots=True)
class PinnedCheckpoints:
    """Those in the folder of the keys. `read` gives them, `write` pins a newer one."""

    folder: Path

    @property
    def begun(self) -> bool:
        """Whether a trail was begun with the key: there is one, and no marker that says otherwise."""
        return (self.folder / PRIVATE_NAME).exists() and not (self.folder / MARKER_NAME).exists()

    def prepare(self) -> None:
        """Before a key is made: note that no trail was begun with it.

        ConfigurationError when one was, and the key is gone.
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
        """The first record is durable: whoever loses it from now on is told. OSError."""
        if (self.folder / MARKER_NAME).exists():
            (self.folder / MARKER_NAME).unlink()
            sync_folder(self.folder)

    def path(self, writer: str) -> Path:
        """The file of one chain."""
        return self.folder / f"{PINNED_PREFIX}{writer}{_ENDING}"

    def read(self) -> list[PinnedCheckpoint]:
        """Those of all chains that were written with these keys. ConfigurationError when one cannot be read."""
        return [each for path in sorted(self.folder.glob(f"{PINNED_PREFIX}*{_ENDING}")) for each in _read(path)]

    def write(self, body: bytes, signature: bytes) -> None:
        """Pin a checkpoint that is durable in the database, in place of the one before. OSError."""
        checkpoint = parse_checkpoint(body)
        row = (checkpoint.writer, checkpoint.sequence, body, signature)
        path = self.path(checkpoint.writer)
        try:
            _write(path, dump_pinned_checkpoints([row], str(self.folder)))
        except OSError as error:
            raise unwritable(path, error) from error

    def keep_lost(self, pinned: PinnedCheckpoint) -> None:
        """Copy one that the database does not hold: evidence, under another name. OSError."""
        checkpoint = pinned[0]
        name = f"{LOST_PREFIX}{checkpoint.writer}.{checkpoint.sequence}{_ENDING}"
        _write(self.folder / name, self.path(checkpoint.writer).read_bytes())

    def forget(self, pinned: PinnedCheckpoint) -> None:
        """Remove one that the database no longer has to hold, unless a newer one was pinned in its place. OSError."""
        path = self.path(pinned[0].writer)
        if pinned in _read(path):
            path.unlink()
            sync_folder(self.folder)


def name_pinned(report: VerifyReport, pinned: Sequence[PinnedCheckpoint]) -> VerifyReport:
    """The report, in which a pinned checkpoint that the chain does not hold is told as such."""
    places = {(checkpoint.writer, checkpoint.sequence) for checkpoint, _ in pinned}
    return replace(report, problems=tuple(_named(each, places) for each in report.problems))


def _named(found: AuditProblem, places: Collection[tuple[str, int]]) -> AuditProblem:
    if found.kind != ProblemKind.KEPT_CHECKPOINT_MISMATCH or (found.writer, found.sequence) not in places:
        return found
    return missing_end(TrailBreak(BreakKind.OTHER, found.writer, found.sequence, "", 0))


def missing_end(broken: TrailBreak) -> AuditProblem:
    """That a chain does not go on from what is kept beside the keys, as a problem."""
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
    """The whole file or the one before, durable."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path.parent)
