"""The sections of a tenant's file that define budgets: `spend_limits` and `budgets`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, StrictStr, model_validator

from placet.budgets.model import Budget, Match, Measure, OnExceed, Scope, Unreported
from placet.budgets.windows import ENDLESS, Window
from placet.kernel import rule_ids
from placet.kernel.diagnostics import DocumentDiagnostic, closest
from placet.kernel.limits import BUDGET_ID_CHARS_MAX
from placet.kernel.money import EXPONENTS, scaled
from placet.tenants.fields import (
    MICROS_PLACES,
    PER_MILLE_PLACES,
    Cost,
    Currency,
    EnvironmentNames,
    Pointer,
    Positive,
    Section,
    Share,
    ToolGlobs,
    Workflows,
    refuse,
)
from placet.tenants.sections import Quorum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SPEND_CURRENCY: Final = "USD"
"""The currency of `spend_limits`, which the names of its keys say."""
_MACHINE_ZONES: Final = frozenset({"localtime", "Factory"})
"""Names of zoneinfo that depend on the machine."""
_SCOPES_WITHIN_A_RUN: Final = frozenset({Scope.RUN, Scope.TOOL, Scope.CUSTOMER})
"""Scopes for which the window run is accepted."""
_WINDOWS_OF_A_RUN: Final = frozenset({Window.RUN, Window.MINUTE, Window.HOUR})
"""Windows that are accepted for the scope run."""


def _budget_id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", value) or len(value) > BUDGET_ID_CHARS_MAX:
        raise ValueError(
            f"should be an id: parts of a-z 0-9 _ joined by dots, at most {BUDGET_ID_CHARS_MAX} characters"
        )
    is_reserved = rule_ids.BUDGETS_PREFIX + value in rule_ids.CORE_REASONS
    if is_reserved or value.startswith((rule_ids.SPEND_PREFIX, rule_ids.LIMITS_PREFIX)):
        raise ValueError(f"{value} is reserved for Placet; use another id")
    return value


def _timezone(value: str) -> str:
    known = _timezones()
    if value not in known:
        near = closest(value, known)
        hint = f"did you mean {near}?" if near else "write a name such as Europe/Berlin"
        raise ValueError(f"{value} is not an IANA time zone; {hint}")
    return value


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones()) - _MACHINE_ZONES


class SpendLimits(Section):
    """Limits of the cost of calls in USD: per user and day, and per tenant and month. Days and months are UTC."""

    per_user_usd_per_day: Cost | None = None
    per_workspace_usd_per_month: Cost | None = None

    def budgets(self) -> Iterator[Budget]:
        """Yield the limits as budgets."""
        limits = (
            (rule_ids.SPEND_PER_USER, Scope.USER, Window.DAY, self.per_user_usd_per_day),
            (rule_ids.SPEND_PER_WORKSPACE, Scope.TENANT, Window.MONTH, self.per_workspace_usd_per_month),
        )
        for rule_id, scope, window, limit in limits:
            if limit is not None:
                budget_id = rule_id.removeprefix(rule_ids.BUDGETS_PREFIX)
                micros = scaled(limit, MICROS_PLACES)
                yield Budget(budget_id, scope, Measure.COST, micros, window, currency=SPEND_CURRENCY)


class BudgetMatch(Section):
    """Selects the actions that a budget counts. A key that is left out selects all."""

    tools: ToolGlobs | None = None
    workflows: Workflows | None = None
    environments: EnvironmentNames | None = None

    def match(self) -> Match:
        """Return the section as a value."""
        return Match(self.tools or (), self.workflows or (), self.environments or ())


class BudgetEntry(Section):
    """One budget. Amounts and cost are written in units of their currency, such as 2.00."""

    id: Annotated[StrictStr, AfterValidator(_budget_id)]
    scope: Scope
    customer: Pointer | None = None
    measure: Measure
    currency: Currency | None = None
    limit: Positive
    window: Window
    timezone: Annotated[StrictStr, AfterValidator(_timezone)] = "UTC"
    match: BudgetMatch = BudgetMatch()
    on_exceed: OnExceed = OnExceed.DENY
    approval: Quorum | None = None
    warn_at: Share | None = None
    unreported: Unreported = Unreported.COUNT

    @model_validator(mode="after")
    def _consistent(self) -> BudgetEntry:
        refuse((*_key_diagnostics(self), *_window_diagnostics(self), *_number_diagnostics(self)))
        return self

    def budget(self, tenant_currency: str) -> Budget:
        """Return the budget. Cost is in the tenant's currency."""
        approval = self.approval or Quorum()
        currencies = {Measure.AMOUNT: self.currency or "", Measure.COST: tenant_currency}
        return Budget(
            id=self.id,
            scope=self.scope,
            measure=self.measure,
            limit=scaled(self.limit, _places(self)),
            window=self.window,
            currency=currencies.get(self.measure, ""),
            customer=self.customer or "",
            timezone=self.timezone,
            match=self.match.match(),
            on_exceed=self.on_exceed,
            approval=approval.requirement() if self.on_exceed is OnExceed.REQUIRE_APPROVAL else None,
            warn_at_per_mille=None if self.warn_at is None else scaled(self.warn_at, PER_MILLE_PLACES),
            unreported=self.unreported,
        )


