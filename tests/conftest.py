"""Fixtures of all tests."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.postgres import postgres
from tests.serving import serving, settings
from tests.support.bundle_cache import bundle_cache
from tests.support.quick_schema import quick_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Postgres
    from tests.serving import Server

# A busy machine makes no property wrong: neither the time of one example nor the time to draw it fails a test.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main() -> Iterator[None]:
    # Servers that tests start take a quarter less time when they find compiled modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with bundle_cache(), quick_schemas():
        return (yield)


@pytest.fixture(scope="session")
def placet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the shipped policies, real OPA and SQLite. Tests call it over gRPC or use its parts."""
    with serving(settings(tmp_path_factory.mktemp("placet"))) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server that all tests share: they must not stop or reconfigure it."""
    with postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """The URL of an empty database."""
    return postgres_server.url(postgres_server.new_database())


@pytest.fixture
def unused_address() -> Iterator[str]:
    """An address that refuses connections, reserved for this test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
