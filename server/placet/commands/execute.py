"""Executes change commands: read the state, plan the change, commit it by compare-and-set, retry after a conflict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from placet.audit.records import Conflict
from placet.commands.records import control_refused
from placet.kernel.errors import AbortedError, FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import COMMIT_TRIES_MAX, CONTROL_TRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.clock import Clock

T = TypeVar("T")
NOT_FOUND = "NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """A planned change: the commitment, and the result of the command once it is committed."""

    commitment: Commitment
    result: T


class CachedControls(Protocol):
    """The controls that are cached in memory."""

    def forget(self, tenants: Iterable[str]) -> None:
        """Drop the controls of these tenants, so that they are read again."""
        ...


class ControlCommands:
    """Executes commands one after another, so that commands of this server do not conflict with each other."""

    def __init__(self, ledger: Ledger, clock: Clock, state: CachedControls) -> None:
        self.ledger = ledger
        self.clock = clock
        self.state = state
        self._turn = asyncio.Lock()

    async def execute(self, command: ChangeCommand, attempt: Callable[[int], Awaitable[Plan[T]]]) -> T:
        """Commit the plan that `attempt` makes for the current time, and return its result.

        Raises the errors of `attempt`. The refusals among them (NotFoundError, PermissionDeniedError,
        FailedPreconditionError) are recorded first. Raises AbortedError when all CONTROL_TRIES_MAX tries conflicted,
        and LedgerUnavailableError when nothing could be committed.
        """
        async with self._turn:
            try:
                return await commit_with_retry(self.ledger, lambda: self._attempt(command, attempt), CONTROL_TRIES_MAX)
            finally:
                self.state.forget({command.tenant})

    async def _attempt(
        self, command: ChangeCommand, attempt: Callable[[int], Awaitable[Plan[T]]]
    ) -> tuple[Commitment, T]:
        now_us = self.clock.wall_us()
        try:
            plan = await attempt(now_us)
        except NotFoundError:
            await self.ledger.commit([control_refused(command, NOT_FOUND, now_us)])
            raise
        except (PermissionDeniedError, FailedPreconditionError) as refused:
            await self.ledger.commit([control_refused(command, refused.reason, now_us)])
            raise
        return plan.commitment, plan.result


async def commit_with_retry(
    ledger: Ledger,
    attempt: Callable[[], Awaitable[tuple[Commitment | None, T]]],
    tries_max: int = COMMIT_TRIES_MAX,
) -> T:
    """Commit what `attempt` computes from the current state, and return its result.

    `attempt` returns a commitment, or None when there is nothing to commit, and the result. It is called again after
    each conflict. Raises the errors of `attempt`, AbortedError after `tries_max` conflicts, and LedgerUnavailableError.
    """
    for _ in range(tries_max):
        commitment, result = await attempt()
        if commitment is None:
            return result
        [committed] = await ledger.commit([commitment])
        if not isinstance(committed, Conflict):
            return result
    raise AbortedError(f"the state changed during each of {tries_max} tries; send the same request again")