def all_budgets(spend: SpendLimits | None, entries: Iterable[BudgetEntry], tenant_currency: str) -> tuple[Budget, ...]:
    """Return every budget of the file, sorted by id."""
    budgets = [entry.budget(tenant_currency) for entry in entries]
    return tuple(sorted((*budgets, *(spend.budgets() if spend else ())), key=lambda budget: budget.id))


def budget_data(budget: Budget) -> dict[str, Any]:
    """Return a budget as data for policy: keys as in the file, `limit` in minor units, micros or ones."""
    match, approval = budget.match, budget.approval
    return {
        "scope": budget.scope.value,
        "customer": budget.customer,
        "measure": budget.measure.value,
        "currency": budget.currency,
        "limit": budget.limit,
        "window": budget.window.value,
        "timezone": budget.timezone,
        "match": {
            "tools": sorted(match.tools),
            "workflows": sorted(match.workflows),
            "environments": sorted(match.environments),
        },
        "on_exceed": budget.on_exceed.value,
        "approval": {"quorum": approval.quorum, "approver_roles": list(approval.approver_roles)} if approval else {},
        "warn_at_per_mille": budget.warn_at_per_mille,
        "unreported": budget.unreported.value,
    }


def _places(entry: BudgetEntry) -> int:
    if entry.measure is Measure.COST:
        return MICROS_PLACES
    return EXPONENTS[entry.currency or ""] if entry.measure is Measure.AMOUNT else 0


def _key_diagnostics(entry: BudgetEntry) -> Iterator[DocumentDiagnostic]:
    """Report missing keys, and keys that would have no effect."""
    if entry.scope is Scope.CUSTOMER and entry.customer is None:
        yield DocumentDiagnostic(
            ("customer",), "is missing", "write the JSON pointer to the customer in params, such as /customer_id"
        )
    if entry.scope is not Scope.CUSTOMER and entry.customer is not None:
        yield DocumentDiagnostic(
            ("customer",), f"is not read with the scope {entry.scope}", "write scope: customer, or remove it"
        )
    if entry.measure is Measure.AMOUNT and entry.currency is None:
        yield DocumentDiagnostic(("currency",), "is missing", "amounts are counted in one currency, such as USD")
    if entry.measure in {Measure.CALLS, Measure.TOKENS} and entry.currency is not None:
        yield DocumentDiagnostic(("currency",), f"is not read: {entry.measure} have no currency", "remove it")
    if entry.on_exceed is not OnExceed.REQUIRE_APPROVAL and entry.approval is not None:
        what = f"is not read with on_exceed {entry.on_exceed}"
        yield DocumentDiagnostic(("approval",), what, "write on_exceed: require_approval, or remove it")


def _window_diagnostics(entry: BudgetEntry) -> Iterator[DocumentDiagnostic]:
    if entry.scope is Scope.RUN and entry.window not in _WINDOWS_OF_A_RUN:
        yield DocumentDiagnostic(
            ("window",), f"{entry.window} does not fit the scope run", "write window: run, minute or hour"
        )
    if entry.window is Window.RUN and entry.scope not in _SCOPES_WITHIN_A_RUN:
        what = f"run does not fit the scope {entry.scope}"
        yield DocumentDiagnostic(("window",), what, "use the window run with scope: run, tool or customer")
    if entry.window in ENDLESS and entry.timezone != "UTC":
        yield DocumentDiagnostic(
            ("timezone",), f"is not read with the window {entry.window}, which does not end with time", "remove it"
        )


def _number_diagnostics(entry: BudgetEntry) -> Iterator[DocumentDiagnostic]:
    if entry.measure is Measure.AMOUNT and entry.currency is None:
        return
    try:
        scaled(entry.limit, _places(entry))
    except ValueError as error:
        yield DocumentDiagnostic(("limit",), str(error))
    if entry.warn_at == 1:
        yield DocumentDiagnostic(("warn_at",), "should be below 1", "write a share of the limit, such as 0.8")
