"""Budgets: how much of each is used and held, and correcting a counter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.audit.recent_names import is_agent, recent_names
from placet.budgets.adjustments import solo_quota_key, solo_quota_row, within_solo_quota
from placet.budgets.listing import (
    CounterState,
    folded_scope_key,
    is_current,
    is_member,
    open_windows,
    scope_key_form,
    shown_budgets,
    state,
    window_of,
)
from placet.budgets.model import Scope
from placet.budgets.records import budget_adjusted
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Step
from placet.commands.four_eyes import (
    AwaitingSecondPerson,
    ChangeCommand,
    ChangeKind,
    ControlRequest,
    request_or_confirm,
)
from placet.commands.records import control_requested
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
"""Windows of a budget that are looked through for what an earlier definition counted."""
COUNTED_MAX: Final = 256
"""Budgets of a tenant that are looked through for those that no file has: a file has BUDGETS_MAX and a few limits."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A budget with its largest counters. `budget` None: no file has it any longer, and the counters are of before."""

    budget_id: str
    budget: Budget | None
    counters: tuple[CounterState, ...]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What somebody wants added to what a counter has as used, in its unit; negative gives back."""

    tenant: str
    budget_id: str
    scope_key: str
    amount: int
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED
    strict: bool = False  # refuse a counter that nothing was counted in


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The counter as it is now; with `waiting` nothing was changed yet. `warning` "" when it was counted in before."""

    counter: CounterState
    waiting: ControlRequest | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """A counter, when its window ends, and the budget that it belongs to now."""

    key: CounterKey
    resets_at_us: int
    budget: Budget | None


