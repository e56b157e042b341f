"""The servicer of grpc.health.v1. Its Watch streams end when the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import _async  # what `health.aio` is, where type checkers see it

if TYPE_CHECKING:
    from grpc_health.v1 import health_pb2

LAST_WORD_SECONDS: Final = 0.2
"""Time for a Watch stream to send NOT_SERVING before it ends."""


class Health(_async.HealthServicer):  # type: ignore[misc] # published without types
    """Answers Check and Watch. Call `end_watching` after `enter_graceful_shutdown`."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = asyncio.Event()

    def end_watching(self) -> None:
        """End all Watch streams. A stop waits for every call, so an open stream would use up the grace period."""
        self._ending.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: ANN401, N802 - as gRPC has it
        """Stream the changes of health until the caller or the server ends the stream."""
        watching = asyncio.create_task(super().Watch(request, context))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({watching}, timeout=LAST_WORD_SECONDS)
        finally:
            ending.cancel()
            watching.cancel()
        if watching.done() and not watching.cancelled():
            watching.result()
