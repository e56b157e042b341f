"""An OPA that lies: it answers what the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path

Script = Callable[[bytes], Awaitable[bytes]]


class LyingOpa:
    """Answers each request with the bytes that `script` gives for its body; empty bytes close the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bodies: list[bytes] = []
        self.script: Script | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def always(self, raw: bytes) -> None:
        async def script(_body: bytes) -> bytes:
            return raw

        self.script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
