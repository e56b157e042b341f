"""Fixtures of all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server


@pytest.fixture(scope="session")
def placet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the shipped policies, real OPA and SQLite, reached over gRPC or from within."""
    with serving(settings(tmp_path_factory.mktemp("placet"))) as server:
        yield server
