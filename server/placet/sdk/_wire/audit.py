"""Queries of the audit trail to protobuf messages, and recorded decisions from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from placet.sdk._wire.decode import EFFECTS, decision_from_proto, time_from_proto
from placet.sdk._wire.fields import invalid, require_type, set_fields
from placet.sdk.audit import AuditProblem, Page, Query, RecordedDecision, VerifyReport
from placet.v1 import audit_pb2, decision_pb2

_EFFECT_TO_PROTO: Final = {effect: number for number, effect in EFFECTS.items()}


def query_to_proto(query: Query) -> audit_pb2.QueryDecisionsRequest:
    """Return the message. Raises InvalidRequestError."""
    require_type(Query, "query", query)
    if query.effect is not None and query.effect not in _EFFECT_TO_PROTO:
        raise invalid(("effect", f"must be an Effect, not {query.effect!r}"))
    message = audit_pb2.QueryDecisionsRequest(
        effect=decision_pb2.EFFECT_UNSPECIFIED if query.effect is None else _EFFECT_TO_PROTO[query.effect],
        decided_from=_time_to_proto("decided_from", query.decided_from),
        decided_until=_time_to_proto("decided_until", query.decided_until),
    )
    return set_fields(
        message,
        "",
        tenant=query.tenant,
        rule_id=query.rule_id,
        tool=query.tool,
        run_id=query.run_id,
        user=query.user,
        agent=query.agent,
        page_size=query.page_size,
        page_token=query.page_token,
        caller=query.caller,
        person=query.person,
    )


def page_from_proto(message: audit_pb2.QueryDecisionsResponse) -> Page:
    """Return the page."""
    return Page(tuple(map(recorded_decision_from_proto, message.decisions)), message.next_page_token)


def recorded_decision_from_proto(message: audit_pb2.RecordedDecision) -> RecordedDecision:
    """Return the recorded decision."""
    return RecordedDecision(
        decision=replace(decision_from_proto(message.decision, message.idempotency_key), tenant=message.tenant),
        tenant=message.tenant,
        event_json=message.event_json,
        input_json=message.input_json,
        replayable=message.replayable,
        not_replayable_reason=message.not_replayable_reason,
        received_at=time_from_proto(message.received_at),
        caller=message.caller,
        writer=message.writer,
        sequence=message.sequence,
        record_hash=message.record_hash,
        caller_method=message.caller_method,
        caller_issuer=message.caller_issuer,
        user_method=message.user_method,
        user_issuer=message.user_issuer,
    )


def verify_report_from_proto(message: audit_pb2.VerifyAuditResponse) -> VerifyReport:
    """Return the report. It is `ok` only if the server says so and lists no problem."""
    problems = tuple(
        AuditProblem(problem.kind, problem.writer, problem.sequence, problem.detail) for problem in message.problems
    )
    return VerifyReport(message.ok and not problems, message.records, message.chains, message.checkpoints, problems)


def _time_to_proto(field: str, time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    if not isinstance(time, datetime):
        raise invalid((field, f"must be a datetime, not {type(time).__name__}"))
    if time.tzinfo is None:
        raise invalid((field, "has no time zone; add one, such as datetime.now(UTC)"))
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
