"""The client for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import grpc

from placet.sdk import failures
from placet.sdk.asked import Asked, ask_batch, ask_one
from placet.sdk.blocking import CLOSED
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, OPTIONS, Defaults, OnFailure, checked_address
from placet.sdk.failures import Failure
from placet.sdk.model import Request
from placet.sdk.outcome import ask_outcome, read_receipt
from placet.sdk.retry import Attempts
from placet.sdk.status import failure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.sdk.decision import Decision
    from placet.sdk.model import Action, Evidence, Identity, Model, Run
    from placet.sdk.outcome import OutcomeReceipt, OutcomeStatus


class AsyncClient:
    """Asks Placet before each tool call, from asyncio. Belongs to the event loop that makes its first call.

    ::

        import asyncio

        from placet.sdk import Action, AsyncClient, Identity


        async def main() -> None:
            async with AsyncClient("127.0.0.1:7070") as placet:
                decision = await placet.authorize(
                    Action("jira.search", {"query": "open tickets"}),
                    Identity(agent="triage-agent", tenant="acme"),
                )
                print(decision.effect, decision.rule_id, decision.reason)


        asyncio.run(main())

    Everything else is as `Client` says.
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
        self._address = checked_address(address)
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def authorize(  # noqa: PLR0913 - the one call that everybody makes is flat on purpose
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
        timeout: float | None = None,  # noqa: ASYNC109 - seconds of the whole call, handed to gRPC
        on_failure: OnFailure | None = None,
    ) -> Decision:
        """The decision about one action; see `Client.authorize`."""
        request = Request(action, identity, run, model, evidence, idempotency_key, approval_id)
        return (await self._ask(ask_one(request, traceparent), timeout, on_failure))[0]

    async def authorize_batch(
        self,
        requests: Sequence[Request],
        *,
        traceparent: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - seconds of the whole call, handed to gRPC
        on_failure: OnFailure | None = None,
    ) -> list[Decision]:
        """One decision for each of 1 to 100 requests of one tenant, in order; see `Client.authorize_batch`."""
        return await self._ask(ask_batch(requests, traceparent), timeout, on_failure)

    async def report_outcome(  # noqa: PLR0913 - all that a report may say, flat
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
        timeout: float | None = None,  # noqa: ASYNC109 - seconds of the whole call, handed to gRPC
    ) -> OutcomeReceipt:
        """Tell what an allowed call did; see `Client.report_outcome`."""
        said = {
            "latency_ms": latency_ms,
            "tokens": tokens,
            "cost_micros": cost_micros,
            "amount_minor_units": amount_minor_units,
            "error_class": error_class,
            "result_digest": result_digest,
        }
        asked = ask_outcome(decision, status, tenant, said)
        return read_receipt(await self._call(asked, Attempts(self._defaults.seconds(timeout))))

    async def close(self) -> None:
        """End the connection."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    async def _ask(self, asked: Asked, seconds: float | None, on_failure: OnFailure | None) -> list[Decision]:
        attempts, failing = Attempts(self._defaults.seconds(seconds)), self._defaults.failing(on_failure)
        answer = asked.failure or await self._call(asked, attempts)
        return asked.decisions(answer, failing)

    async def _call(self, asked: Asked, attempts: Attempts) -> bytes | Failure:
        while True:
            answer = await self._try(asked, attempts.remaining())
            if not isinstance(answer, Failure):
                return answer
            delay = attempts.delay_after(answer)
            if delay is None:
                return answer
            await asyncio.sleep(delay)

    async def _try(self, asked: Asked, seconds: float) -> bytes | Failure:
        if self._closed:
            return CLOSED
        if not seconds > 0:
            return Failure(failures.TIMEOUT)
        try:
            ask = self._connected().unary_unary(asked.method, None, None)
            answer: bytes = await ask(asked.raw, timeout=seconds, metadata=asked.metadata)
        except grpc.aio.AioRpcError as error:
            return failure_of(error)
        except grpc.aio.UsageError:
            return CLOSED
        return answer

    def _connected(self) -> grpc.aio.Channel:
        """The channel, made in the loop that uses it."""
        if self._channel is None:
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._address, options=OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(self._address, self._credentials, options=OPTIONS)
        return self._channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
