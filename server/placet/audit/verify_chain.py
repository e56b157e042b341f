"""Check a chain: every record against its hash, its columns and its parts; every checkpoint against the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.chain import (
    BODY_VERSION,
    Head,
    merkle_root,
    parse_checkpoint,
    part_digest,
    record_hash,
    record_leaf,
    signed_bytes,
)
from placet.audit.decision_codec import RecordDamagedError, index_of
from placet.audit.records import AuditProblem, Index, RecordKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.audit.chain import Checkpoint
    from placet.audit.records import StateDifference


SignatureCheck = Callable[[str, bytes, bytes], bool | None]
"""Takes a key's id, a signature, and what it is over; None when there is no such key."""


class ProblemKind(StrEnum):
    """What can be wrong with a trail. Ids never change meaning and are never reused."""

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
    ProblemKind.HASH_MISMATCH: "A record's bytes are not those that its hash covers",
    ProblemKind.LINK_BROKEN: "A record is not bound to the record before it",
    ProblemKind.SEQUENCE_GAP: "Records are missing",
    ProblemKind.SEQUENCE_REPEATED: "A place in the chain is taken twice",
    ProblemKind.RECORD_UNREADABLE: "A record's body is not one that Placet writes",
    ProblemKind.COLUMN_MISMATCH: "A column that records are found by differs from the record",
    ProblemKind.PART_MISSING: "A part that the record covers is not there",
    ProblemKind.PART_MISMATCH: "A part is not the one that the record covers",
    ProblemKind.PART_UNEXPECTED: "There is a part that no record covers",
    ProblemKind.KEY_MISSING: "The idempotency key of a decision is not there",
    ProblemKind.KEY_MISMATCH: "An idempotency key leads to another decision than the one made under it",
    ProblemKind.KEY_UNEXPECTED: "There is an idempotency key that belongs to no decision",
    ProblemKind.HEAD_MISMATCH: "The chain does not end where its writer left it",
    ProblemKind.CHECKPOINT_UNREADABLE: "A checkpoint's body is not one that Placet writes",
    ProblemKind.CHECKPOINT_SIGNATURE: "A checkpoint was not signed with the key",
    ProblemKind.CHECKPOINT_MISMATCH: "The records are not those that a checkpoint was signed over",
    ProblemKind.CHECKPOINT_GAP: "A checkpoint is missing",
    ProblemKind.KEPT_CHECKPOINT_SIGNATURE: "The checkpoint kept elsewhere was not signed with the key",
    ProblemKind.KEPT_CHECKPOINT_MISMATCH: "The chain is not the one that the checkpoint kept elsewhere was signed over",
    ProblemKind.NEWEST_CHECKPOINT_MISSING: "The chain does not hold the newest checkpoint or record noted by the keys",
    ProblemKind.DATABASE_DAMAGED: "The database itself is damaged",
    ProblemKind.NO_RECORDS: "There is a database and not one record in it",
    ProblemKind.STATE_MISSING: "State that the records tell of is not there",
    ProblemKind.STATE_MISMATCH: "State is not what the records made of it",
    ProblemKind.STATE_UNEXPECTED: "There is state that no record tells of",
    ProblemKind.STATE_UNRECORDED: "State was changed by no record, between two that changed it",
}
"""One sentence for people to each kind."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored. After tampering any value may be of any type.

    `columns` are those copied from the body: writer, sequence, kind, tenant, recorded_at_us; `index_columns` are
    decision_id
    and the members of `Index`, None where empty; `parts` are name -> (salt, content).
    """

    columns: Mapping[str, Any]
    index_columns: Mapping[str, Any]
    body: Any
    previous_hash: Any
    hash: Any
    parts: Mapping[Any, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it is stored. After tampering any value may be of any type."""

    writer: Any
    sequence: Any
    body: Any
    signature: Any


@dataclass(frozen=True, slots=True)
class StoredHead:
    """Where a writer left its chain. After tampering any value may be of any type."""

    sequence: Any
    hash: Any
    checkpoint_sequence: Any


class ChainCheck:
    """Checks one writer's chain while its records pass by in order of sequence.

    Problems go to `report`; `kept` are checkpoints of this writer that were kept elsewhere. With `after`, only what
    stands behind a signed checkpoint passes by: its sequence, and the hash of the record there.
    """

    def __init__(
        self,
        writer: str,
        checkpoints: Iterable[StoredCheckpoint],
        verify_signature: SignatureCheck,
        report: Callable[[AuditProblem], None],
        kept: Iterable[Checkpoint] = (),
        after: Head | None = None,
    ) -> None:
        begin = after if after is not None else Head()
        self.records = 0
        self.checkpoints = 0
        self._writer = writer
        self._stored = iter(checkpoints)
        self._signed = verify_signature
        self._report = report
        self._kept = {checkpoint.sequence: checkpoint.head for checkpoint in kept}
        self._sequence = begin.sequence
        self._hash: Any = begin.hash
        self._leaves: list[bytes] = []
        self._checkpoint_sequence = begin.sequence
        self._next = self._next_checkpoint()

    def record(self, record: StoredRecord) -> dict[str, Any] | None:
        """Check the next record. Gives its parsed body when it can be read."""
        self.records += 1
        self._check_sequence(record.columns["sequence"])
        if record.previous_hash != self._hash:
            self._problem(ProblemKind.LINK_BROKEN, self._sequence, "its previous_hash is not the hash before")
        leaf = record_leaf(record.body) if type(record.body) is bytes else b""
        if type(record.previous_hash) is not bytes or record.hash != record_hash(record.previous_hash, leaf):
            self._problem(ProblemKind.HASH_MISMATCH, self._sequence, "its hash is not that of its body")
        self._hash = record.hash
        said = parse_body(record.body)
        if said is None:
            self._problem(ProblemKind.RECORD_UNREADABLE, self._sequence, "its body is not that of a record")
        else:
            self._check_columns(record, said)
            self._check_parts(record, said["parts"])
        self._leaves.append(leaf)
        if self._kept.get(self._sequence) == _hex(self._hash):
            del self._kept[self._sequence]
        self._pass_checkpoints()
        return said

    def finish(self, head: StoredHead | None) -> None:
        """Check the end of the chain."""
        for sequence in self._kept:
            self._problem(ProblemKind.KEPT_CHECKPOINT_MISMATCH, sequence, "the record there is another or missing")
        while self._next is not None:
            self._problem(ProblemKind.CHECKPOINT_MISMATCH, self._next.sequence, "its record is not in the chain")
            self._take_checkpoint(self._next)
        if head is None or head.sequence != self._sequence or head.hash != self._hash:
            detail = f"the last record is {self._sequence}, its writer left the chain at {head and head.sequence!a}"
            self._problem(ProblemKind.HEAD_MISMATCH, 0, detail)
        if head is not None and head.checkpoint_sequence != self._checkpoint_sequence:
            detail = f"the last is {self._checkpoint_sequence}, its writer signed {head.checkpoint_sequence!a}"
            self._problem(ProblemKind.CHECKPOINT_GAP, 0, detail)

    def _check_sequence(self, sequence: object) -> None:
        expected = self._sequence + 1
        if type(sequence) is not int:
            self._problem(ProblemKind.COLUMN_MISMATCH, expected, "sequence is no integer")
        elif sequence < expected:
            self._problem(ProblemKind.SEQUENCE_REPEATED, sequence, "there is another record at this place")
            return
        elif sequence > expected:
            self._problem(ProblemKind.SEQUENCE_GAP, expected, f"records {expected} to {sequence - 1} are missing")
            self._sequence = sequence
            return
        self._sequence = expected

    def _check_columns(self, record: StoredRecord, said: dict[str, Any]) -> None:
        contents = {name: content for name, (_, content) in record.parts.items()}
        try:
            index = index_of(said, contents)
        except RecordDamagedError:  # a part is missing or changed, which is told as such
            index = None
        for name, value in record.columns.items():
            if type(value) is not type(said[name]) or value != said[name]:
                self._problem(ProblemKind.COLUMN_MISMATCH, self._sequence, f"{name} is not that of its body")
        if index is None:
            self._problem(ProblemKind.RECORD_UNREADABLE, self._sequence, "what it is found by is not in its parts")
            return
        for name, value in index_columns(said, index).items():
            if record.index_columns[name] != value:
                self._problem(ProblemKind.COLUMN_MISMATCH, self._sequence, f"{name} is not that of the record")

    def _check_parts(self, record: StoredRecord, digests: dict[str, Any]) -> None:
        for name, digest in digests.items():
            salt, content = record.parts.get(name, (None, None))
            if salt is None and content is None:
                self._problem(ProblemKind.PART_MISSING, self._sequence, f"part {name!a}")
            elif type(salt) is not bytes or type(content) is not bytes or part_digest(salt, content) != digest:
                self._problem(ProblemKind.PART_MISMATCH, self._sequence, f"part {name!a}")
        for name in record.parts.keys() - digests.keys():
            self._problem(ProblemKind.PART_UNEXPECTED, self._sequence, f"part {name!a}")

    def _pass_checkpoints(self) -> None:
        while self._next is not None and self._next.sequence <= self._sequence:
            checkpoint = self._next
            if (checkpoint.sequence, checkpoint.head) != (self._sequence, _hex(self._hash)):
                self._problem(ProblemKind.CHECKPOINT_MISMATCH, checkpoint.sequence, "the record there is another")
            elif checkpoint.merkle_root != merkle_root(self._leaves).hex():
                self._problem(ProblemKind.CHECKPOINT_MISMATCH, checkpoint.sequence, "the records before it are others")
            self._take_checkpoint(checkpoint)

    def _take_checkpoint(self, checkpoint: Checkpoint) -> None:
        if checkpoint.previous_sequence != self._checkpoint_sequence:
            detail = f"the one before is {self._checkpoint_sequence}, not {checkpoint.previous_sequence}"
            self._problem(ProblemKind.CHECKPOINT_GAP, checkpoint.sequence, detail)
        self._checkpoint_sequence = checkpoint.sequence
        self._leaves.clear()
        self._next = self._next_checkpoint()

    def _next_checkpoint(self) -> Checkpoint | None:
        """The next checkpoint that can be read."""
        for stored in self._stored:
            self.checkpoints += 1
            checkpoint = self._read_checkpoint(stored)
            if checkpoint is not None:
                return checkpoint
        return None

    def _read_checkpoint(self, stored: StoredCheckpoint) -> Checkpoint | None:
        place = stored.sequence if type(stored.sequence) is int else 0
        try:
            checkpoint = parse_checkpoint(stored.body)
        except ValueError as error:
            self._problem(ProblemKind.CHECKPOINT_UNREADABLE, place, str(error))
            return None
        if (stored.writer, stored.sequence) != (checkpoint.writer, checkpoint.sequence):
            self._problem(ProblemKind.CHECKPOINT_MISMATCH, place, "its columns are not those of its body")
        signature = stored.signature if type(stored.signature) is bytes else b""
        signed = self._signed(checkpoint.key_id, signature, signed_bytes(stored.body))
        if not signed:
            self._problem(ProblemKind.CHECKPOINT_SIGNATURE, place, named_key(checkpoint, signed))
        return checkpoint

    def _problem(self, kind: ProblemKind, sequence: int, detail: str) -> None:
        self._report(problem(kind, self._writer, sequence, detail))


def problem(
    kind: ProblemKind, writer: str, sequence: int, detail: str, state: StateDifference | None = None
) -> AuditProblem:
    """A problem with the sentence of its kind."""
    return AuditProblem(kind, writer, sequence, f"{PROBLEMS[kind]}: {detail}", state)


def named_key(checkpoint: Checkpoint, signed: bool | None) -> str:  # noqa: FBT001 - as a `SignatureCheck` said it
    """What is wrong with a checkpoint's signature."""
    unknown = ", which was not given" if signed is None else ""
    return f"it names the key {checkpoint.key_id!a}{unknown}"


def index_columns(said: Mapping[str, Any], index: Index) -> dict[str, str | None]:
    """The columns that a record is found by, None where there is nothing to be found by."""
    columns: dict[str, str | None] = {
        "decision_id": said["decision_id"] if said["kind"] == RecordKind.DECISION_MADE else None
    }
    for name in Index.__slots__:
        columns[name] = getattr(index, name) or None
    columns["subject"] = said.get("subject")
    return columns


_COMMON: Final = {"writer": str, "sequence": int, "kind": str, "tenant": str, "recorded_at_us": int, "parts": dict}
_DECISION: Final = {"decision_id": str, "caller": str, "idempotency_key": str, "request_digest": str}


def parse_body(body: object) -> dict[str, Any] | None:
    """The body of a record, with all members that every record has and that checking reads."""
    if type(body) is not bytes:
        return None
    try:
        said = orjson.loads(body)
    except ValueError:
        return None
    if type(said) is not dict or said.get("v") != BODY_VERSION:
        return None
    wanted = _COMMON | _DECISION if said.get("kind") == RecordKind.DECISION_MADE else _COMMON
    return said if all(type(said.get(name)) is kind for name, kind in wanted.items()) else None


def _hex(value: object) -> str:
    return value.hex() if type(value) is bytes else ""
