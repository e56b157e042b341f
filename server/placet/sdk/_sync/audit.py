"""Reads the audit trail of a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk import failures
from placet.sdk._sync.channel import BlockingClient
from placet.sdk._wire.audit import query_to_proto, recorded_decision_from_proto, verify_report_from_proto
from placet.sdk._wire.fields import set_fields
from placet.sdk._wire.methods import GET_DECISION, QUERY_DECISIONS, VERIFY_AUDIT
from placet.sdk.audit import Page, Query, RecordedDecision, VerifyReport
from placet.sdk.defaults import DEFAULT_ADDRESS, READ_TIMEOUT_SECONDS, VERIFY_TIMEOUT_SECONDS, WAIT_SECONDS_MAX
from placet.sdk.errors import CallFailedError
from placet.v1 import audit_pb2

if TYPE_CHECKING:
    import grpc


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
        answer = self._channel.read(QUERY_DECISIONS, query_to_proto(query), parse, self._timeout)
        return Page(tuple(recorded_decision_from_proto(each) for each in answer.decisions), answer.next_page_token)

    def get(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision with all that is kept of it; None when the tenant has none of that id."""
        request = set_fields(audit_pb2.GetDecisionRequest(), "", tenant=tenant, decision_id=decision_id)
        parse = audit_pb2.GetDecisionResponse.FromString
        try:
            return recorded_decision_from_proto(
                self._channel.read(GET_DECISION, request, parse, self._timeout).decision
            )
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
        return verify_report_from_proto(answer)
