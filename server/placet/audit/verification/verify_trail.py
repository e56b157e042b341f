"""Verifies an audit trail, whatever it is stored in: every chain, part and idempotency key, and optionally state."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from placet.audit.chain import checkpoint_body, signed_bytes
from placet.audit.records import AuditProblem, RecordKind, VerifyReport
from placet.audit.verification.problems import ProblemKind, problem, signature_detail
from placet.audit.verification.state_replay import StateReplay
from placet.audit.verification.verify_chain import ChainCheck, parse_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from placet.audit.chain import Checkpoint
    from placet.audit.verification.problems import SignatureCheck
    from placet.audit.verification.verify_chain import StoredCheckpoint, StoredHead, StoredRecord
    from placet.kernel.state import StateTable

PROBLEMS_MAX: Final = 1_000
"""Problems that one report holds. The first ones show the cause."""
_REPEATED: Final = {
    ProblemKind.KEY_MISSING: "a repeated request would be decided again",
    ProblemKind.KEY_MISMATCH: "a repeated request would get another decision",
}
"""What a repeated request would get, for each problem of an idempotency key."""
PinnedCheckpoint = tuple["Checkpoint", bytes]
"""An exported checkpoint with its signature."""


class Trail(Protocol):
    """A snapshot of a stored trail. After tampering any value may be of any type."""

    def writers(self) -> Iterable[Any]:
        """Return every writer that has a record, checkpoint or head."""
        ...

    def head(self, writer: Any) -> StoredHead | None:  # noqa: ANN401 - see above
        """Return the head of the chain as its writer stored it."""
        ...

    def records(self, writer: Any) -> Iterator[StoredRecord]:  # noqa: ANN401 - see above
        """Yield the writer's records by sequence."""
        ...

    def checkpoints(self, writer: Any) -> Iterator[StoredCheckpoint]:  # noqa: ANN401 - see above
        """Yield the writer's checkpoints by sequence."""
        ...

    def key(self, tenant: str, caller: str, idempotency_key: str) -> tuple[Any, ...] | None:
        """Return what is stored under an idempotency key, or None.

        The tuple is request_digest, decision_id, writer, sequence, replaced_id, decided_at_us.
        """
        ...

    def decision(self, tenant: str, decision_id: str) -> Any:  # noqa: ANN401 - see above
        """Return the body of the record of a decision, or None."""
        ...

    def parts_count(self) -> int:
        """Return how many parts are stored."""
        ...

    def keys_count(self) -> int:
        """Return how many idempotency keys are stored."""
        ...

    def rows(self, table: StateTable) -> Iterable[tuple[Any, ...]]:
        """Return all rows of a table: tenant, id, version, status, created_at_us, due_at_us, body."""
        ...

    def counters(self) -> Iterable[tuple[Any, ...]]:
        """Return all counters: the five columns of the key, used, reserved, created_at_us, resets_at_us."""
        ...


