"""placet.v1.AuditService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.actions.outcome import from_row, outcome_key
from placet.audit.records import DecisionQuery
from placet.audit.tool_call_event import tool_call_event
from placet.kernel.errors import InvalidRequestError
from placet.kernel.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, STEP_BYTES
from placet.kernel.model import Effect
from placet.kernel.state import ReadSet
from placet.kernel.steps import mapped
from placet.privacy.redaction import redact_text
from placet.scheduling.slices import in_slices
from placet.transport.grpc.errors import not_found
from placet.transport.grpc.handlers import unary
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import EFFECTS, present_recorded, present_report
from placet.v1 import audit_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc
    from google.protobuf.timestamp_pb2 import Timestamp

    from placet.audit.ports import Ledger
    from placet.audit.records import RecordedDecision
    from placet.kernel.state import Row
    from placet.transport.grpc.context import Context

SERVICE = "placet.v1.AuditService"
_EFFECT_OF: Final = {wire: effect for effect, wire in EFFECTS.items()}
_EFFECT_OF_NONE: Final = 0
SECONDS_MIN: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, the first time that google.protobuf.Timestamp allows."""
SECONDS_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last one."""
_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AuditService:
    """Reads the trail."""

    ledger: Ledger

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "QueryDecisions": unary(self.query_decisions, audit_pb2.QueryDecisionsRequest, on_error),
            "GetDecision": unary(self.get_decision, audit_pb2.GetDecisionRequest, on_error),
            "VerifyAudit": unary(self.verify_audit, audit_pb2.VerifyAuditRequest, on_error),
        }

    async def query_decisions(
        self, message: audit_pb2.QueryDecisionsRequest, _context: Context
    ) -> audit_pb2.QueryDecisionsResponse:
        """List recorded decisions, newest first."""
        page = await self.ledger.query_decisions(_query(message))
        return audit_pb2.QueryDecisionsResponse(
            decisions=await self._told(page.decisions), next_page_token=page.next_page_token
        )

    async def get_decision(
        self, message: audit_pb2.GetDecisionRequest, context: Context
    ) -> audit_pb2.GetDecisionResponse:
        """Give one recorded decision."""
        fields = Fields()
        fields.tenant("tenant", message.tenant)
        if not message.decision_id:
            fields.wrong("decision_id", "is required")
        _check(fields)
        recorded = await self.ledger.get_decision(message.tenant, message.decision_id)
        if recorded is None:
            named = redact_text(message.decision_id[:64])
            await not_found(context, f"tenant {message.tenant} has no decision {named!r}; see `placet audit decisions`")
        [told] = await self._told([recorded])
        return audit_pb2.GetDecisionResponse(decision=told)

    async def verify_audit(
        self, _message: audit_pb2.VerifyAuditRequest, _context: Context
    ) -> audit_pb2.VerifyAuditResponse:
        """Check the whole trail."""
        return present_report(await self.ledger.verify())

    async def _told(self, found: Sequence[RecordedDecision]) -> list[audit_pb2.RecordedDecision]:
        """The decisions, those that allowed with what became of it: one look for all of them."""
        keys = [outcome_key(each.tenant, each.decision.decision_id) for each in found]
        allowed = [key for key, each in zip(keys, found, strict=True) if each.decision.effect is Effect.ALLOW]
        rows = (await self.ledger.load(ReadSet(allowed))).rows if allowed else {}
        pairs = list(zip(found, (rows.get(key) for key in keys), strict=True))
        return await in_slices(
            mapped(lambda pair: _present(*pair), pairs, lambda pair: len(pair[0].input_json) > STEP_BYTES)
        )


def _query(message: audit_pb2.QueryDecisionsRequest) -> DecisionQuery:
    fields = Fields()
    fields.tenant("tenant", message.tenant)
    if not 0 <= message.page_size <= PAGE_SIZE_MAX:
        fields.wrong("page_size", f"is {message.page_size}; must be 0 to {PAGE_SIZE_MAX}")
    if message.effect != _EFFECT_OF_NONE and message.effect not in _EFFECT_OF:
        fields.wrong("effect", f"{message.effect} is not a known effect")
    decided_from_us = _micros(fields, "decided_from", message.decided_from)
    decided_until_us = _micros(fields, "decided_until", message.decided_until)
    _check(fields)
    return DecisionQuery(
        tenant=message.tenant,
        effect=_EFFECT_OF.get(message.effect),
        rule_id=message.rule_id,
        tool=message.tool,
        run_id=message.run_id,
        user=message.user,
        agent=message.agent,
        decided_from_us=decided_from_us,
        decided_until_us=decided_until_us,
        page_size=message.page_size or PAGE_SIZE_DEFAULT,
        page_token=message.page_token,
    )


def _check(fields: Fields) -> None:
    if fields.violations:
        raise InvalidRequestError(fields.violations)


def _micros(fields: Fields, field: str, time: Timestamp) -> int:
    """Microseconds since the epoch; 0 when no time is given. Protobuf lets any number through."""
    if not SECONDS_MIN <= time.seconds <= SECONDS_MAX or not 0 <= time.nanos < _NANOS:
        fields.wrong(field, "is not a time of the years 0001 to 9999")
    return time.seconds * 1_000_000 + time.nanos // 1_000


def _present(recorded: RecordedDecision, reported: Row | None) -> audit_pb2.RecordedDecision:
    outcome = from_row(reported).outcome if reported is not None else None
    return present_recorded(recorded, orjson.dumps(tool_call_event(recorded, outcome)).decode())
