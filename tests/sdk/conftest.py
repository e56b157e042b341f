"""A scripted server, and clients of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.sdk import AsyncClient, Client
from tests.sdk.both import Both
from tests.sdk.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer().start()
    yield scripted
    scripted.stop()


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.address, timeout=10) as connected:
        yield connected


@pytest.fixture
async def async_client(server: ScriptedServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address, timeout=10) as connected:
        yield connected


@pytest.fixture(params=["blocking", "asyncio", "blocking-stream", "asyncio-stream"])
def both(request: pytest.FixtureRequest, server: ScriptedServer) -> Both:
    return Both(
        server.address, request.param.startswith("asyncio"), "stream" if request.param.endswith("stream") else "unary"
    )
