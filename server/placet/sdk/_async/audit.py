"""The client of auditors, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk import failures
from placet.sdk._async.base import AsyncBaseClient
from placet.sdk._wire.audit import (
    page_from_proto,
    query_to_proto,
    recorded_decision_from_proto,
    verify_report_from_proto,
)
from placet.sdk._wire.fields import set_fields
from placet.sdk._wire.methods import GET_DECISION, QUERY_DECISIONS, VERIFY_AUDIT
from placet.sdk.defaults import DEFAULT_ADDRESS, READ_TIMEOUT_SECONDS, VERIFY_TIMEOUT_SECONDS, WAIT_SECONDS_MAX
from placet.sdk.errors import CallFailedError
from placet.v1 import audit_pb2

if TYPE_CHECKING:
    import grpc

    from placet.sdk._transport.bearer import Token
    from placet.sdk.audit import Page, Query, RecordedDecision, VerifyReport


class AsyncAuditClient(AsyncBaseClient):
    """Client of an auditor: reads and verifies the audit trail of a server.

    ::

        from placet.sdk import AsyncAuditClient, Query

        async with AsyncAuditClient("127.0.0.1:7070") as audit:
            page = await audit.query(Query(tenant="acme", tool="stripe.refund"))
            for recorded in page.decisions:
                print(recorded.decision.decided_at, recorded.decision.effect, recorded.decision.rule_id)

    Safe to use from several event loops.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.

    Each method raises CallFailedError if the call fails, and InvalidRequestError if an argument is invalid.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = READ_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        allow_plaintext_token: bool = False,
    ) -> None:
        super().__init__(
            address,
            timeout=timeout,
            credentials=credentials,
            token=token,
            allow_plaintext_token=allow_plaintext_token,
        )

    async def query(self, query: Query) -> Page:
        """Return one page of the decisions that match the query, newest first.

        For the next page, send the query again with `page_token` set to the page's `next_page_token`.
        """
        parse = audit_pb2.QueryDecisionsResponse.FromString
        return page_from_proto(await self._channel.read(QUERY_DECISIONS, query_to_proto(query), parse, self._timeout))

    async def get(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """Return one recorded decision, or None if the tenant has no decision with this id."""
        request = set_fields(audit_pb2.GetDecisionRequest(), "", tenant=tenant, decision_id=decision_id)
        parse = audit_pb2.GetDecisionResponse.FromString
        try:
            response = await self._channel.read(GET_DECISION, request, parse, self._timeout)
        except CallFailedError as error:
            if error.failure.rule_id == failures.NOT_FOUND:
                return None
            raise
        return recorded_decision_from_proto(response.decision)

    async def verify(self, timeout: float = VERIFY_TIMEOUT_SECONDS) -> VerifyReport:
        """Make the server verify each chain and checkpoint of its audit trail, and return its report.

        `timeout` is in seconds, more than 0 and at most 604800, else ValueError. To verify a trail without trusting the
        server, run ``placet audit verify`` on its database.
        """
        request, parse = audit_pb2.VerifyAuditRequest(), audit_pb2.VerifyAuditResponse.FromString
        response = await self._channel.read(VERIFY_AUDIT, request, parse, timeout, WAIT_SECONDS_MAX)
        return verify_report_from_proto(response)
