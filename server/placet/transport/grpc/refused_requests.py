"""Who calls, and the record of a request that broke the contract."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from placet.audit.decision_codec import invalid_request_commitment
from placet.kernel.errors import InvalidRequestError
from placet.kernel.model import Caller
from placet.scheduling.fair_queue import Flow
from placet.transport.grpc.handlers import MALFORMED, streaming, unary
from placet.transport.grpc.messages.fields import tenant_or_nothing
from placet.v1.control_pb2 import SetKillSwitchRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import grpc
    from google.protobuf.message import Message

    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.clock import Clock
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context


@dataclass(frozen=True, slots=True)
class RefusalLog:
    """Records refused requests. LedgerUnavailableError when it cannot."""

    refusals: Batcher[Commitment, CommitResult]
    clock: Clock

    async def malformed(self, context: Context) -> None:
        """Record bytes that are no message."""
        await self.refused("", "", MALFORMED, context)

    async def refused(self, method: str, tenant: str, error: InvalidRequestError, context: Context) -> None:
        """Record that a request was refused; `method` and `tenant` are "" when they could not be read."""
        caller = caller_of(context)
        commitment = invalid_request_commitment(
            tenant_or_nothing(tenant), caller, method, error.violations, self.clock.wall_us()
        )
        await self.refusals.submit([commitment], Flow(caller=caller.peer))

    def unary(
        self,
        method: Callable[[Any, Context], Awaitable[Message]],
        asked: type[Message],
        on_error: Callable[[BaseException], None],
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """As `handlers.unary`, and whatever is wrong with a request is recorded."""

        async def call(message: Message, context: Context) -> Message:
            try:
                return await method(message, context)
            except InvalidRequestError as error:
                await self._record(message, error, context)
                raise

        return unary(call, asked, on_error, self.malformed)

    def streaming(
        self,
        method: Callable[[Any, Context], AsyncGenerator[Message]],
        asked: type[Message],
        on_error: Callable[[BaseException], None],
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """As `handlers.streaming`, and whatever is wrong with a request is recorded."""

        async def call(message: Message, context: Context) -> AsyncGenerator[Message]:
            try:
                async with aclosing(method(message, context)) as replies:
                    async for reply in replies:
                        yield reply
            except InvalidRequestError as error:
                await self._record(message, error, context)
                raise

        return streaming(call, asked, on_error, self.malformed)

    async def _record(self, message: Message, error: InvalidRequestError, context: Context) -> None:
        named = message.scope if isinstance(message, SetKillSwitchRequest) else message
        method = type(message).__name__.removesuffix("Request")
        await self.refused(method, str(getattr(named, "tenant", "")), error, context)


def caller_of(context: Context) -> Caller:
    """Who calls, as far as it is known."""
    return Caller(peer=context.peer())
