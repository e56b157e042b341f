"""Changes state outside of decisions: read, compute, commit, and retry after a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from placet.audit.records import Conflict
from placet.kernel.errors import AbortedError
from placet.kernel.limits import COMMIT_TRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment

Result = TypeVar("Result")


async def commit_with_retry(
    ledger: Ledger,
    attempt: Callable[[], Awaitable[tuple[Commitment | None, Result]]],
    tries_max: int = COMMIT_TRIES_MAX,
) -> Result:
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
