"""Verifies the newest part of a chain before its writer continues it: as much as a start can wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.audit.chain import Head, parse_checkpoint, signed_bytes
from placet.audit.records import VerifyReport
from placet.audit.verification.problems import ProblemKind, problem, signature_detail
from placet.audit.verification.verify_chain import ChainCheck

if TYPE_CHECKING:
    from placet.audit.records import AuditProblem
    from placet.audit.verification.verify_chain import StoredCheckpoint
    from placet.signing.keys import Verifier
    from placet.storage.sql.readers.decision_reader import StoredTrail

NEWEST_RECORDS: Final = 1_000
"""Records that are verified at least, if there are as many. At most twice that and one commit; 0.1 s at most."""


def check_newest(trail: StoredTrail, writer: str, keys: Verifier) -> VerifyReport:
    """Verify the newest records of a chain, from a signed checkpoint on: hashes, links, parts, checkpoints, head.

    The caller holds one snapshot.
    """
    problems: list[AuditProblem] = []
    head = trail.head(writer)
    anchor_sequence = head.sequence - NEWEST_RECORDS if head is not None else 0
    anchor = trail.checkpoint_before(writer, anchor_sequence) if anchor_sequence > 0 else None
    after = _anchor_head(writer, anchor, keys, problems) if anchor is not None else Head()
    if after is None:
        return VerifyReport(0, 1, 0, tuple(problems))
    stored = trail.checkpoints(writer, after.sequence)
    check = ChainCheck(writer, stored, keys.check, problems.append, after=after)
    for record in trail.records(writer, after.sequence):
        check.record(record)
    check.finish(head)
    return VerifyReport(check.records, 1, check.checkpoints, tuple(problems))


def _anchor_head(writer: str, anchor: StoredCheckpoint, keys: Verifier, problems: list[AuditProblem]) -> Head | None:
    """Return the head that a checkpoint states, or None when it is unreadable. Adds its problems to `problems`."""
    try:
        checkpoint = parse_checkpoint(anchor.body)
        hashed = bytes.fromhex(checkpoint.head)
    except ValueError as error:
        kind = ProblemKind.CHECKPOINT_UNREADABLE
        problems.append(problem(kind, writer, anchor.sequence, str(error)))
        return None
    signature = anchor.signature if type(anchor.signature) is bytes else b""
    if not (signed := keys.check(checkpoint.key_id, signature, signed_bytes(anchor.body))):
        kind = ProblemKind.CHECKPOINT_SIGNATURE
        problems.append(problem(kind, checkpoint.writer, checkpoint.sequence, signature_detail(checkpoint, signed)))
    if (anchor.writer, anchor.sequence) != (checkpoint.writer, checkpoint.sequence):
        kind = ProblemKind.CHECKPOINT_MISMATCH
        detail = "its columns are not those of its body"
        problems.append(problem(kind, checkpoint.writer, checkpoint.sequence, detail))
    return Head(checkpoint.sequence, hashed)
