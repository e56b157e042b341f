"""The problems that a verification of the audit trail reports."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from placet.audit.records import AuditProblem

if TYPE_CHECKING:
    from placet.audit.chain import Checkpoint
    from placet.audit.records import StateDifference


SignatureCheck = Callable[[str, bytes, bytes], bool | None]
"""Checks (key id, signature, signed bytes). Returns None when there is no such key."""


class ProblemKind(StrEnum):
    """Kinds of problems. Ids never change meaning and are never reused."""

    HASH_MISMATCH = "hash_mismatch"
    LINK_BROKEN = "link_broken"
    SEQUENCE_GAP = "sequence_gap"
    SEQUENCE_REPEATED = "sequence_repeated"
    RECORD_UNREADABLE = "record_unreadable"
    COLUMN_MISMATCH = "column_mismatch"
    PART_MISSING = "part_missing"
    PART_MISMATCH = "part_mismatch"
    PART_UNEXPECTED = "part_unexpected"
    KEY_MISSING = "key_missing"
    KEY_MISMATCH = "key_mismatch"
    KEY_UNEXPECTED = "key_unexpected"
    HEAD_MISMATCH = "head_mismatch"
    CHECKPOINT_UNREADABLE = "checkpoint_unreadable"
    CHECKPOINT_SIGNATURE = "checkpoint_signature"
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"
    CHECKPOINT_GAP = "checkpoint_gap"
    KEPT_CHECKPOINT_SIGNATURE = "kept_checkpoint_signature"
    KEPT_CHECKPOINT_MISMATCH = "kept_checkpoint_mismatch"
    NEWEST_CHECKPOINT_MISSING = "newest_checkpoint_missing"
    DATABASE_DAMAGED = "database_damaged"
    NO_RECORDS = "no_records"
    STATE_MISSING = "state_missing"
    STATE_MISMATCH = "state_mismatch"
    STATE_UNEXPECTED = "state_unexpected"
    STATE_UNRECORDED = "state_unrecorded"


PROBLEMS: Final = {
    ProblemKind.HASH_MISMATCH: "A record's hash does not match its body",
    ProblemKind.LINK_BROKEN: "A record's previous_hash is not the hash of the record before it",
    ProblemKind.SEQUENCE_GAP: "Records are missing",
    ProblemKind.SEQUENCE_REPEATED: "Two records have the same sequence",
    ProblemKind.RECORD_UNREADABLE: "A record's body cannot be read",
    ProblemKind.COLUMN_MISMATCH: "An indexed column differs from the record",
    ProblemKind.PART_MISSING: "A part of a record is missing",
    ProblemKind.PART_MISMATCH: "A part does not match its digest in the record",
    ProblemKind.PART_UNEXPECTED: "There is a part that belongs to no record",
    ProblemKind.KEY_MISSING: "The idempotency key of a decision is missing",
    ProblemKind.KEY_MISMATCH: "An idempotency key leads to a different decision than the one made under it",
    ProblemKind.KEY_UNEXPECTED: "There is an idempotency key that belongs to no decision",
    ProblemKind.HEAD_MISMATCH: "The chain does not end at the head that its writer stored",
    ProblemKind.CHECKPOINT_UNREADABLE: "A checkpoint's body cannot be read",
    ProblemKind.CHECKPOINT_SIGNATURE: "A checkpoint's signature is not valid for the key",
    ProblemKind.CHECKPOINT_MISMATCH: "The records differ from those that a checkpoint was signed over",
    ProblemKind.CHECKPOINT_GAP: "A checkpoint is missing",
    ProblemKind.KEPT_CHECKPOINT_SIGNATURE: "An exported checkpoint's signature is not valid for the key",
    ProblemKind.KEPT_CHECKPOINT_MISMATCH: "The chain differs from the one that an exported checkpoint was signed over",
    ProblemKind.NEWEST_CHECKPOINT_MISSING: "The chain lacks the newest checkpoint or record pinned beside the keys",
    ProblemKind.DATABASE_DAMAGED: "The database is damaged",
    ProblemKind.NO_RECORDS: "The database holds no record",
    ProblemKind.STATE_MISSING: "State that the records describe is missing",
    ProblemKind.STATE_MISMATCH: "State differs from what the records describe",
    ProblemKind.STATE_UNEXPECTED: "There is state that no record describes",
    ProblemKind.STATE_UNRECORDED: "State was changed without a record, between two recorded changes",
}
"""The sentence that people see for each kind."""


def problem(
    kind: ProblemKind, writer: str, sequence: int, detail: str, state: StateDifference | None = None
) -> AuditProblem:
    """Return a problem whose detail begins with the sentence of its kind."""
    return AuditProblem(kind, writer, sequence, f"{PROBLEMS[kind]}: {detail}", state)


def signature_detail(checkpoint: Checkpoint, signed: bool | None) -> str:  # noqa: FBT001 - a `SignatureCheck` result
    """Return the detail of an invalid signature. `signed` is the result of a `SignatureCheck`."""
    unknown = ", which was not given" if signed is None else ""
    return f"it names the key {checkpoint.key_id!a}{unknown}"
