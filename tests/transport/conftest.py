"""Fixtures for tests over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.transport.authenticated import Callers
from tests.transport.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server


@pytest.fixture(scope="module")
def server(placet_server: Server) -> Server:
    """The server that is called. A module that needs another one has a fixture of this name."""
    return placet_server


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    connected = Wire(server.address)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def callers(server: Server) -> Iterator[Callers]:
    """Callers of a server that authenticates them by `NamedPrincipals`."""
    made = Callers(server)
    yield made
    made.channel.close()
