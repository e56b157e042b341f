"""Verifies one writer's chain: records against hashes, columns and parts, and checkpoints against the records."""

from __future__ import annotations

from dataclasses import dataclass
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
from placet.audit.records import Index, RecordKind
from placet.audit.verification.problems import ProblemKind, problem, signature_detail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from placet.audit.chain import Checkpoint
    from placet.audit.records import AuditProblem
    from placet.audit.verification.problems import SignatureCheck


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored. After tampering any value may be of any type."""

    columns: Mapping[str, Any]
    """Columns copied from the body: writer, sequence, kind, tenant, recorded_at_us."""
    index_columns: Mapping[str, Any]
    """decision_id and the members of `Index`; None where empty."""
    body: Any
    previous_hash: Any
    hash: Any
    parts: Mapping[Any, tuple[Any, Any]]
    """Part name -> (salt, content)."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it is stored. After tampering any value may be of any type."""

    writer: Any
    sequence: Any
    body: Any
    signature: Any


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The head of a chain as its writer stored it. After tampering any value may be of any type."""

    sequence: Any
    hash: Any
    checkpoint_sequence: Any


class ChainCheck:
    """Verifies one writer's chain. Call `record` for each record in order of sequence, then `finish`.

    Problems go to `report`. `pinned` are exported checkpoints of this writer. `after` starts behind a signed
    checkpoint: it is the checkpoint's sequence and the hash of the record there.
    """

    def __init__(
        self,
        writer: str,
        checkpoints: Iterable[StoredCheckpoint],
        verify_signature: SignatureCheck,
        report: Callable[[AuditProblem], None],
        pinned: Iterable[Checkpoint] = (),
        after: Head | None = None,
    ) -> None:
        begin = after if after is not None else Head()
        self.records = 0
        self.checkpoints = 0
        self._writer = writer
        self._checkpoints_left = iter(checkpoints)
        self._verify_signature = verify_signature
        self._report = report
        self._pinned = {checkpoint.sequence: checkpoint.head for checkpoint in pinned}
        self._sequence = begin.sequence
        self._hash: Any = begin.hash
        self._leaves: list[bytes] = []
        self._checkpoint_sequence = begin.sequence
        self._next = self._next_checkpoint()

    def record(self, record: StoredRecord) -> dict[str, Any] | None:
        """Check the next record. Return its parsed body, or None when it cannot be read."""
        self.records += 1
        self._check_sequence(record.columns["sequence"])
        if record.previous_hash != self._hash:
            self._problem(ProblemKind.LINK_BROKEN, self._sequence, "its previous_hash is not that record's hash")
        leaf = record_leaf(record.body) if type(record.body) is bytes else b""
        if type(record.previous_hash) is not bytes or record.hash != record_hash(record.previous_hash, leaf):
            self._problem(ProblemKind.HASH_MISMATCH, self._sequence, "its hash is not that of its body")
        self._hash = record.hash
        body = parse_body(record.body)
        if body is None:
            self._problem(ProblemKind.RECORD_UNREADABLE, self._sequence, "its body is not that of a record")
        else:
            self._check_columns(record, body)
            self._check_parts(record, body["parts"])
        self._leaves.append(leaf)
        if self._pinned.get(self._sequence) == _hex(self._hash):
            del self._pinned[self._sequence]
        self._check_checkpoints()
        return body

    def finish(self, head: StoredHead | None) -> None:
        """Check the end of the chain."""
        for sequence in self._pinned:
            self._problem(ProblemKind.KEPT_CHECKPOINT_MISMATCH, sequence, "the record there differs or is missing")
        while self._next is not None:
            self._problem(ProblemKind.CHECKPOINT_MISMATCH, self._next.sequence, "its record is not in the chain")
            self._finish_checkpoint(self._next)
        if head is None or head.sequence != self._sequence or head.hash != self._hash:
            detail = f"the last record is {self._sequence}, its writer left the chain at {head and head.sequence!a}"
            self._problem(ProblemKind.HEAD_MISMATCH, 0, detail)
        if head is not None and head.checkpoint_sequence != self._checkpoint_sequence:
            detail = f"the last is {self._checkpoint_sequence}, its writer signed {head.checkpoint_sequence!a}"
            self._problem(ProblemKind.CHECKPOINT_GAP, 0, detail)

    def _check_sequence(self, sequence: object) -> None:
        expected = self._sequence + 1
        if type(sequence) is not int:
            self._problem(ProblemKind.COLUMN_MISMATCH, expected, "sequence is not an integer")
        elif sequence < expected:
            self._problem(ProblemKind.SEQUENCE_REPEATED, sequence, "another record has this sequence")
            return
        elif sequence > expected:
            self._problem(ProblemKind.SEQUENCE_GAP, expected, f"records {expected} to {sequence - 1} are missing")
            self._sequence = sequence
            return
        self._sequence = expected

    def _check_columns(self, record: StoredRecord, body: dict[str, Any]) -> None:
        contents = {name: content for name, (_, content) in record.parts.items()}
        try:
            index = index_of(body, contents)
        except RecordDamagedError:  # a part is missing or changed; `_check_parts` reports it
            index = None
        for name, value in record.columns.items():
            if type(value) is not type(body[name]) or value != body[name]:
                self._problem(ProblemKind.COLUMN_MISMATCH, self._sequence, f"{name} is not that of its body")
        if index is None:
            self._problem(ProblemKind.RECORD_UNREADABLE, self._sequence, "its indexed fields are not in its parts")
            return
        for name, value in index_columns(body, index).items():
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

    def _check_checkpoints(self) -> None:
        while self._next is not None and self._next.sequence <= self._sequence:
            checkpoint = self._next
            if (checkpoint.sequence, checkpoint.head) != (self._sequence, _hex(self._hash)):
                self._problem(ProblemKind.CHECKPOINT_MISMATCH, checkpoint.sequence, "the record there differs")
            elif checkpoint.merkle_root != merkle_root(self._leaves).hex():
                self._problem(ProblemKind.CHECKPOINT_MISMATCH, checkpoint.sequence, "the records before it differ")
            self._finish_checkpoint(checkpoint)

    def _finish_checkpoint(self, checkpoint: Checkpoint) -> None:
        if checkpoint.previous_sequence != self._checkpoint_sequence:
            detail = f"the one before is {self._checkpoint_sequence}, not {checkpoint.previous_sequence}"
            self._problem(ProblemKind.CHECKPOINT_GAP, checkpoint.sequence, detail)
        self._checkpoint_sequence = checkpoint.sequence
        self._leaves.clear()
        self._next = self._next_checkpoint()

    def _next_checkpoint(self) -> Checkpoint | None:
        """Return the next readable checkpoint, or None after the last."""
        for stored in self._checkpoints_left:
            self.checkpoints += 1
            checkpoint = self._read_checkpoint(stored)
            if checkpoint is not None:
                return checkpoint
        return None

    def _read_checkpoint(self, stored: StoredCheckpoint) -> Checkpoint | None:
        sequence = stored.sequence if type(stored.sequence) is int else 0
        try:
            checkpoint = parse_checkpoint(stored.body)
        except ValueError as error:
            self._problem(ProblemKind.CHECKPOINT_UNREADABLE, sequence, str(error))
            return None
        if (stored.writer, stored.sequence) != (checkpoint.writer, checkpoint.sequence):
            self._problem(ProblemKind.CHECKPOINT_MISMATCH, sequence, "its columns are not those of its body")
        signature = stored.signature if type(stored.signature) is bytes else b""
        signed = self._verify_signature(checkpoint.key_id, signature, signed_bytes(stored.body))
        if not signed:
            self._problem(ProblemKind.CHECKPOINT_SIGNATURE, sequence, signature_detail(checkpoint, signed))
        return checkpoint

    def _problem(self, kind: ProblemKind, sequence: int, detail: str) -> None:
        self._report(problem(kind, self._writer, sequence, detail))


def index_columns(body: Mapping[str, Any], index: Index) -> dict[str, str | None]:
    """Return the index columns of a record, None where empty."""
    columns: dict[str, str | None] = {
        "decision_id": body["decision_id"] if body["kind"] == RecordKind.DECISION_MADE else None
    }
    for name in Index.__struct_fields__:
        columns[name] = getattr(index, name) or None
    columns["subject"] = body.get("subject")
    return columns


_COMMON: Final = {"writer": str, "sequence": int, "kind": str, "tenant": str, "recorded_at_us": int, "parts": dict}
_DECISION: Final = {"decision_id": str, "caller": str, "idempotency_key": str, "request_digest": str}


def parse_body(body: object) -> dict[str, Any] | None:
    """Return the parsed body when it has every member that all records have and that the checks read, else None."""
    if type(body) is not bytes:
        return None
    try:
        members = orjson.loads(body)
    except ValueError:
        return None
    if type(members) is not dict or members.get("v") != BODY_VERSION:
        return None
    types = _COMMON | _DECISION if members.get("kind") == RecordKind.DECISION_MADE else _COMMON
    return members if all(type(members.get(name)) is kind for name, kind in types.items()) else None


def _hex(value: object) -> str:
    return value.hex() if type(value) is bytes else ""
