"""Fixtures of the tests that ask an OPA."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.opa.lying_opa import LyingOpa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def lying_opa(tmp_path: Path) -> AsyncIterator[LyingOpa]:
    opa = LyingOpa(tmp_path / "opa.sock")
    server = await asyncio.start_unix_server(opa.serve, str(opa.path))
    yield opa
    server.close()
