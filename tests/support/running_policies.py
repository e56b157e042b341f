"""A source of policy that runs in a test."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from placet.server.parts.policies import RunningPolicies


@contextlib.asynccontextmanager
async def run_policies(policies: RunningPolicies) -> AsyncIterator[None]:
    """Start the source and run it for the duration of the block. It must not end by itself."""
    await policies.start()
    running = asyncio.create_task(policies.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
        await policies.close()
        assert running.cancelled(), "it ended by itself"
