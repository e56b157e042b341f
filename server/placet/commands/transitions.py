"""How state is changed outside a decision: read, compute what becomes of it, commit; again when others were first."""

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


async def change(
    ledger: Ledger,
    attempt: Callable[[], Awaitable[tuple[Commitment | None, Result]]],
    tries_max: int = COMMIT_TRIES_MAX,
) -> Result:
    """Commit what `attempt` found from the state as it is, None for nothing, and give its result.

    Raises what `attempt` raises, AbortedError when others were first so often, and LedgerUnavailableError.
    """
    for _ in range(tries_max):
        commitment, result = await attempt()
        if commitment is None:
            return result
        [done] = await ledger.commit([commitment])
        if not isinstance(done, Conflict):
            return result
    raise AbortedError("others changed the same thing at the same time, again and again; try once more")
