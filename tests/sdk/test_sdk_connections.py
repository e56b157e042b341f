"""Connections: closed clients, many calls at once, cancellation, proxies."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from placet.sdk import (
    AsyncClient,
    Client,
)
from tests.sdk.both import ACTION, IDENTITY, Both
from tests.sdk.scripted_server import (
    AUTHORIZE,
    ScriptedServer,
    allow,
    late,
)

if TYPE_CHECKING:
    import grpc


def test_a_closed_client_denies(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = Client(server.address)
    assert client.authorize(ACTION, IDENTITY).allowed
    client.close()
    assert client.authorize(ACTION, IDENTITY).rule_id == "pdp.client_error"


async def test_a_closed_asyncio_client_denies(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = AsyncClient(server.address)
    assert (await client.authorize(ACTION, IDENTITY)).allowed
    await client.close()
    assert (await client.authorize(ACTION, IDENTITY)).rule_id == "pdp.client_error"
    await client.close()


async def test_many_calls_at_once_on_one_client(async_client: AsyncClient, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    result = await asyncio.gather(*(async_client.authorize(ACTION, IDENTITY) for _ in range(50)))
    assert all(each.allowed for each in result)
    assert len({each.idempotency_key for each in server.authorized()}) == 50


async def test_cancelling_a_task_cancels_the_call(async_client: AsyncClient, server: ScriptedServer) -> None:
    gone, begun = threading.Event(), threading.Event()

    def wait(raw: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(gone.set)
        begun.set()
        return late()(raw, context)

    server.script(AUTHORIZE, wait)
    task = asyncio.create_task(async_client.authorize(ACTION, IDENTITY))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(gone.wait, 10)


def test_proxy_settings_are_ignored(
    both: Both, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, unused_address: str
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{unused_address}")
    monkeypatch.setenv("grpc_proxy", f"http://{unused_address}")
    server.script(AUTHORIZE, allow())
    assert both.authorize(timeout=3).allowed
