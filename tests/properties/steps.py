"""How much an event loop does in one go: calls, which are counted exactly, and processor time, which is not."""

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
    """Of all callbacks that the loop ran: the most calls in one, the most seconds in one, calls in all."""

    calls: int = 0
    seconds: float = 0.0
    all_calls: int = 0

    @contextlib.contextmanager
    def step(self, *, counted: bool) -> Iterator[None]:
        """One callback."""
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
    """Run it in a loop of its own, each callback of which is measured. `counted`: calls, which makes it slower."""
    longest = Longest()

    class Measured(asyncio.SelectorEventLoop):
        def call_soon(  # type: ignore[override]
            self, callback: Any, *arguments: Any, context: Any = None
        ) -> asyncio.Handle:
            def run(*given: Any) -> None:
                with longest.step(counted=counted):
                    callback(*given)

            return super().call_soon(run, *arguments, context=context)

    with asyncio.Runner(loop_factory=Measured) as runner:
        runner.run(work())
    return longest
