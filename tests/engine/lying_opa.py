"""An OPA that lies: it answers what the test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Script = Callable[[bytes], Awaitable[bytes]]


class LyingOpa:
    """Answers each request with the bytes that `script` gives for its body; empty bytes close the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bodies: list[bytes] = []
        self.script: Script | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        """It answers until the end of the block; then whoever still waits for an answer is cut off."""
        server = await asyncio.start_unix_server(self.serve, str(self.path))
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def always(self, raw: bytes) -> None:
        async def script(_body: bytes) -> bytes:
            return raw

        self.script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                body = await reader.readexactly(length)
                self.bodies.append(body)
                assert self.script is not None
                answer = await self.script(body)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.close()


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def decisions(count: int, revision: str = "r1") -> bytes:
    finding = {"effect": "allow", "rule_id": "a.b", "reason": "because", "details": {}}
    decision = {"effect": "allow", "rule_id": "a.b", "findings": [finding]}
    result = {str(index): decision for index in range(count)}
    return orjson.dumps({"provenance": {"bundles": {"b": {"revision": revision}}}, "result": result})
