"""The use cases of budgets: list them with their counters, and correct a counter. The ControlService calls them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from msgspec import structs

from placet.audit.recent_names import is_agent, recent_names
from placet.budgets.adjustments import solo_quota_key, solo_quota_row, within_solo_quota
from placet.budgets.give_backs import GIVE_BACKS, given_back_counter, kept_counter
from placet.budgets.listing import (
    CounterState,
    folded_scope_key,
    is_current,
    is_member,
    listed_budgets,
    open_windows,
    scope_key_form,
    state,
    window_of,
    with_give_backs,
)
from placet.budgets.model import Scope
from placet.budgets.records import budget_adjusted
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Plan
from placet.commands.four_eyes import (
    AwaitingSecondPerson,
    ChangeCommand,
    ChangeKind,
    ControlRequest,
    request_or_confirm,
)
from placet.commands.records import control_requested
from placet.kernel import rule_ids
from placet.kernel.diagnostics import closest, did_you_mean
from placet.kernel.errors import FailedPreconditionError, FieldViolation, InvalidRequestError, NotFoundError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import BUDGET_BELOW_ZERO, REFUSALS
from placet.kernel.state import CounterKey, PutIfVersion, ReadSet, Settle
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.budgets.model import Budget
    from placet.budgets.ports import BudgetCatalogue
    from placet.commands.execute import ControlCommands
    from placet.kernel.policy_files import CurrentFiles
    from placet.kernel.state import Usage, WindowTotal

WINDOWS_MAX: Final = 1_000
"""Windows of a budget that are searched for usage that an earlier definition counted."""
COUNTED_MAX: Final = 256
"""Budgets of a tenant that are searched for those that the file no longer has. A file has BUDGETS_MAX and a few run
limits."""


_HIDDEN: Final = frozenset({rule_ids.LIMIT_DURATION, GIVE_BACKS})
"""Budgets that are not listed: their counters only help to enforce other limits."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A budget with its largest counters."""

    budget_id: str
    budget: Budget | None
    """None when the file no longer has the budget: the counters are from an earlier file."""
    counters: tuple[CounterState, ...]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A request to correct a counter."""

    tenant: str
    budget_id: str
    scope_key: str
    amount: int
    """Added to the used amount, in the counter's unit. A negative amount gives back."""
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED
    strict: bool = False
    """Whether to refuse a counter that has no usage in this window."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The result of an adjustment."""

    counter: CounterState
    """The counter now."""
    waiting: ControlRequest | None = None
    """The request that waits for a second person; then the counter was not changed."""
    warning: str = ""
    """Warns that the counter had no usage in this window; "" when it had."""


@dataclass(frozen=True, slots=True)
class _Counter:
    """A counter that an adjustment selects."""

    key: CounterKey
    resets_at_us: int
    budget: Budget | None
    """The budget that the counter belongs to now; None for the counter of an earlier definition."""


