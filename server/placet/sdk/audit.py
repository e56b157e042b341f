"""Reads the audit trail of a running server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from placet.sdk import failures
from placet.sdk.blocking import BlockingClient
from placet.sdk.channel import DEFAULT_ADDRESS, GET_DECISION, QUERY_DECISIONS, VERIFY_AUDIT, WAIT_SECONDS_MAX
from placet.sdk.decode import EFFECTS, decision_of, time_of
from placet.sdk.errors import CallFailedError
from placet.sdk.fields import filled, kind_of, refused
from placet.v1 import audit_pb2, decision_pb2

if TYPE_CHECKING:
    import grpc

    from placet.sdk.decision import Decision, Effect

READ_TIMEOUT_SECONDS: Final = 10.0
"""One page of a trail, or one look at it."""
VERIFY_TIMEOUT_SECONDS: Final = 600.0
"""A check of the whole trail: minutes for tens of millions of records."""
_NUMBERS: Final = {value: number for number, value in EFFECTS.items()}


@dataclass(frozen=True, slots=True)
class Query:
    """Which decisions, newest first. Empty conditions do not restrict. Times are aware; `page_size` 0 is 50."""

    tenant: str
    effect: Effect | None = None
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""
    decided_from: datetime | None = None
    decided_until: datetime | None = None
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it stands in the trail. `event_json` is the tool-call event, `input_json` what policy saw."""

    decision: Decision
    tenant: str
    event_json: str
    input_json: str
    replayable: bool
    not_replayable_reason: str
    received_at: datetime | None
    caller: str
    writer: str
    sequence: int
    record_hash: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page; `next_page_token` is empty on the last."""

    decisions: tuple[RecordedDecision, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One thing wrong with the trail. `sequence` 0 concerns the whole chain."""

    kind: str
    writer: str
    sequence: int
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of the trail found. `problems` holds at most 100."""

    ok: bool
    records: int
    chains: int
    checkpoints: int
    problems: tuple[AuditProblem, ...]


class AuditClient(BlockingClient):
    """Reads the trail; safe to use from several threads. Whatever fails raises CallFailedError."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = READ_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(address, timeout=timeout, credentials=credentials)

    def query(self, query: Query) -> Page:
        """A page of decisions, newest first."""
        parse = audit_pb2.QueryDecisionsResponse.FromString
        answer = self._channel.read(QUERY_DECISIONS, _request(query), parse, self._timeout)
        return Page(tuple(_recorded(each) for each in answer.decisions), answer.next_page_token)

    def get(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision with all that is kept of it; None when the tenant has none of that id."""
        request = filled(audit_pb2.GetDecisionRequest(), "", tenant=tenant, decision_id=decision_id)
        parse = audit_pb2.GetDecisionResponse.FromString
        try:
            return _recorded(self._channel.read(GET_DECISION, request, parse, self._timeout).decision)
        except CallFailedError as error:
            if error.failure.rule_id == failures.NOT_FOUND:
                return None
            raise

    def verify(self, timeout: float = VERIFY_TIMEOUT_SECONDS) -> VerifyReport:
        """Have the server check every chain and checkpoint; whoever distrusts it checks the database himself.

        `timeout` is more than 0 and at most 604800 seconds, else ValueError.
        """
        parse = audit_pb2.VerifyAuditResponse.FromString
        answer = self._channel.read(VERIFY_AUDIT, audit_pb2.VerifyAuditRequest(), parse, timeout, WAIT_SECONDS_MAX)
        problems = tuple(AuditProblem(each.kind, each.writer, each.sequence, each.detail) for each in answer.problems)
        return VerifyReport(answer.ok and not problems, answer.records, answer.chains, answer.checkpoints, problems)


def _request(query: Query) -> audit_pb2.QueryDecisionsRequest:
    kind_of(Query, "query", query)
    if query.effect is not None and query.effect not in _NUMBERS:
        raise refused(("effect", f"must be an Effect, not {query.effect!r}"))
    message = audit_pb2.QueryDecisionsRequest(
        effect=decision_pb2.EFFECT_UNSPECIFIED if query.effect is None else _NUMBERS[query.effect],
        decided_from=_stamp("decided_from", query.decided_from),
        decided_until=_stamp("decided_until", query.decided_until),
    )
    return filled(
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
    )


def _stamp(field: str, time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    if not isinstance(time, datetime):
        raise refused((field, f"must be a datetime, not {type(time).__name__}"))
    if time.tzinfo is None:
        raise refused((field, "has no time zone; say which, e.g. datetime.now(UTC)"))
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _recorded(message: audit_pb2.RecordedDecision) -> RecordedDecision:
    return RecordedDecision(
        decision=replace(decision_of(message.decision, message.idempotency_key), tenant=message.tenant),
        tenant=message.tenant,
        event_json=message.event_json,
        input_json=message.input_json,
        replayable=message.replayable,
        not_replayable_reason=message.not_replayable_reason,
        received_at=time_of(message.received_at),
        caller=message.caller,
        writer=message.writer,
        sequence=message.sequence,
        record_hash=message.record_hash,
    )
