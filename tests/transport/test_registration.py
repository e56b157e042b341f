"""How the methods of the server are registered with gRPC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from placet.transport.grpc.server import SERVICES
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from tests.serving import Server


async def waiting_for_calls() -> int:
    """Return how many tasks of grpc.aio wait for a call. It examines them all after each call."""
    return sum("_request_registered_call" in repr(task) for task in asyncio.all_tasks())


def test_no_method_has_a_task_that_waits_for_its_calls(placet_server: Server, wire: Wire) -> None:
    wire.authorize(request())
    assert placet_server.run(waiting_for_calls()) == 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_method_that_does_not_exist_is_unimplemented(wire: Wire, service: str) -> None:
    for method in (f"/{service}/NoSuchMethod", "/placet.v1.NoService/Authorize"):
        with pytest.raises(Refusal) as refused:
            wire.raw(method, b"")
        assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED
