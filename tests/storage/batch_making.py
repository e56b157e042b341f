"""Batches of decisions as a tenant with six budgets and a limit of its runs makes them, or one without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.state import CounterKey, PutIfVersion, RequireVersion, Reserve, Row, RowKey, StateTable
from tests.storage.making import START_US, commitment
from tests.storage.state_making import key
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.audit.records import Commitment
    from placet.kernel.state import Change

USERS: Final = 1_000
BODY: Final = b'{"tool":"stripe.refund"}'
CONTROLS: Final = tuple(key("", tenant, StateTable.CONTROL_VERSIONS) for tenant in ("acme", ""))


def counters_of(number: int) -> list[CounterKey]:
    """Return the counters of a decision: of its user, customer, agent, workflow, tenant, and of its run."""
    user, run = number % USERS, number // 8
    day, month, tenant = "2026-04-24", "2026-04", "acme"
    return [
        CounterKey(tenant, "spend.user", "cost", day, f"user:u_{user}"),
        CounterKey(tenant, "spend.tenant", "cost", month, "tenant:acme"),
        CounterKey(tenant, "amount.customer", "amount:USD", day, f"customer:c_{user}"),
        CounterKey(tenant, "amount.month", "amount:USD", month, "tenant:acme"),
        CounterKey(tenant, "calls.agent", "calls", day, "agent:support-agent"),
        CounterKey(tenant, "tokens.workflow", "tokens", day, "workflow:triage"),
        CounterKey(tenant, "limits.tool_calls", "calls", "run", f"run:run_{run}"),
    ]


def decided(numbers: Iterable[int], *, limits: bool) -> list[Commitment]:
    """Return the commitments of decisions, which all require that no control changed."""
    return [replace(commitment(number), changes=tuple(_changes(number, limits=limits))) for number in numbers]


def _changes(number: int, *, limits: bool) -> Iterable[Change]:
    yield from (RequireVersion(control, 0) for control in CONTROLS)
    if limits:
        yield from (Reserve(counter, 3, None, START_US) for counter in counters_of(number))
        held = RowKey(StateTable.RESERVATIONS, "acme", f"dec_{number:032x}")
        yield PutIfVersion(Row(held, "held", START_US, BODY, due_at_us=START_US))
