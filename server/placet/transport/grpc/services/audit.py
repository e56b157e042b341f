"""The servicer of placet.v1.AuditService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.actions.outcome import from_row, outcome_key
from placet.audit.records import DecisionQuery
from placet.audit.tool_call_event import tool_call_event
from placet.kernel.errors import NotFoundError
from placet.kernel.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, STEP_BYTES
from placet.kernel.model import Effect
from placet.kernel.state import ReadSet
from placet.kernel.steps import mapped
from placet.privacy.redaction import redact_text
from placet.scheduling.slices import in_slices
from placet.transport.grpc.interceptors.caller import current_principal
from placet.transport.grpc.messages.to_proto import EFFECTS, recorded_decision_to_proto, verify_report_to_proto
from placet.transport.grpc.messages.validation import RequestValidator
from placet.transport.grpc.messages.visible import visible_report
from placet.v1 import audit_pb2, audit_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from placet.audit.ports import Ledger
    from placet.audit.records import RecordedDecision
    from placet.kernel.state import Row
    from placet.transport.grpc.context import Context

SECONDS_MIN: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, the first time that google.protobuf.Timestamp allows."""
SECONDS_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last time that google.protobuf.Timestamp allows."""
_NANOS: Final = 1_000_000_000


@dataclass(frozen=True)
class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Reads and verifies the audit trail."""

    ledger: Ledger

    async def QueryDecisions(
        self, request: audit_pb2.QueryDecisionsRequest, _context: Context
    ) -> audit_pb2.QueryDecisionsResponse:
        """Return a page of recorded decisions, newest first."""
        page = await self.ledger.query_decisions(_parse_query(request))
        return audit_pb2.QueryDecisionsResponse(
            decisions=await self._to_protos(page.decisions), next_page_token=page.next_page_token
        )

    async def GetDecision(
        self, request: audit_pb2.GetDecisionRequest, _context: Context
    ) -> audit_pb2.GetDecisionResponse:
        """Return one recorded decision."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        if not request.decision_id:
            validator.violation("decision_id", "is required")
        validator.require_valid()
        recorded = await self.ledger.get_decision(tenant, request.decision_id)
        if recorded is None:
            decision_id = redact_text(request.decision_id[:64])
            raise NotFoundError(f"tenant {tenant} has no decision {decision_id!r}; see `placet audit decisions`")
        [message] = await self._to_protos([recorded])
        return audit_pb2.GetDecisionResponse(decision=message)

    async def VerifyAudit(
        self, _request: audit_pb2.VerifyAuditRequest, _context: Context
    ) -> audit_pb2.VerifyAuditResponse:
        """Verify the whole audit trail."""
        return verify_report_to_proto(visible_report(await self.ledger.verify(), current_principal()))

    async def _to_protos(self, decisions: Sequence[RecordedDecision]) -> list[audit_pb2.RecordedDecision]:
        """Return the messages of the decisions. Reads the outcomes of those that are allowed in one query."""
        keys = [outcome_key(recorded.tenant, recorded.decision.decision_id) for recorded in decisions]
        allowed = [
            key for key, recorded in zip(keys, decisions, strict=True) if recorded.decision.effect is Effect.ALLOW
        ]
        rows = (await self.ledger.load(ReadSet(allowed))).rows if allowed else {}
        pairs = list(zip(decisions, (rows.get(key) for key in keys), strict=True))
        return await in_slices(
            mapped(lambda pair: _with_event(*pair), pairs, lambda pair: len(pair[0].input_json) > STEP_BYTES)
        )


def _parse_query(request: audit_pb2.QueryDecisionsRequest) -> DecisionQuery:
    validator = RequestValidator()
    validator.tenant("tenant", request.tenant)
    page_size = validator.count("page_size", request.page_size, PAGE_SIZE_MAX)
    if request.effect and request.effect not in EFFECTS.from_wire:
        validator.violation(
            "effect", f"{request.effect} is not a known effect; use EFFECT_ALLOW, _DENY or _REQUIRE_APPROVAL"
        )
    if request.person and request.user not in {"", request.person}:
        validator.violation("person", "is not the user; leave out one of the two")
    decided_from_us = _micros(validator, "decided_from", request.decided_from)
    decided_until_us = _micros(validator, "decided_until", request.decided_until)
    validator.require_valid()
    return DecisionQuery(
        tenant=request.tenant,
        effect=EFFECTS.from_wire.get(request.effect),
        rule_id=request.rule_id,
        tool=request.tool,
        run_id=request.run_id,
        user=request.user,
        agent=request.agent,
        caller=request.caller,
        person=request.person,
        decided_from_us=decided_from_us,
        decided_until_us=decided_until_us,
        page_size=page_size or PAGE_SIZE_DEFAULT,
        page_token=request.page_token,
    )


def _micros(validator: RequestValidator, field: str, time: Timestamp) -> int:
    """Return microseconds since the epoch; 0 if no time is set. Protobuf accepts any number of seconds."""
    if not SECONDS_MIN <= time.seconds <= SECONDS_MAX or not 0 <= time.nanos < _NANOS:
        validator.violation(field, "is not a valid time; use a time of the years 0001 to 9999")
    return time.seconds * 1_000_000 + time.nanos // 1_000


def _with_event(recorded: RecordedDecision, outcome_row: Row | None) -> audit_pb2.RecordedDecision:
    outcome = from_row(outcome_row).outcome if outcome_row is not None else None
    return recorded_decision_to_proto(recorded, orjson.dumps(tool_call_event(recorded, outcome)).decode())
