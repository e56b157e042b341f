"""The client for code that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from placet.sdk._sync.channel import BlockingChannel
from placet.sdk._transport.options import Defaults
from placet.sdk._transport.resume import is_final, is_timeout
from placet.sdk._transport.retry import Attempts
from placet.sdk._wire.approvals import decision_change_from_proto, prepare_watch_decision
from placet.sdk._wire.calls import PreparedCall, prepare_authorize, prepare_authorize_batch
from placet.sdk._wire.methods import WATCH_DECISION
from placet.sdk._wire.outcomes import prepare_report_outcome, receipt_from_answer
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, OnFailure
from placet.sdk.errors import CallFailedError
from placet.sdk.types import Action, Evidence, Identity, Model, Request, Run
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import grpc

    from placet.sdk.approvals import DecisionChange
    from placet.sdk.decision import Decision
    from placet.sdk.outcomes import OutcomeReceipt, OutcomeStatus


class Client:
    """Asks Placet before each tool call. Safe to use from several threads.

    ::

        from placet.sdk import Action, Amount, Client, Identity

        with Client("127.0.0.1:7070") as placet:
            params = {"charge": "ch_1", "amount": "45.00", "currency": "USD"}
            decision = placet.authorize(
                Action("stripe.refund", params, amount=Amount("USD", 4500)),
                Identity(agent="refund-agent", tenant="acme", user="u_4812", roles=["support_refunds"]),
            )
            if decision.allowed:
                ...  # run the call, with exactly these parameters
                placet.report_outcome(decision, "succeeded", latency_ms=942)

    `timeout` is in seconds, for a call with all its tries: where that is safe, a call is tried again until then, with
    the same idempotency_key. When there is no decision, ``on_failure="deny"`` answers with a deny whose `failure` says
    why, and ``on_failure="raise"`` raises CallFailedError (InvalidRequestError when the request is wrong). Never an
    allow. ValueError or TypeError when `address`, `timeout` or `on_failure` is none, or a value is of a wrong type. A
    `timeout` is more than 0 and at most 300 seconds; of a watch or a wait for people, at most 604800.

    It may be used in a process that was forked, unless a call was under way at the fork or an `AsyncClient` had been
    used before it: then no client works there, and every call fails with a text that says so.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_failure: OnFailure = "deny",
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._defaults = Defaults(timeout, on_failure)
        self._channel = BlockingChannel(address, credentials)

    def authorize(  # noqa: PLR0913 - the one call that everybody makes is flat on purpose
        self,
        action: Action,
        identity: Identity,
        *,
        run: Run | None = None,
        model: Model | None = None,
        evidence: Sequence[Evidence] = (),
        idempotency_key: str | None = None,
        approval_id: str = "",
        traceparent: str | None = None,
        timeout: float | None = None,
        on_failure: OnFailure | None = None,
    ) -> Decision:
        """The decision about one action.

        `idempotency_key` None makes a fresh one; give your own to get the same decision again after a crash.
        `traceparent` is the W3C header of the caller's trace. `timeout` (seconds) and `on_failure` override what the
        client was made with.
        """
        request = Request(action, identity, run, model, evidence, idempotency_key, approval_id)
        return self._ask(prepare_authorize(request, traceparent), timeout, on_failure)[0]

    def authorize_batch(
        self,
        requests: Sequence[Request],
        *,
        traceparent: str | None = None,
        timeout: float | None = None,
        on_failure: OnFailure | None = None,
    ) -> list[Decision]:
        """One decision for each of 1 to 100 requests of one tenant, in order. ValueError when there are none.

        One malformed request refuses the whole batch: every answer is then the same failure, naming the index.
        """
        return self._ask(prepare_authorize_batch(requests, traceparent), timeout, on_failure)

    def report_outcome(  # noqa: PLR0913 - all that a report may say, flat
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
        timeout: float | None = None,
    ) -> OutcomeReceipt:
        """Tell what an allowed call did, so that what it held of budgets is settled and circuit breakers learn of it.

        `decision` is the one that `authorize` gave, or its decision_id with the `tenant`. `status` is succeeded,
        failed, not_executed or unknown. What is left out counts as it was asked for; `tokens` come on top of the
        request's. Safe to send again: the same report changes nothing. CallFailedError when it was not taken.
        """
        said = {
            "latency_ms": latency_ms,
            "tokens": tokens,
            "cost_micros": cost_micros,
            "amount_minor_units": amount_minor_units,
            "error_class": error_class,
            "result_digest": result_digest,
        }
        asked = prepare_report_outcome(decision, status, tenant, said)
        attempts = Attempts(self._defaults.seconds(timeout))
        return receipt_from_answer(self._channel.call(asked.method, asked.raw, attempts))

    def watch_decision(
        self, decision: Decision | str, *, tenant: str | None = None, cursor: str = "", timeout: float | None = None
    ) -> Iterator[DecisionChange]:
        """What becomes of a decision: of its approval, or of its permit. Ends when nothing more can happen.

        `decision` is the one that `authorize` gave, or its decision_id with the `tenant`. It goes on by itself after a
        lost connection and misses nothing; `cursor` goes on where another watch ended. CallFailedError after `timeout`
        seconds, or when the server refuses it.
        """
        parse = authorization_pb2.WatchDecisionResponse.FromString
        messages = self._channel.follow(
            WATCH_DECISION, prepare_watch_decision(decision, tenant), parse, cursor, timeout
        )
        return (decision_change_from_proto(message) for message in messages)

    def wait_for_approval(
        self, decision: Decision | str, timeout: float, *, tenant: str | None = None
    ) -> DecisionChange | None:
        """What people decided, as soon as they did; None when they did not within `timeout` seconds.

        `timeout` is more than 0 and at most 604800 seconds, else ValueError.

        ::

            decided = placet.wait_for_approval(decision, timeout=600)
            if decided is not None and decided.state is DecisionState.APPROVED:
                decision = placet.authorize(action, identity, approval_id=decided.approval_id)
        """
        try:
            for change in self.watch_decision(decision, tenant=tenant, timeout=timeout):
                if is_final(change):
                    return change
        except CallFailedError as error:
            if not is_timeout(error.failure):
                raise
        return None

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _ask(self, asked: PreparedCall, timeout: float | None, on_failure: OnFailure | None) -> list[Decision]:
        attempts, failing = Attempts(self._defaults.seconds(timeout)), self._defaults.failing(on_failure)
        answer = asked.failure or self._channel.call(asked.method, asked.raw, attempts, asked.metadata)
        return asked.decisions(answer, failing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