class _Check:
    """One verification of a trail."""

    def __init__(self, trail: Trail, verify_signature: SignatureCheck, pace: Callable[[], None] | None) -> None:
        self.problems: list[AuditProblem] = []
        self.records = self.chains = self.checkpoints = 0
        self._trail = trail
        self._verify_signature = verify_signature
        self._parts = self._keys = self._purged_before_us = 0
        self._pace = pace or (lambda: None)
        self._keyless: list[tuple[int, str, int, ProblemKind]] = []

    def chain(self, writer: Any, pinned: Sequence[Checkpoint], replay: StateReplay | None) -> None:  # noqa: ANN401 - as stored
        """Check the chain of one writer."""
        name = writer if type(writer) is str else repr(writer)
        check = ChainCheck(name, self._trail.checkpoints(writer), self._verify_signature, self.report, pinned)
        for record in self._trail.records(writer):
            self._pace()
            self._parts += len(record.parts)
            body = check.record(record)
            if body is None:
                continue
            if replay is not None:
                replay.record(name, body, record.parts)
            if body["kind"] == RecordKind.DECISION_MADE:
                self._key(name, body)
            elif body["kind"] == RecordKind.KEYS_SWEPT and type(body.get("before_us")) is int:
                self._purged_before_us = max(self._purged_before_us, body["before_us"])
        check.finish(self._trail.head(writer))
        self.chains += 1
        self.records += check.records
        self.checkpoints += check.checkpoints

    def unowned(self) -> None:
        """Report parts and idempotency keys that belong to no record."""
        if self._trail.parts_count() != self._parts:
            detail = f"{self._trail.parts_count()} are stored, {self._parts} belong to records"
            self.report(problem(ProblemKind.PART_UNEXPECTED, "", 0, detail))
        if self._trail.keys_count() != self._keys:
            detail = f"{self._trail.keys_count()} are stored, {self._keys} belong to decisions"
            self.report(problem(ProblemKind.KEY_UNEXPECTED, "", 0, detail))

    def report(self, reported: AuditProblem) -> None:
        """Add a problem, up to PROBLEMS_MAX."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(reported)

    def keys(self) -> None:
        """Report decisions whose idempotency key is missing or belongs to another decision, unless it was purged."""
        for recorded_at_us, writer, sequence, kind in sorted(self._keyless):
            if recorded_at_us >= self._purged_before_us:
                self.report(problem(kind, writer, sequence, _REPEATED[kind]))

    def _key(self, writer: str, body: Mapping[str, Any]) -> None:
        if not body["idempotency_key"]:
            return  # returned in place of another decision, to which the key still refers
        stored = self._trail.key(body["tenant"], body["caller"], body["idempotency_key"])
        if stored is None:
            self._without_key(writer, body, ProblemKind.KEY_MISSING)
        elif stored[1] == body["decision_id"]:
            self._keys += 1
            expected = [body[name] for name in ("request_digest", "decision_id", "writer", "sequence")]
            if list(stored) != [*expected, body.get("replaces", ""), self._since_us(body)]:
                kind = ProblemKind.KEY_MISMATCH
                self.report(problem(kind, writer, body["sequence"], _REPEATED[kind]))
        elif stored[0] != body["request_digest"] or not self._replaced(body, stored[1]):
            self._without_key(writer, body, ProblemKind.KEY_MISMATCH)

    def _since_us(self, body: Mapping[str, Any]) -> int:
        """Return the latest time of this decision and those that it replaced in turn: clocks may differ."""
        since_us, seen = int(body["recorded_at_us"]), set()
        while (replaced := body.get("replaces")) and replaced not in seen:
            seen.add(replaced)
            body = parse_body(self._trail.decision(body["tenant"], replaced)) or {}
            since_us = max(since_us, body.get("recorded_at_us", 0))
        return since_us

    def _replaced(self, body: Mapping[str, Any], decision_id: Any) -> bool:  # noqa: ANN401 - as stored
        """Return whether the decision replaced this one, directly or in several steps, after approvals were given."""
        seen = set()
        while type(decision_id) is str and decision_id not in seen:
            seen.add(decision_id)
            later = parse_body(self._trail.decision(body["tenant"], decision_id)) or {}
            decision_id = later.get("replaces")
            if decision_id == body["decision_id"]:
                return True
        return False

    def _without_key(self, writer: str, body: Mapping[str, Any], kind: ProblemKind) -> None:
        """Note a decision without its key for `keys`, because the record of the purge may follow later in a chain.

        Only the PROBLEMS_MAX newest decisions are noted.
        """
        newest = heapq.heappush if len(self._keyless) < PROBLEMS_MAX else heapq.heappushpop
        newest(self._keyless, (body["recorded_at_us"], writer, body["sequence"], kind))


def verify_trail(
    trail: Trail,
    verify_signature: SignatureCheck,
    pinned: Sequence[PinnedCheckpoint] = (),
    *,
    state: bool = False,
    pace: Callable[[], None] | None = None,
) -> VerifyReport:
    """Verify the whole trail; with `state`, also compare state with the records. Memory does not grow with the trail.

    `pinned` are checkpoints that were exported to a place where the writer of the database cannot write. Only they
    reveal a chain that was rewritten as a whole by an attacker with the signing key, or without its checkpoints.
    `pace` is called for each record.
    """
    check = _Check(trail, verify_signature, pace)
    replay = StateReplay(check.report) if state else None
    for checkpoint, signature in pinned:
        signed = verify_signature(checkpoint.key_id, signature, signed_bytes(checkpoint_body(checkpoint)))
        if not signed:
            detail = signature_detail(checkpoint, signed)
            check.report(problem(ProblemKind.KEPT_CHECKPOINT_SIGNATURE, checkpoint.writer, checkpoint.sequence, detail))
    writers = {*trail.writers(), *(checkpoint.writer for checkpoint, _ in pinned)}
    for writer in sorted(writers, key=repr):
        check.chain(writer, [checkpoint for checkpoint, _ in pinned if checkpoint.writer == writer], replay)
    check.keys()
    check.unowned()
    compared = replay.compare(trail.rows, trail.counters) if replay is not None else None
    return VerifyReport(check.records, check.chains, check.checkpoints, tuple(check.problems), compared)


def require_records(report: VerifyReport) -> VerifyReport:
    """Return the report, with a problem added when there are no records.

    Without records an emptied trail looks like a new one, so the verification would prove nothing.
    """
    if not report.ok or report.records:
        return report
    empty = problem(ProblemKind.NO_RECORDS, "", 0, "a server records its start before anything else")
    return replace(report, problems=(empty,))
