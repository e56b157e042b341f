# Generated from server/placet/sdk/_async/client.py by deploy/tools/sync_sdk.py. Do not edit.
"""The client of agents, for code that blocks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from placet.sdk._sync.base import BaseClient
from placet.sdk._transport.options import validate_on_failure, validate_timeout, validate_transport
from placet.sdk._transport.retry import Attempts
from placet.sdk._transport.stream_position import is_final, is_timeout
from placet.sdk._wire.approvals import decision_change_from_proto, prepare_watch_decision
from placet.sdk._wire.calls import PreparedCall, prepare_authorize, prepare_authorize_batch
from placet.sdk._wire.methods import AUTHORIZE, WATCH_DECISION
from placet.sdk._wire.outcomes import prepare_report_outcome, receipt_from_answer
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.errors import CallFailedError
from placet.sdk.types import Request
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import grpc

    from placet.sdk._transport.bearer import Token
    from placet.sdk.approvals import DecisionChange
    from placet.sdk.decision import Decision
    from placet.sdk.defaults import OnFailure, Transport
    from placet.sdk.outcomes import OutcomeReceipt, OutcomeStatus
    from placet.sdk.types import Action, Evidence, Identity, Model, Run


class Client(BaseClient):
    """Client of an agent: asks for a decision before each tool call, waits for approvals, reports outcomes.

    ::

        from placet.sdk import Action, Amount, Client, Identity

        with Client("127.0.0.1:7070") as placet:
            params = {"charge": "ch_1", "amount": "45.00", "currency": "USD"}
            decision = placet.authorize(
                Action("stripe.refund", params, amount=Amount("USD", 4500)),
                Identity(agent="refund-agent", tenant="acme", user="u_4812", roles=["support_refunds"]),
            )
            if decision.allowed:
                ...  # run the tool call with exactly these parameters
                placet.report_outcome(decision, "succeeded", latency_ms=942)

    Fail closed: if there is no decision, for example because the server cannot be reached, the result is a deny whose
    `failure` is set, or a CallFailedError. It is never an allow.

    Use one client for many calls: it keeps one connection.
    Safe to use from several threads.

    A client works in a forked process unless, at the time of the fork, a call was in progress or an asyncio client had
    been used. Then every call in that process fails with a text that explains it.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``. An IPv6 address is written in brackets:
            ``[::1]:7070``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300. It covers all retries: the client
            tries a call again until then, with the same idempotency key, where the failure is temporary.
        on_failure: What `authorize` and `authorize_batch` do if there is no decision. ``"deny"`` returns a deny whose
            `failure` says why. ``"raise"`` raises CallFailedError, or InvalidRequestError if the request is invalid.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.
        transport: How `authorize` sends requests. ``"unary"`` sends each as a separate call. ``"stream"`` sends all
            over one stream, which costs less when several calls are in progress at the same time. When the stream
            ends, requests in progress are sent again over a new one, with the same idempotency keys. If the server has
            no streams, or too many, requests are sent as separate calls.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `address`, `timeout`, `on_failure` or `transport` is invalid.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_failure: OnFailure = "deny",
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        allow_plaintext_token: bool = False,
        transport: Transport = "unary",
    ) -> None:
        super().__init__(
            address,
            timeout=timeout,
            credentials=credentials,
            token=token,
            allow_plaintext_token=allow_plaintext_token,
        )
        self._on_failure = validate_on_failure(on_failure)
        self._transport = validate_transport(transport)

    def authorize(  # noqa: PLR0913 - one flat call: each argument is a keyword that most callers omit
        self,
        action: Action,
        identity: Identity,
        *,
        run: Run | None = None,
        model: Model | None = None,
        evidence: Sequence[Evidence] = (),
        idempotency_key: str | None = None,
        approval_id: str = "",
        include_permit: bool = False,
        traceparent: str | None = None,
        timeout: float | None = None,
        on_failure: OnFailure | None = None,
    ) -> Decision:
        """Ask for the decision about one action.

        Args:
            action: The tool call that the agent proposes.
            identity: The agent, the user on whose behalf it acts, and the tenant.
            run: The task that the action belongs to. Tenants with limits of runs require it.
            model: The model that proposed the action. Budgets of tokens and cost count it.
            evidence: Documents that support the action, at most 64.
            idempotency_key: Key of this request, 1 to 128 bytes. The same key with the same request returns the same
                decision, also after a crash; an allow only while the action would still be allowed. The same key with
                another request fails with ``pdp.client_key_reused``. None generates a new key.
            approval_id: Id of an approval of exactly this action, which the decision then uses.
            include_permit: True to receive the permit of an allow, in `decision.permit`. Set it if the executor of the
                call verifies permits. A repeat of an idempotency key may set it, also if the first request did not.
            traceparent: W3C Trace Context header of the caller's trace.
            timeout: Seconds, in place of the client's default.
            on_failure: ``"deny"`` or ``"raise"``, in place of the client's default.

        Returns:
            The decision. `decision.allowed` tells whether the action may run now.

        Raises:
            WrongTypeError: If a value has another type than its field, whatever `on_failure` is.
            InvalidParamsError: If the params have a value that JSON cannot hold exactly, whatever `on_failure` is.
            CallFailedError: If there is no decision and `on_failure` is ``"raise"``.
            ValueError: If `timeout` or `on_failure` is invalid.
        """
        request = Request(action, identity, run, model, evidence, idempotency_key, approval_id, include_permit)
        return (self._authorize(prepare_authorize(request, traceparent), timeout, on_failure))[0]

    def authorize_batch(
        self,
        requests: Sequence[Request],
        *,
        traceparent: str | None = None,
        timeout: float | None = None,
        on_failure: OnFailure | None = None,
    ) -> list[Decision]:
        """Ask for the decisions about several actions of one tenant, such as the steps of a plan.

        The server records all decisions in one commit. If one request is invalid the whole batch fails, and each
        element of the result is a deny with the same failure, which names the index of that request.

        Args:
            requests: 1 to 100 requests, all of the same tenant.
            traceparent: W3C Trace Context header of the caller's trace.
            timeout: Seconds, in place of the client's default.
            on_failure: ``"deny"`` or ``"raise"``, in place of the client's default.

        Returns:
            One decision for each request, in the same order.

        Raises:
            TypeError: If `requests` is not a sequence.
            ValueError: If `requests` is empty, or `timeout` or `on_failure` is invalid.
            WrongTypeError, InvalidParamsError, CallFailedError: As for `authorize`.
        """
        return self._authorize(prepare_authorize_batch(requests, traceparent), timeout, on_failure)

    def report_outcome(  # noqa: PLR0913 - one flat call: each argument is a keyword that most callers omit
        self,
        decision: Decision | str,
        status: OutcomeStatus | str,
        *,
        tenant: str | None = None,
        latency_ms: int = 0,
        tokens: int | None = None,
        cost_micros: int | None = None,
        amount_minor_units: int | None = None,
        error_class: str = "",
        result_digest: str = "",
        permit: str | None = None,
        timeout: float | None = None,
    ) -> OutcomeReceipt:
        """Report what an allowed tool call did.

        The report settles the amounts that the decision reserved of budgets, and circuit breakers count it. It is safe
        to send a report again: the same report has no effect the second time.

        Args:
            decision: The decision that `authorize` returned, or its decision_id.
            status: ``"succeeded"``, ``"failed"``, ``"not_executed"`` or ``"unknown"``.
            tenant: The decision's tenant. Required if `decision` is an id.
            latency_ms: Duration of the tool call in milliseconds.
            tokens: Tokens used in addition to those of the request. None means none.
            cost_micros: Cost in micros: 1,000,000 is 1 unit of the tenant's currency. None means the estimated cost.
            amount_minor_units: Amount moved, in minor units of the action's currency. None means the action's amount.
            error_class: Kind of error, such as ``TimeoutError``. At most 128 bytes.
            result_digest: SHA-256 of the result, 64 lower-case hex digits.
            permit: Permit of the decision. It lets a holder report where the tenant requires that, and gives budget
                back while it is still valid; it is then revoked. None means the permit of `decision`, if it has one.
            timeout: Seconds, in place of the client's default.

        Returns:
            What the report changed.

        Raises:
            InvalidRequestError: If a field is invalid, or the decision has no id because no server recorded it.
            CallFailedError: If the server did not record the report.
            ValueError: If `timeout` is invalid.
        """
        fields = {
            "latency_ms": latency_ms,
            "tokens": tokens,
            "cost_micros": cost_micros,
            "amount_minor_units": amount_minor_units,
            "error_class": error_class,
            "result_digest": result_digest,
        }
        call = prepare_report_outcome(decision, status, tenant, permit, fields)
        return receipt_from_answer(self._channel.call(call.method, call.raw, self._attempts(timeout)))

    def watch_decision(
        self, decision: Decision | str, *, tenant: str | None = None, cursor: str = "", timeout: float | None = None
    ) -> Generator[DecisionChange, None, None]:
        """Watch a decision: the state of its approval, or whether its permit is revoked.

        The stream starts with the current state and ends when the state can no longer change. It resumes by itself
        after a lost connection, and misses no change.

        Args:
            decision: The decision that `authorize` returned, or its decision_id.
            tenant: The decision's tenant. Required if `decision` is an id.
            cursor: Cursor of the last change that an earlier watch returned. Changes after it follow.
            timeout: Seconds until the stream ends with a CallFailedError, more than 0 and at most 604800. None means no
                limit.

        Returns:
            An iterator of the changes. Iterating raises CallFailedError when the timeout has passed, or if the server
            rejects the watch.

        Raises:
            InvalidRequestError: If the decision has no id.
            ValueError: If `timeout` is invalid.
        """
        parse = authorization_pb2.WatchDecisionResponse.FromString
        request = prepare_watch_decision(decision, tenant)
        return self._channel.watch(WATCH_DECISION, request, parse, decision_change_from_proto, cursor, timeout)

    def wait_for_approval(
        self, decision: Decision | str, timeout: float, *, tenant: str | None = None
    ) -> DecisionChange | None:
        """Wait until people have decided about an approval.

        ::

            change = placet.wait_for_approval(decision, timeout=600)
            if change is not None and change.state is DecisionState.APPROVED:
                decision = placet.authorize(action, identity, approval_id=change.approval_id)

        Args:
            decision: The decision that `authorize` returned, or its decision_id.
            timeout: Seconds to wait, more than 0 and at most 604800.
            tenant: The decision's tenant. Required if `decision` is an id.

        Returns:
            The change after which the decision no longer waits for people, such as to the state APPROVED or REJECTED.
            None if people did not decide within `timeout`.

        Raises:
            InvalidRequestError: If the decision has no id.
            CallFailedError: If the server rejects the watch.
            ValueError: If `timeout` is invalid.
        """
        try:
            with closing(self.watch_decision(decision, tenant=tenant, timeout=timeout)) as changes:
                for change in changes:
                    if is_final(change):
                        return change
        except CallFailedError as error:
            if not is_timeout(error.failure):
                raise
        return None

    def _authorize(self, call: PreparedCall, timeout: float | None, on_failure: OnFailure | None) -> list[Decision]:
        attempts = self._attempts(timeout)
        on_failure = self._on_failure if on_failure is None else validate_on_failure(on_failure)
        if call.failure is None and call.method == AUTHORIZE and self._transport == "stream":
            streamed = self._channel.authorize(call.raw, attempts, call.metadata)
            return call.decisions(streamed, on_failure)
        answer = call.failure or self._channel.call(call.method, call.raw, attempts, call.metadata)
        return call.decisions(answer, on_failure)

    def _attempts(self, timeout: float | None) -> Attempts:
        return Attempts(self._timeout if timeout is None else validate_timeout(timeout))