@dataclass(frozen=True, slots=True)
class BudgetAdmin:
    """The use cases. Each raises LedgerUnavailableError when the ledger cannot be read or written."""

    changes: ControlCommands
    policies: CurrentFiles[BudgetCatalogue]

    async def list(self, tenant: str, budget_id: str, top: int) -> Sequence[Listed]:
        """The tenant's budgets by id, or the one that is named, each with so many of its counters.

        What an earlier definition counted is among them while its window lasts, and so are budgets that the file has no
        longer. NotFoundError for a budget that nothing was ever counted for.
        """
        budgets = self._budgets(tenant)
        counted = () if budget_id else await self.changes.ledger.budget_ids_with_usage(tenant, COUNTED_MAX)
        wanted = [budget_id] if budget_id else sorted({*budgets, *counted})
        found = [await self._listed(tenant, each, budgets.get(each), top) for each in wanted]
        listed = [each for each in found if each.budget is not None or each.counters]
        if budget_id and not listed:
            known = {*budgets, *await self.changes.ledger.budget_ids_with_usage(tenant, COUNTED_MAX)}
            near = closest(budget_id, known)
            remedy = f"did you mean {near}?" if near else "see `placet budgets list`"
            raise NotFoundError(f"the tenant has no budget {budget_id}; {remedy}")
        return listed

    async def adjust(self, wanted: Adjustment) -> Adjusted:
        """Correct a counter. Much waits for a second person.

        NotFoundError when there is no such counter, and no budget that it would belong to; FailedPreconditionError
        when more would
        be given back than was used; PermissionDeniedError when a member of the counter or an agent gives back, or when
        the
        same person asks twice; AbortedError.
        """
        wanted = replace(wanted, reason=redact_text(wanted.reason))
        target = f"{wanted.budget_id} {wanted.scope_key}"
        kind, value = ChangeKind.BUDGET_ADJUST, str(wanted.amount)
        wish = ChangeCommand(kind, wanted.tenant, target, value, wanted.actor, wanted.reason, wanted.caller)
        return await self.changes.make(wish, lambda now_us: self._adjust(wanted, wish, now_us))

    async def _warning(self, key: CounterKey, usage: Usage) -> str:
        """Say that nothing was counted in the counter, with what was probably meant; "" when something was."""
        if usage.created_at_us:
            return ""
        counted = await self.changes.ledger.top_counters(
            key.tenant, key.budget_id, key.unit, key.window_key, COUNTED_MAX
        )
        remedy = did_you_mean(key.scope_key, [row.key.scope_key for row in counted]) if counted else "nothing was, yet"
        return f"{key.scope_key!r}: nothing was counted for it in this window; {remedy}"

    async def _adjust(self, wanted: Adjustment, wish: ChangeCommand, now_us: int) -> Step[Adjusted]:
        place = await self._place(wanted, now_us)
        target = f"{wanted.budget_id} {place.key.scope_key} {place.key.window_key} {place.key.unit}"
        wish = replace(wish, target=target)
        key = solo_quota_key(place.key)
        known = await self.changes.ledger.load(ReadSet([key, wish.key], [place.key]))
        usage, corrected = known.usage(place.key), known.rows.get(key)
        if usage.used + wanted.amount < min(0, usage.used):
            raise FailedPreconditionError(BUDGET_BELOW_ZERO, _below_zero(place.key, usage, wanted.amount))
        if wanted.amount < 0:
            await self._require_unconcerned(wanted, place.key)
        warning = await self._warning(place.key, usage)
        if warning and wanted.strict:
            raise InvalidRequestError([FieldViolation("scope_key", warning)])
        settle = Settle(place.key, 0, wanted.amount, place.resets_at_us)
        after = Adjusted(_state(place, replace(usage, used=usage.used + wanted.amount)), None, warning)
        if within_solo_quota(corrected, wanted.amount, place.budget.limit if place.budget is not None else None):
            put = PutIfVersion(solo_quota_row(corrected, place.key, wanted.amount, now_us))
            return Step(budget_adjusted(place.key, wanted.amount, wish, None, now_us, (put, settle)), after)
        asked = request_or_confirm(known.rows.get(wish.key), wish, now_us)
        if isinstance(asked, AwaitingSecondPerson):
            waiting = Adjusted(_state(place, usage), asked.request, warning)
            return Step(control_requested(wish, asked.request, now_us, (asked.put,)), waiting)
        changes = (PutIfVersion(solo_quota_row(corrected, place.key, 0, now_us)), asked.put, settle)
        return Step(budget_adjusted(place.key, wanted.amount, wish, asked.request, now_us, changes), after)

    async def _require_unconcerned(self, wanted: Adjustment, counter: CounterKey) -> None:
        """Whoever spent from the counter may not give back to it."""
        ledger, tenants = self.changes.ledger, [wanted.tenant]
        scope, _, member = counter.scope_key.partition(":")
        concerned = [member]
        if scope == Scope.RUN:
            run = f"{Scope.RUN}:"  # the key of a loop's counter ends with a fingerprint, that of its window does not
            run_id = counter.window_key.removeprefix(run) if counter.window_key.startswith(run) else member
            concerned += (await recent_names(ledger, tenants, run_id)).users
        require_unconcerned(wanted.actor, concerned, is_agent=await is_agent(ledger, tenants, wanted.actor))

    async def _place(self, wanted: Adjustment, now_us: int) -> _Place:
        """The counter of this very spelling when there is one, else that of all spellings."""
        folded = replace(wanted, scope_key=folded_scope_key(wanted.scope_key))
        if folded != wanted:
            try:
                place = await self._place_of(wanted, now_us)
            except NotFoundError:
                return await self._place_of(folded, now_us)
            known = await self.changes.ledger.load(ReadSet(counters=[place.key]))
            if known.usage(place.key).created_at_us:
                return place
        return await self._place_of(folded, now_us)

    async def _place_of(self, wanted: Adjustment, now_us: int) -> _Place:
        budget = self._budgets(wanted.tenant).get(wanted.budget_id)
        if budget is not None and is_member(budget, wanted.scope_key):
            window, resets_at_us = window_of(budget, wanted.scope_key, now_us)
            if window:
                key = CounterKey(wanted.tenant, budget.id, budget.unit, window, wanted.scope_key)
                return _Place(key, resets_at_us, budget)
        for total in await self._windows(wanted.tenant, wanted.budget_id, now_us):
            key = CounterKey(wanted.tenant, wanted.budget_id, total.unit, total.window_key, wanted.scope_key)
            if (await self.changes.ledger.load(ReadSet(counters=[key]))).usage(key).created_at_us:
                current = budget if budget is not None and is_current(budget, total, now_us) else None
                return _Place(key, total.resets_at_us, current)
        form = f"; {scope_key_form(budget)}" if budget is not None else "; see `placet budgets list`"
        raise NotFoundError(f"the budget {wanted.budget_id} has no counter {wanted.scope_key}{form}")

    async def _listed(self, tenant: str, budget_id: str, budget: Budget | None, top: int) -> Listed:
        now_us = self.changes.clock.wall_us()
        windows = await self._windows(tenant, budget_id, now_us)
        current = [each for each in windows if budget is not None and is_current(budget, each, now_us)]
        earlier = [each for each in windows if each not in current]
        counters = [
            *await self._top(tenant, budget_id, budget, current[:top], top),
            *await self._top(tenant, budget_id, None, earlier[:top], top),
        ]
        return Listed(budget_id, budget, tuple(counters))

    async def _top(
        self, tenant: str, budget_id: str, budget: Budget | None, windows: Sequence[WindowTotal], top: int
    ) -> Sequence[CounterState]:
        found = [
            state(budget, row.key, row.usage, row.resets_at_us)
            for each in windows
            for row in await self.changes.ledger.top_counters(tenant, budget_id, each.unit, each.window_key, top)
        ]
        return sorted(found, key=lambda each: each.usage.used + each.usage.reserved, reverse=True)[:top]

    async def _windows(self, tenant: str, budget_id: str, now_us: int) -> Sequence[WindowTotal]:
        totals = await self.changes.ledger.window_totals(tenant, budget_id, WINDOWS_MAX)
        return list(open_windows(totals, now_us))

    def _budgets(self, tenant: str) -> dict[str, Budget]:
        return shown_budgets(files_of(self.policies).get(tenant))


def _below_zero(key: CounterKey, usage: Usage, amount: int) -> str:
    """Say how much may be given back, and how much was to be, in the counter's unit."""
    used = max(0, usage.used)
    has = f"{key.scope_key} has used {used} of {key.unit}" if used else f"{key.scope_key} has used nothing"
    return f"{REFUSALS[BUDGET_BELOW_ZERO]}: {has} in this window, and {-amount} was to be given back"


def _state(place: _Place, usage: Usage) -> CounterState:
    return state(place.budget, place.key, usage, place.resets_at_us)
