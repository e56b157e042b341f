"""How a call is taken: bytes parsed here, so that a malformed message is INVALID_ARGUMENT; no inner text ever sent."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from placet.kernel.errors import FieldViolation, InvalidRequestError, PlacetError
from placet.scheduling.slices import in_slices
from placet.transport.grpc.errors import failed, refuse
from placet.transport.grpc.reading import reading

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from google.protobuf.message import Message

    from placet.transport.grpc.context import Context

MALFORMED = InvalidRequestError(
    [FieldViolation("", "is not a valid message of this method: truncated, or a text that is not UTF-8")]
)


def unary(
    method: Callable[[Any, Context], Awaitable[Message]],
    asked: type[Message],
    on_error: Callable[[BaseException], None],
    on_malformed: Callable[[Context], Awaitable[None]] | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler that turns what `method` raises into a status; `on_malformed` records what could not be read."""

    async def handle(raw: bytes, context: Context) -> Message:
        try:
            try:
                message = await in_slices(reading(asked, raw))
            except (DecodeError, InvalidRequestError) as error:
                if on_malformed is not None:
                    await on_malformed(context)
                await refuse(context, error if isinstance(error, InvalidRequestError) else MALFORMED, asked)
            return await method(message, context)
        except PlacetError as error:
            await refuse(context, error, asked)
        except grpc.aio.AbortError:
            raise
        except Exception as fault:  # noqa: BLE001 - told to the log in full, to the caller without inner text
            on_error(fault)
            await failed(context)

    return grpc.unary_unary_rpc_method_handler(handle, None, lambda reply: reply.SerializeToString())


def streaming(
    method: Callable[[Any, Context], AsyncGenerator[Message]],
    asked: type[Message],
    on_error: Callable[[BaseException], None],
    on_malformed: Callable[[Context], Awaitable[None]],
) -> grpc.RpcMethodHandler[Any, Any]:
    """As `unary`, of a call that is answered by many messages. However it ends, `method` is closed."""

    async def handle(raw: bytes, context: Context) -> None:
        try:
            try:
                message = await in_slices(reading(asked, raw))
            except (DecodeError, InvalidRequestError) as error:
                await on_malformed(context)
                await refuse(context, error if isinstance(error, InvalidRequestError) else MALFORMED, asked)
            async with contextlib.aclosing(method(message, context)) as replies:
                async for reply in replies:
                    await context.write(reply)
        except PlacetError as error:
            await refuse(context, error, asked)
        except grpc.aio.AbortError:
            raise
        except Exception as fault:  # noqa: BLE001 - told to the log in full, to the caller without inner text
            on_error(fault)
            await failed(context)

    return grpc.unary_stream_rpc_method_handler(handle, None, lambda reply: reply.SerializeToString())
