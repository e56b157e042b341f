"""The connections of one client to its OPA. As many as there are requests in flight; idle ones are used again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.engine.http import AnswerTooLargeError, Connection, ConnectionFailedError

if TYPE_CHECKING:
    from placet.engine.http import Address

IDLE_MAX: Final = 8
"""Idle connections that are kept: those of a few overlapping batches and of the slow lane."""


class Connections:
    """Connections to one OPA."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[Connection] = []

    def __len__(self) -> int:
        """Return the number of idle connections."""
        return len(self._idle)

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return the status and body of the response. When an idle connection is stale, retry once over a new one.

        A request that is cancelled closes its connection, which makes OPA stop its evaluation. Raises what
        `Connection.open` and `Connection.request` raise.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                try:
                    return await self._request_over(connection, method, path, body)
                except ConnectionFailedError:
                    break
        return await self._request_over(await Connection.open(self._address), method, path, body)

    async def answers(self, seconds: float) -> bool:
        """Return whether OPA answers anything at all within so many seconds. Evaluates no policy."""
        try:
            async with asyncio.timeout(seconds):
                await self.request("GET", "/health")
        except (OSError, ConnectionFailedError, AnswerTooLargeError):  # TimeoutError is an OSError
            return False
        return True

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _request_over(self, connection: Connection, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        answer = await connection.request(method, path, body)
        if len(self._idle) < IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.close()
        return answer
