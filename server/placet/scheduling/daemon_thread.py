"""Runs blocking work in a daemon thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def run_in_daemon_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run `work` in a daemon thread with this name. Returns a future of its result.

    The process does not wait for daemon threads when it exits: the look-up of a host name may hang in one for long.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not future.done():
            set_it()

    def run() -> None:
        try:
            set_it = partial(future.set_result, work())
        except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
            set_it = partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so the future is not awaited any more
            loop.call_soon_threadsafe(settle, set_it)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
