"""Messages between the supervisor and a worker, and the channel that carries them.

Both ends run the same code, and the channel is a socket pair that no other process can open: so messages are pickled.
"""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from placet.engine.http import Address
    from placet.engine.shared import SharedRevision
    from placet.revisions.status import PolicyStatus
    from placet.server.settings.model import Settings

_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Begin:
    """To the worker, first: what it is."""

    settings: Settings  # of this worker
    listen: str  # the address that all workers share
    mtls_listen: str  # likewise; empty for none
    metrics_dir: Path | None


@dataclass(frozen=True, slots=True)
class Prepare:
    """To the worker: prepare to serve this revision. Answered by Done."""

    number: int
    shared: SharedRevision


@dataclass(frozen=True, slots=True)
class Serve:
    """To the worker: serve the prepared revision from now on. Answered by Done."""

    number: int
    revision: str
    address: Address  # of its OPA


@dataclass(frozen=True, slots=True)
class Retire:
    """To the worker: end the queries to replaced revisions. Answered by Done."""

    number: int


@dataclass(frozen=True, slots=True)
class FollowPolicy:
    """To the worker: the status of the served policy."""

    status: PolicyStatus
    confirmed_at: float  # when its source was last seen, in monotonic seconds


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: finish the running calls and end."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To the worker: answer with Done, to show that the event loop runs."""

    number: int


@dataclass(frozen=True, slots=True)
class RecordsStored:
    """From a worker, and on to all others: a record with a subject was stored."""


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """To the supervisor: look for a new policy now. Answered by Done when this worker serves the result."""

    number: int


@dataclass(frozen=True, slots=True)
class AwaitsPolicy:
    """To the supervisor: the ledger is open, and the policy can be served."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """To the supervisor: the worker accepts calls."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a message with this number."""

    number: int
    error: str = ""  # what went wrong; "" when it was done


class Channel:
    """One end of a socket pair. Belongs to one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._closed = False

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Return a channel over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: object) -> None:
        """Send a message soon. It is lost when the other process has ended, which `receive` then reports."""
        if self._closed or self._writer.is_closing():  # the loop may see the end of the other process first
            return
        content = pickle.dumps(message)
        self._writer.write(len(content).to_bytes(_LENGTH_BYTES) + content)

    async def receive(self) -> object:
        """Return the next message. Raises EOFError when the other process has ended."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES))
            content = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise EOFError("the other process has ended") from error
        return pickle.loads(content)  # noqa: S301 - written by the same program, see above

    def number(self) -> int:
        """Return a number for a message that is answered by Done."""
        self._numbers += 1
        return self._numbers

    async def answer(self, number: int) -> str:
        """Wait for the answer to the message with the number, and return its error.

        Call `answered` for each Done that is received. Raises EOFError when the other process has ended.
        """
        if self._closed:
            raise EOFError("the other process has ended")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            return await future
        finally:
            del self._waiting[number]

    def answered(self, done: Done) -> None:
        """Pass an answer on to the one who waits for it."""
        if (future := self._waiting.get(done.number)) is not None and not future.done():
            future.set_result(done.error)

    def close(self) -> None:
        """Close this end. Those who wait for an answer get EOFError."""
        self._closed = True
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EOFError("the other process has ended"))
