"""The client for asyncio."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

import grpc
from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._sync.channel import CLOSED
from placet.sdk._transport import fork
from placet.sdk._transport.options import OPTIONS, Defaults, validate_address, validate_wait
from placet.sdk._transport.resume import StreamPosition, is_final, is_timeout
from placet.sdk._transport.retry import Attempts
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk._wire.approvals import decision_change_from_proto, prepare_watch_decision
from placet.sdk._wire.calls import PreparedCall, prepare_authorize, prepare_authorize_batch
from placet.sdk._wire.methods import WATCH_DECISION
from placet.sdk._wire.outcomes import prepare_report_outcome, receipt_from_answer
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, OnFailure
from placet.sdk.errors import CallFailedError, error_from_failure
from placet.sdk.failures import Failure
from placet.sdk.types import Action, Evidence, Identity, Model, Request, Run
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from placet.sdk.approvals import DecisionChange
    from placet.sdk.decision import Decision
    from placet.sdk.outcomes import OutcomeReceipt, OutcomeStatus


class AsyncClient:
    """Asks Placet before each tool call, from asyncio. Each event loop that uses it gets a connection of its own.

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
        self._address = validate_address(address)
        self._credentials = credentials
        self._channels: WeakKeyDictionary[asyncio.AbstractEventLoop, grpc.aio.Channel] = WeakKeyDictionary()
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
        return (await self._ask(prepare_authorize(request, traceparent), timeout, on_failure))[0]

    async def authorize_batch(
        self,
        requests: Sequence[Request],
        *,
        traceparent: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - seconds of the whole call, handed to gRPC
        on_failure: OnFailure | None = None,
    ) -> list[Decision]:
        """One decision for each of 1 to 100 requests of one tenant, in order; see `Client.authorize_batch`."""
        return await self._ask(prepare_authorize_batch(requests, traceparent), timeout, on_failure)

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
        asked = prepare_report_outcome(decision, status, tenant, said)
        return receipt_from_answer(await self._call(asked, Attempts(self._defaults.seconds(timeout))))

    def watch_decision(
        self,
        decision: Decision | str,
        *,
        tenant: str | None = None,
        cursor: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[DecisionChange, None]:
        """What becomes of a decision; see `Client.watch_decision`."""
        return self._changes(prepare_watch_decision(decision, tenant), cursor, validate_wait(timeout))

    async def _changes(
        self, request: authorization_pb2.WatchDecisionRequest, cursor: str, seconds: float | None
    ) -> AsyncGenerator[DecisionChange, None]:
        place = StreamPosition(cursor, seconds)
        while True:
            request.cursor = place.cursor
            try:
                stream = self._stream(WATCH_DECISION, request.SerializeToString(), place.seconds)
                async with aclosing(stream) as messages:
                    async for raw in messages:
                        message = authorization_pb2.WatchDecisionResponse.FromString(raw)
                        place.read(message.cursor)
                        yield decision_change_from_proto(message)
            except grpc.aio.AioRpcError as error:
                delay = place.delay_after(failure_from_rpc_error(error))
            except DecodeError as error:
                raise error_from_failure(Failure(failures.ANSWER_INVALID, "it is no WatchDecisionResponse")) from error
            else:
                return
            await asyncio.sleep(delay)

    async def wait_for_approval(
        self,
        decision: Decision | str,
        timeout: float,  # noqa: ASYNC109 - seconds of the whole watch, handed to gRPC
        *,
        tenant: str | None = None,
    ) -> DecisionChange | None:
        """What people decided, as soon as they did; see `Client.wait_for_approval`."""
        try:
            async with aclosing(self.watch_decision(decision, tenant=tenant, timeout=timeout)) as changes:
                async for change in changes:
                    if is_final(change):
                        return change
        except CallFailedError as error:
            if not is_timeout(error.failure):
                raise
        return None

    async def _stream(self, method: str, raw: bytes, seconds: float | None) -> AsyncGenerator[bytes, None]:
        """The messages of one connection."""
        call = self._connected().unary_stream(method, None, None)(raw, timeout=seconds)
        try:
            async for each in call:
                yield each
        except grpc.aio.UsageError:
            raise error_from_failure(CLOSED) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """End the connection."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, channel in list(self._channels.items()):
            if loop is here:
                await channel.close(None)
            elif not loop.is_closed():  # a channel belongs to its loop; what is gone takes its channel with it
                asyncio.run_coroutine_threadsafe(channel.close(None), loop)

    async def _ask(self, asked: PreparedCall, seconds: float | None, on_failure: OnFailure | None) -> list[Decision]:
        attempts, failing = Attempts(self._defaults.seconds(seconds)), self._defaults.failing(on_failure)
        answer = asked.failure or await self._call(asked, attempts)
        return asked.decisions(answer, failing)

    async def _call(self, asked: PreparedCall, attempts: Attempts) -> bytes | Failure:
        while True:
            answer = await self._try(asked, attempts.remaining())
            if not isinstance(answer, Failure):
                return answer
            delay = attempts.delay_after(answer)
            if delay is None:
                return answer
            await asyncio.sleep(delay)

    async def _try(self, asked: PreparedCall, seconds: float) -> bytes | Failure:
        if not seconds > 0:
            return Failure(failures.TIMEOUT)
        try:
            ask = self._connected().unary_unary(asked.method, None, None)
            answer: bytes = await ask(asked.raw, timeout=seconds, metadata=asked.metadata)
        except CallFailedError as error:
            return error.failure
        except grpc.aio.AioRpcError as error:
            return failure_from_rpc_error(error)
        except grpc.aio.UsageError:
            return CLOSED
        return answer

    def _connected(self) -> grpc.aio.Channel:
        """The channel of the loop that runs. CallFailedError when there can be none."""
        if self._closed:
            raise error_from_failure(CLOSED)
        if fork.is_lost():
            raise error_from_failure(fork.FORKED)
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            fork.note_channel(polling=True)
            self._channels[loop] = self._made()
        return self._channels[loop]

    def _made(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, options=OPTIONS)
        return grpc.aio.secure_channel(self._address, self._credentials, options=OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
