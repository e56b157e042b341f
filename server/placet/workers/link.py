"""A worker's connection to its supervisor: follows what the supervisor says, and asks it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import WATCH_READ_GAP_MS
from placet.workers.messages import (
    Accepts,
    AwaitsPolicy,
    CheckPolicy,
    Done,
    FollowPolicy,
    Ping,
    Prepare,
    RecordsStored,
    Retire,
    Serve,
    Stop,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from placet.engine.shared import SharedPolicies
    from placet.server.observer import ServerObserver
    from placet.storage.ledger import ThreadedLedger
    from placet.workers.messages import Channel

TELL_GAP_SECONDS: Final = WATCH_READ_GAP_MS / 1_000
"""Smallest interval of messages that records were stored: watchers do not read more often."""


class SupervisorLink:
    """The worker's end of the channel. Run `run` until the worker has ended."""

    def __init__(self, channel: Channel, observer: ServerObserver) -> None:
        self._channel = channel
        self._observer = observer
        self._policies: SharedPolicies | None = None
        self._ledger: ThreadedLedger | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling = False
        self._stopping = False

    def follow_policies(self, policies: SharedPolicies) -> None:
        """Make the policies follow the supervisor."""
        self._policies = policies

    def share_events(self, ledger: ThreadedLedger) -> None:
        """Tell the other processes of records that this one stores, and wake its watchers for theirs.

        For SQLite, which sends no notifications: other watchers would see the records only at their next poll.
        """
        self._ledger = ledger
        ledger.tell_others(self._tell_stored)

    def await_policy(self) -> None:
        """Tell the supervisor that the policies may be served."""
        self._channel.send(AwaitsPolicy())

    def accept_calls(self) -> None:
        """Tell the supervisor that calls are accepted."""
        self._channel.send(Accepts())

    def stopping(self) -> None:
        """Note that the worker stops already."""
        self._stopping = True

    async def check_policy(self) -> None:
        """Make the supervisor look for a new policy. Returns when this worker serves the result."""
        number = self._channel.number()
        self._channel.send(CheckPolicy(number))
        if error := await self._channel.answer(number):
            self._observer.log.warning("policy not checked", cause=error)

    async def run(self) -> None:
        """Follow the supervisor until it has ended. Raises EOFError then."""
        while True:
            match await self._channel.receive():
                case Done() as done:
                    self._channel.answered(done)
                case Ping(number):
                    self._channel.send(Done(number))
                case FollowPolicy(status, confirmed_at):
                    await self._source().follow(status, confirmed_at)
                case Prepare(number, shared):
                    self._do(number, self._source().prepare(shared))
                case Serve(number, revision, address):
                    self._do(number, self._source().serve(revision, address))
                case Retire(number):
                    self._do(number, self._source().retire())
                case RecordsStored() if self._ledger is not None:
                    self._ledger.stored_elsewhere()
                case Stop() if not self._stopping:
                    os.kill(os.getpid(), signal.SIGTERM)

    def _source(self) -> SharedPolicies:
        if self._policies is None:
            raise AssertionError("the supervisor relays the policy of a managed OPA only")
        return self._policies

    def _do(self, number: int, step: Awaitable[None]) -> None:
        """Do a step beside the next messages, and answer when it is done."""

        async def do() -> None:
            error = ""
            try:
                await step
            except Exception as failure:  # noqa: BLE001 - reported here and to the supervisor, which kills this worker
                self._observer.error(failure)
                error = str(failure) or type(failure).__name__
            self._channel.send(Done(number, error))

        self._spawn(do())

    def _tell_stored(self) -> None:
        """Tell the supervisor once for all records of TELL_GAP_SECONDS."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_later(TELL_GAP_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = False
        self._channel.send(RecordsStored())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
