"""Uses an asyncio client like a blocking one, so that one test covers both."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from placet import sdk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

_Client = TypeVar("_Client")


class InLoop:
    """An asyncio client in its own event loop: each method blocks until it has its result."""

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            return (
                self._iterate(cast("AsyncGenerator[Any, None]", result))
                if inspect.isasyncgen(result)
                else self._runner.run(result)
            )

        return call

    def _iterate(self, items: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
        try:
            while True:
                try:
                    yield self._runner.run(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(items.aclose())


@contextmanager
def connected(kind: type[_Client], address: str, *, use_asyncio: bool, **keywords: Any) -> Iterator[_Client]:
    """A client of this class, or the asyncio client with the same methods."""
    if not use_asyncio:
        with cast("Any", kind)(address, **keywords) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        client = InLoop(getattr(sdk, f"Async{kind.__name__}")(address, **keywords), runner)
        try:
            yield cast("_Client", client)
        finally:
            client.close()
