"""Tracks gRPC's state across forks of the process.

On a fork, gRPC stops its threads and restarts them in the child, but only if it was idle. If it was not, every call in
the child blocks forever, also a call of a new client, and nothing can repair it. The SDK then fails such calls at once.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

import grpc

from placet.sdk import failures
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

FORKED: Final = Failure(
    failures.ERROR,
    "gRPC was in use when this process was forked, and cannot work in it. Fork before an asyncio client is used and "
    "while no call is in progress, or start processes with the spawn method of multiprocessing",
)
END_SECONDS: Final = 1.0
"""How long a fork waits until gRPC is done with a stream that is ended before it."""
SWITCHED_OFF: Final = frozenset({"0", "false", "no", "n", "f", "off"})
"""Values of GRPC_ENABLE_FORK_SUPPORT that disable gRPC's fork handlers."""


class Endable(Protocol):
    """A stream that is opened again when it is needed."""

    def end_if_idle(self, seconds: float) -> None:
        """End the stream unless it is in use, and wait up to `seconds` until gRPC is done with it."""


class _Process:
    """How this process has used gRPC. A child process starts with a copy of its parent's state."""

    def __init__(self) -> None:
        self.generation = 0
        self.unusable = False
        self.used = False
        self.polling = False
        self.calls_in_progress: set[object] = set()
        self.grpc_in_use: object = None
        """Keeps gRPC initialised: see `record_channel`."""
        self.streams: WeakSet[Endable] = WeakSet()

    def end_streams(self) -> None:
        """End the streams that are idle before a fork, so that gRPC is idle too."""
        for stream in list(self.streams):
            stream.end_if_idle(END_SECONDS)

    def begin_child(self) -> None:
        """Decide in the child whether gRPC is usable, from the state of the parent."""
        unsupported = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in SWITCHED_OFF
        busy = self.polling or bool(self.calls_in_progress)
        self.unusable = self.unusable or busy or (self.used and unsupported)
        self.generation += 1
        self.calls_in_progress.clear()
        self.streams.clear()


_process: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_process.end_streams, after_in_child=_process.begin_child)


def generation() -> int:
    """Return the number of forks between the import of the SDK and this process. A channel belongs to one of them."""
    return _process.generation


def is_unusable() -> bool:
    """Tell whether gRPC cannot work in this process."""
    return _process.unusable


def record_channel(*, polling: bool) -> None:
    """Record that a channel is opened. `polling`: from now on a thread of gRPC's asyncio part is always busy.

    Keeps gRPC initialised for the rest of the process. Otherwise gRPC shuts down in a thread after its last channel is
    dropped, and a child that is forked during the shutdown waits forever for a lock that the thread held.
    """
    _process.used = True
    if _process.grpc_in_use is None:
        _process.grpc_in_use = grpc.local_server_credentials()  # the cheapest object that keeps gRPC in use
    _process.polling = _process.polling or polling


def end_before(stream: Endable) -> None:
    """End the stream before each fork, as long as it exists."""
    _process.streams.add(stream)


@contextlib.contextmanager
def call_in_progress() -> Iterator[None]:
    """Record a call for the duration of the block."""
    call = object()
    _process.calls_in_progress.add(call)
    try:
        yield
    finally:
        _process.calls_in_progress.discard(call)
