"""How a change that people ask for is made: from what was read, by compare-and-set, again when others were quicker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from placet.commands.records import control_refused
from placet.commands.transitions import change
from placet.kernel.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import CONTROL_TRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.clock import Clock

T = TypeVar("T")
NOT_FOUND = "NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What to commit, and the answer when that holds."""

    commitment: Commitment
    answer: T


class CachedControls(Protocol):
    """What is held in memory of controls."""

    def forget(self, tenants: Iterable[str]) -> None:
        """Read the controls of these tenants anew."""
        ...


class ControlCommands:
    """Makes changes one after another, so that those of this server do not race each other."""

    def __init__(self, ledger: Ledger, clock: Clock, state: CachedControls) -> None:
        self.ledger = ledger
        self.clock = clock
        self.state = state
        self._turn = asyncio.Lock()

    async def make(self, wish: ChangeCommand, attempt: Callable[[int], Awaitable[Step[T]]]) -> T:
        """Commit what `attempt` finds is to be done at the time that it is given, and give its answer.

        Raises what `attempt` raises: a refusal (NotFoundError, PermissionDeniedError, FailedPreconditionError) is
        recorded before that.
        AbortedError when others were quicker each time; LedgerUnavailableError when nothing could be committed.
        """
        async with self._turn:
            try:
                return await change(self.ledger, lambda: self._attempt(wish, attempt), CONTROL_TRIES_MAX)
            finally:
                self.state.forget({wish.tenant})

    async def _attempt(self, wish: ChangeCommand, attempt: Callable[[int], Awaitable[Step[T]]]) -> tuple[Commitment, T]:
        now_us = self.clock.wall_us()
        try:
            step = await attempt(now_us)
        except NotFoundError:
            await self.ledger.commit([control_refused(wish, NOT_FOUND, now_us)])
            raise
        except (PermissionDeniedError, FailedPreconditionError) as refused:
            await self.ledger.commit([control_refused(wish, refused.reason, now_us)])
            raise
        return step.commitment, step.answer
