"""What becomes of gRPC in a process that was forked.

gRPC stops its threads for a fork, and starts them again in the child, only when none of its work is under way.
Otherwise its calls never end in the child, those of new clients included, and nobody can mend that: they are refused.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import grpc

from placet.sdk import failures
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

FORKED: Final = Failure(
    failures.ERROR,
    "gRPC was at work when this process was forked, and cannot be used in it; fork before the first AsyncClient and "
    "while no call is under way, or start processes by multiprocessing's spawn",
)
SWITCHED_OFF: Final = frozenset({"0", "false", "no", "n", "f", "off"})
"""Values of GRPC_ENABLE_FORK_SUPPORT by which gRPC does nothing for a fork."""


class _Process:
    """What this process did with gRPC. A child starts with a copy of its parent's."""

    def __init__(self) -> None:
        self.generation = 0
        self.lost = False
        self.used = False
        self.polling = False
        self.under_way: set[object] = set()
        self.grpc_in_use: object = None
        """Keeps gRPC initialised, see `note_channel`."""

    def begin_child(self) -> None:
        """In the child: judge by what the parent was doing."""
        unsupported = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in SWITCHED_OFF
        self.lost = self.lost or self.polling or bool(self.under_way) or (self.used and unsupported)
        self.generation += 1
        self.under_way.clear()


_process: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.begin_child)


def generation() -> int:
    """How many forks led to this process since the SDK was imported. A channel is good for one."""
    return _process.generation


def is_lost() -> bool:
    """Whether gRPC cannot work in this process."""
    return _process.lost


def note_channel(*, polling: bool) -> None:
    """A channel is made; with `polling`, a thread of gRPC's asyncio part waits for it from now on.

    Keeps gRPC initialised for the rest of the process. Otherwise gRPC shuts down in a thread when its last channel is
    dropped, and a process that is forked during that shutdown waits for ever for the lock that the thread holds.
    """
    _process.used = True
    if _process.grpc_in_use is None:
        _process.grpc_in_use = grpc.local_server_credentials()  # the cheapest object that counts as a use
    _process.polling = _process.polling or polling


@contextlib.contextmanager
def call_under_way() -> Iterator[None]:
    """A call for the time of the block."""
    call = object()
    _process.under_way.add(call)
    try:
        yield
    finally:
        _process.under_way.discard(call)