@dataclass(frozen=True, slots=True)
class BudgetAdmin:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands
    policies: CurrentFiles[BudgetCatalogue]

    async def list(self, tenant: str, budget_id: str, top: int) -> Sequence[Listed]:
        """Return the tenant's budgets by id, or the one with `budget_id`, each with its `top` largest counters.

        Counters of an earlier definition are included while their windows last. So are budgets that the file no longer
        has. The limit of a run's duration is not listed: its counter only holds the start of the run. Raises
        NotFoundError for a budget that is not in the file and has no counters.
        """
        budgets = self._budgets(tenant)
        counted = () if budget_id else await self.commands.ledger.budget_ids_with_usage(tenant, COUNTED_MAX)
        ids = [budget_id] if budget_id else sorted({*budgets, *counted} - _HIDDEN)
        entries = [await self._listed(tenant, listed_id, budgets.get(listed_id), top) for listed_id in ids]
        listed = [entry for entry in entries if entry.budget is not None or entry.counters]
        if budget_id and not listed:
            known = {*budgets, *await self.commands.ledger.budget_ids_with_usage(tenant, COUNTED_MAX)}
            near = closest(budget_id, known)
            remedy = f"did you mean {near}?" if near else "see `placet budgets list`"
            raise NotFoundError(f"the tenant has no budget {budget_id}; {remedy}")
        return listed

    async def adjust(self, adjustment: Adjustment) -> Adjusted:
        """Correct a counter. A correction above the solo quota waits for a second person (see `adjustments`).

        Raises:
        - NotFoundError when there is no such counter, and no budget that it could belong to,
        - FailedPreconditionError when more would be given back than was used,
        - PermissionDeniedError when a member of the counter or an agent gives back, or the same person asks twice,
        - InvalidRequestError when `strict` is set and the counter has no usage,
        - AbortedError when others changed the counter on every try.
        """
        adjustment = replace(adjustment, reason=redact_text(adjustment.reason))
        command = ChangeCommand(
            ChangeKind.BUDGET_ADJUST,
            adjustment.tenant,
            f"{adjustment.budget_id} {adjustment.scope_key}",
            str(adjustment.amount),
            adjustment.actor,
            adjustment.reason,
            adjustment.caller,
        )
        return await self.commands.execute(command, lambda now_us: self._adjust(adjustment, command, now_us))

    async def _warning(self, key: CounterKey, usage: Usage) -> str:
        """Return a warning that the counter has no usage, with a similar scope key that has; "" when it has usage."""
        if usage.created_at_us:
            return ""
        counted = await self.commands.ledger.top_counters(
            key.tenant, key.budget_id, key.unit, key.window_key, COUNTED_MAX
        )
        remedy = (
            did_you_mean(key.scope_key, [row.key.scope_key for row in counted])
            if counted
            else "the budget has no usage in this window"
        )
        return f"{key.scope_key!r} has no usage in this window; {remedy}"

    async def _adjust(self, adjustment: Adjustment, command: ChangeCommand, now_us: int) -> Plan[Adjusted]:
        counter = await self._counter(adjustment, now_us)
        target = f"{adjustment.budget_id} {counter.key.scope_key} {counter.key.window_key} {counter.key.unit}"
        command = replace(command, target=target)
        quota_key = solo_quota_key(counter.key)
        snapshot = await self.commands.ledger.load(ReadSet([quota_key, command.key], [counter.key]))
        usage, quota_row = snapshot.usage(counter.key), snapshot.rows.get(quota_key)
        if usage.used + adjustment.amount < min(0, usage.used):
            raise FailedPreconditionError(BUDGET_BELOW_ZERO, _below_zero(counter.key, usage, adjustment.amount))
        if adjustment.amount < 0:
            await self._require_unconcerned(adjustment, counter.key)
        warning = await self._warning(counter.key, usage)
        if warning and adjustment.strict:
            raise InvalidRequestError([FieldViolation("scope_key", warning)])
        settle = Settle(counter.key, 0, adjustment.amount, counter.resets_at_us)
        after = Adjusted(_state(counter, structs.replace(usage, used=usage.used + adjustment.amount)), None, warning)
        limit = counter.budget.limit if counter.budget is not None else None
        if within_solo_quota(quota_row, adjustment.amount, limit):
            put = PutIfVersion(solo_quota_row(quota_row, counter.key, adjustment.amount, now_us))
            return Plan(budget_adjusted(counter.key, adjustment.amount, command, None, now_us, (put, settle)), after)
        request = request_or_confirm(snapshot.rows.get(command.key), command, now_us)
        if isinstance(request, AwaitingSecondPerson):
            waiting = Adjusted(_state(counter, usage), request.request, warning)
            return Plan(control_requested(command, request.request, now_us, (request.put,)), waiting)
        changes = (PutIfVersion(solo_quota_row(quota_row, counter.key, 0, now_us)), request.put, settle)
        return Plan(budget_adjusted(counter.key, adjustment.amount, command, request.request, now_us, changes), after)

    async def _require_unconcerned(self, adjustment: Adjustment, counter: CounterKey) -> None:
        """Refuse to give back to a counter that the actor spends from. Raises PermissionDeniedError."""
        ledger, tenants = self.commands.ledger, [adjustment.tenant]
        scope, _, member = counter.scope_key.partition(":")
        concerned = [member]
        if scope == Scope.RUN:
            run = f"{Scope.RUN}:"  # the scope key of the loop limit ends with a fingerprint, its window key does not
            run_id = counter.window_key.removeprefix(run) if counter.window_key.startswith(run) else member
            concerned += (await recent_names(ledger, tenants, run_id)).users
        require_unconcerned(adjustment.actor, concerned, is_agent=await is_agent(ledger, tenants, adjustment.actor))

    async def _counter(self, adjustment: Adjustment, now_us: int) -> _Counter:
        """Return the counter of exactly this spelling if it has usage, else the counter of all spellings."""
        folded = replace(adjustment, scope_key=folded_scope_key(adjustment.scope_key))
        if folded != adjustment:
            try:
                counter = await self._exact_counter(adjustment, now_us)
            except NotFoundError:
                return await self._exact_counter(folded, now_us)
            snapshot = await self.commands.ledger.load(ReadSet(counters=[counter.key]))
            if snapshot.usage(counter.key).created_at_us:
                return counter
        return await self._exact_counter(folded, now_us)

    async def _exact_counter(self, adjustment: Adjustment, now_us: int) -> _Counter:
        """Return the counter of the budget's current window, or one of an earlier definition. Raises NotFoundError."""
        tenant, budget_id, scope_key = adjustment.tenant, adjustment.budget_id, adjustment.scope_key
        budget = self._budgets(tenant).get(budget_id)
        if budget is not None and is_member(budget, scope_key):
            window, resets_at_us = window_of(budget, scope_key, now_us)
            if window:
                return _Counter(CounterKey(tenant, budget.id, budget.unit, window, scope_key), resets_at_us, budget)
        for total in await self._windows(tenant, budget_id, now_us):
            key = CounterKey(tenant, budget_id, total.unit, total.window_key, scope_key)
            if (await self.commands.ledger.load(ReadSet(counters=[key]))).usage(key).created_at_us:
                current = budget if budget is not None and is_current(budget, total, now_us) else None
                return _Counter(key, total.resets_at_us, current)
        form = f"; {scope_key_form(budget)}" if budget is not None else "; see `placet budgets list`"
        raise NotFoundError(f"the budget {budget_id} has no counter {scope_key}{form}")

    async def _listed(self, tenant: str, budget_id: str, budget: Budget | None, top: int) -> Listed:
        now_us = self.commands.clock.wall_us()
        windows = await self._windows(tenant, budget_id, now_us)
        current = [window for window in windows if budget is not None and is_current(budget, window, now_us)]
        earlier = [window for window in windows if window not in current]
        counters = [
            *await self._top(tenant, budget_id, budget, current[:top], top),
            *await self._top(tenant, budget_id, None, earlier[:top], top),
        ]
        beside = [beside(counter.key) for counter in counters for beside in (given_back_counter, kept_counter)]
        snapshot = await self.commands.ledger.load(ReadSet(counters=beside))
        return Listed(budget_id, budget, tuple(with_give_backs(counters, snapshot.counters)))

    async def _top(
        self, tenant: str, budget_id: str, budget: Budget | None, windows: Sequence[WindowTotal], top: int
    ) -> Sequence[CounterState]:
        counters = [
            state(budget, row.key, row.usage, row.resets_at_us)
            for window in windows
            for row in await self.commands.ledger.top_counters(tenant, budget_id, window.unit, window.window_key, top)
        ]
        return sorted(counters, key=lambda counter: counter.usage.used + counter.usage.reserved, reverse=True)[:top]

    async def _windows(self, tenant: str, budget_id: str, now_us: int) -> Sequence[WindowTotal]:
        totals = await self.commands.ledger.window_totals(tenant, budget_id, WINDOWS_MAX)
        return list(open_windows(totals, now_us))

    def _budgets(self, tenant: str) -> dict[str, Budget]:
        return listed_budgets(files_of(self.policies).get(tenant))


def _below_zero(key: CounterKey, usage: Usage, amount: int) -> str:
    """Return the error text: how much was used, and how much the adjustment gives back, in the counter's unit."""
    used = max(0, usage.used)
    has = f"{key.scope_key} has used {used} of {key.unit}" if used else f"{key.scope_key} has used nothing"
    return f"{REFUSALS[BUDGET_BELOW_ZERO]}: {has} in this window, but the adjustment gives back {-amount}"


def _state(counter: _Counter, usage: Usage) -> CounterState:
    return state(counter.budget, counter.key, usage, counter.resets_at_us)
