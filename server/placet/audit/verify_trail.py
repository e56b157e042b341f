"""Check a whole trail, whatever it is stored in: every chain, every part, every idempotency key."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from placet.audit.chain import checkpoint_body, signed_bytes
from placet.audit.records import AuditProblem, RecordKind, VerifyReport
from placet.audit.state_replay import StateReplay
from placet.audit.verify_chain import ChainCheck, ProblemKind, named_key, parse_body, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from placet.audit.chain import Checkpoint
    from placet.audit.verify_chain import SignatureCheck, StoredCheckpoint, StoredHead, StoredRecord
    from placet.kernel.state import StateTable

PROBLEMS_MAX: Final = 1_000
"""Problems of one report; the first ones tell what happened."""
_REPEATED: Final = {
    ProblemKind.KEY_MISSING: "a repetition would decide again",
    ProblemKind.KEY_MISMATCH: "a repetition would be told wrong",
}
PinnedCheckpoint = tuple["Checkpoint", bytes]
"""A checkpoint that was kept elsewhere, with its signature."""


class Trail(Protocol):
    """A stored trail, as it stands at one instant. After tampering any value may be of any type."""

    def writers(self) -> Iterable[Any]:
        """Every writer that anything is stored of."""
        ...

    def head(self, writer: Any) -> StoredHead | None:  # noqa: ANN401 - see above
        """Where the writer left its chain."""
        ...

    def records(self, writer: Any) -> Iterator[StoredRecord]:  # noqa: ANN401 - see above
        """The writer's records by sequence."""
        ...

    def checkpoints(self, writer: Any) -> Iterator[StoredCheckpoint]:  # noqa: ANN401 - see above
        """The writer's checkpoints by sequence."""
        ...

    def key(self, tenant: str, caller: str, idempotency_key: str) -> tuple[Any, ...] | None:
        """What is stored under an idempotency key.

        request_digest, decision_id, writer, sequence, replaced_id, decided_at_us.
        """
        ...

    def decision(self, tenant: str, decision_id: str) -> Any:  # noqa: ANN401 - see above
        """The body of the record of a decision; None when there is none."""
        ...

    def parts_count(self) -> int:
        """How many parts are stored."""
        ...

    def keys_count(self) -> int:
        """How many idempotency keys are stored."""
        ...

    def rows(self, table: StateTable) -> Iterable[tuple[Any, ...]]:
        """All rows of a table: tenant, id, version, status, created_at_us, due_at_us, body."""
        ...

    def counters(self) -> Iterable[tuple[Any, ...]]:
        """All counters: the five of the key, used, reserved, created_at_us, resets_at_us."""
        ...


