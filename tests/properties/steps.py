"""Measures how much an event loop does in one callback: calls, which are exact, and CPU time, which is not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@dataclass
class Longest:
    """Maxima over all callbacks of a loop."""

    calls: int = 0  # in one callback
    seconds: float = 0.0  # of one callback, in CPU time
    all_calls: int = 0  # in all callbacks together

    @contextlib.contextmanager
    def step(self, *, counted: bool) -> Iterator[None]:
        """Measure one callback."""
        calls = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        before = sys.getprofile()
        started = time.thread_time()
        if counted:
            sys.setprofile(count)
        try:
            yield
        finally:
            if counted:
                sys.setprofile(before)
            self.seconds = max(self.seconds, time.thread_time() - started)
            self.calls = max(self.calls, calls)
            self.all_calls += calls


def measured(work: Callable[[], Coroutine[Any, Any, object]], *, counted: bool) -> Longest:
    """Run `work` in a new loop and measure each callback. With `counted`, count calls too, which is slower."""
    longest = Longest()

    class Measured(asyncio.SelectorEventLoop):
        def call_soon(  # type: ignore[override]
            self, callback: Any, *arguments: Any, context: Any = None
        ) -> asyncio.Handle:
            def run(*values: Any) -> None:
                with longest.step(counted=counted):
                    callback(*values)

            return super().call_soon(run, *arguments, context=context)

    with asyncio.Runner(loop_factory=Measured) as runner:
        runner.run(work())
    return longest
