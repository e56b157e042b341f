from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any, cast

import pytest

from placet.server import lifecycle
from placet.server.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _collector() -> Any:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@contextlib.asynccontextmanager
async def _opening(_settings: Settings, seen: list[bool], error: Exception | None = None) -> AsyncIterator[Any]:
    seen.append(gc.isenabled())
    if error is not None:
        raise error
    yield cast("Any", None)


def _serve(folder: Path, seen: list[bool], error: Exception | None = None) -> int:
    async def when_ready(_server: object) -> bool:
        seen.append(gc.isenabled())
        return False

    async def serve() -> int:
        return await lifecycle.serve(
            Settings(data_dir=folder), when_ready, opening=lambda settings: _opening(settings, seen, error)
        )

    return asyncio.run(serve())


def test_garbage_is_collected_once_the_server_is_ready(tmp_path: Path) -> None:
    seen: list[bool] = []
    assert _serve(tmp_path, seen) == 0
    assert seen == [False, True], "not while the policy is read, but when decisions are made"


def test_garbage_is_collected_after_a_start_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no policy"):
        _serve(tmp_path, [], RuntimeError("no policy"))
    assert gc.isenabled()