class _Check:
    """One run over a trail."""

    def __init__(self, trail: Trail, verify_signature: SignatureCheck, pace: Callable[[], None] | None) -> None:
        self.problems: list[AuditProblem] = []
        self.records = self.chains = self.checkpoints = 0
        self._trail = trail
        self._signed = verify_signature
        self._parts = self._keys = self._swept_before_us = 0
        self._pace = pace or (lambda: None)
        self._keyless: list[tuple[int, str, int, ProblemKind]] = []

    def chain(self, writer: Any, kept: Sequence[Checkpoint], replay: StateReplay | None) -> None:  # noqa: ANN401 - as stored
        name = writer if type(writer) is str else repr(writer)
        check = ChainCheck(name, self._trail.checkpoints(writer), self._signed, self.report, kept)
        for record in self._trail.records(writer):
            self._pace()
            self._parts += len(record.parts)
            said = check.record(record)
            if said is None:
                continue
            if replay is not None:
                replay.record(name, said, record.parts)
            if said["kind"] == RecordKind.DECISION_MADE:
                self._key(name, said)
            elif said["kind"] == RecordKind.KEYS_SWEPT and type(said.get("before_us")) is int:
                self._swept_before_us = max(self._swept_before_us, said["before_us"])
        check.finish(self._trail.head(writer))
        self.chains += 1
        self.records += check.records
        self.checkpoints += check.checkpoints

    def strays(self) -> None:
        """What no chain covers."""
        if self._trail.parts_count() != self._parts:
            detail = f"{self._trail.parts_count()} are stored, {self._parts} belong to records"
            self.report(problem(ProblemKind.PART_UNEXPECTED, "", 0, detail))
        if self._trail.keys_count() != self._keys:
            detail = f"{self._trail.keys_count()} are stored, {self._keys} belong to decisions"
            self.report(problem(ProblemKind.KEY_UNEXPECTED, "", 0, detail))

    def report(self, found: AuditProblem) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(found)

    def keys(self) -> None:
        """Decisions whose key is not there, or is another decision's, and was not swept either."""
        for recorded_at_us, writer, sequence, kind in sorted(self._keyless):
            if recorded_at_us >= self._swept_before_us:
                self.report(problem(kind, writer, sequence, _REPEATED[kind]))

    def _key(self, writer: str, said: Mapping[str, Any]) -> None:
        if not said["idempotency_key"]:
            return  # told in place of another decision, which the key goes on standing for
        stored = self._trail.key(said["tenant"], said["caller"], said["idempotency_key"])
        if stored is None:
            self._without_key(writer, said, ProblemKind.KEY_MISSING)
        elif stored[1] == said["decision_id"]:
            self._keys += 1
            made = [said[name] for name in ("request_digest", "decision_id", "writer", "sequence")]
            if list(stored) != [*made, said.get("replaces", ""), self._since_us(said)]:
                kind = ProblemKind.KEY_MISMATCH
                self.report(problem(kind, writer, said["sequence"], _REPEATED[kind]))
        elif stored[0] != said["request_digest"] or not self._replaced(said, stored[1]):
            self._without_key(writer, said, ProblemKind.KEY_MISMATCH)

    def _since_us(self, said: Mapping[str, Any]) -> int:
        """The latest time of the decisions that the key stood for, one after the other: clocks may differ."""
        since_us, passed = int(said["recorded_at_us"]), set()
        while (replaced := said.get("replaces")) and replaced not in passed:
            passed.add(replaced)
            said = parse_body(self._trail.decision(said["tenant"], replaced)) or {}
            since_us = max(since_us, said.get("recorded_at_us", 0))
        return since_us

    def _replaced(self, said: Mapping[str, Any], decision_id: Any) -> bool:  # noqa: ANN401 - as stored
        """Whether the decision took the place of this one, or of one that did: approvals were given meanwhile."""
        passed = set()
        while type(decision_id) is str and decision_id not in passed:
            passed.add(decision_id)
            later = parse_body(self._trail.decision(said["tenant"], decision_id)) or {}
            decision_id = later.get("replaces")
            if decision_id == said["decision_id"]:
                return True
        return False

    def _without_key(self, writer: str, said: Mapping[str, Any], kind: ProblemKind) -> None:
        """The sweep that took its key may stand further on: those made last are judged at the end."""
        newest = heapq.heappush if len(self._keyless) < PROBLEMS_MAX else heapq.heappushpop
        newest(self._keyless, (said["recorded_at_us"], writer, said["sequence"], kind))


def verify_trail(
    trail: Trail,
    verify_signature: SignatureCheck,
    kept: Sequence[PinnedCheckpoint] = (),
    *,
    state: bool = False,
    pace: Callable[[], None] | None = None,
) -> VerifyReport:
    """Check everything; with `state`, that too is compared with the records. Memory does not grow with the trail.

    A chain rewritten as a whole, by somebody who has the signing key or leaves the checkpoints out, is found against
    `kept` alone: checkpoints that were exported and kept where the writer of the database cannot write. `pace` is
    called for each record.
    """
    check = _Check(trail, verify_signature, pace)
    replay = StateReplay(check.report) if state else None
    for checkpoint, signature in kept:
        signed = verify_signature(checkpoint.key_id, signature, signed_bytes(checkpoint_body(checkpoint)))
        if not signed:
            detail = named_key(checkpoint, signed)
            check.report(problem(ProblemKind.KEPT_CHECKPOINT_SIGNATURE, checkpoint.writer, checkpoint.sequence, detail))
    writers = {*trail.writers(), *(checkpoint.writer for checkpoint, _ in kept)}
    for writer in sorted(writers, key=repr):
        check.chain(writer, [checkpoint for checkpoint, _ in kept if checkpoint.writer == writer], replay)
    check.keys()
    check.strays()
    compared = replay.compare(trail.rows, trail.counters) if replay is not None else None
    return VerifyReport(check.records, check.chains, check.checkpoints, tuple(check.problems), compared)


def require_records(report: VerifyReport) -> VerifyReport:
    """The report, with a problem where there is no record: whole or emptied, nobody can tell, and it proves nothing."""
    if not report.ok or report.records:
        return report
    empty = problem(ProblemKind.NO_RECORDS, "", 0, "a server records its start before anything else")
    return replace(report, problems=(empty,))
