"""Fixtures for tests over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.transport.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server


@pytest.fixture
def wire(placet_server: Server) -> Iterator[Wire]:
    connected = Wire(placet_server.address)
    yield connected
    connected.close()
