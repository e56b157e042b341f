"""`placet budgets`: list budgets and adjust their counters."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.commands.controls.excesses import accept_command, drop_command, excesses_command
from placet.cli.notices import exit_pending, warn, warn_unknown_tenant
from placet.cli.options import (  # noqa: TC001 - typer reads them
    ActingPerson,
    Address,
    OutputOption,
    Reason,
    Strict,
    Tenant,
    Timeout,
)
from placet.cli.rendering.amounts import format_count, parse_adjustment
from placet.cli.rendering.documents import pending_document, time_text
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.kernel.limits import BUDGET_COUNTERS_DEFAULT, BUDGET_COUNTERS_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="List budgets and adjust their counters.")
_COLUMNS: Final = (
    "budget",
    "unit",
    "limit",
    "scope",
    "window",
    "on_exceed",
    "largest",
    "used",
    "reserved",
    "remaining",
)
_COUNTER_COLUMNS: Final = (
    "scope_key",
    "window_key",
    "unit",
    "used",
    "reserved",
    "remaining",
    "given_back",
    "kept",
    "resets_at",
)
_VALUES: Final = ("used", "reserved", "remaining")
BudgetId = Annotated[str, typer.Argument(help="The id of the budget.", metavar="BUDGET")]

ScopeKey = Annotated[str, typer.Option(help="Key of the counter, e.g. customer:cus_42 or user:u_4812.", metavar="KEY")]
Amount = Annotated[
    str,
    typer.Option(
        help="Added to `used`: '45.00 USD', or a whole number in the unit of the budget. May be negative.",
        metavar="AMOUNT",
    ),
]


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the budgets of a tenant, each with its largest counter.

    Example: placet budgets list --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        budgets = client.budgets(tenant, top=1)
    if output is Output.JSON:
        print_json({"budgets": [_document(budget) for budget in budgets]})
    else:
        print_table(_COLUMNS, [_row(budget) for budget in budgets])
    if not budgets:
        warn_unknown_tenant(address, tenant)


@app.command("show")
def show_command(
    budget_id: BudgetId,
    *,
    tenant: Tenant,
    top: Annotated[
        int, typer.Option(min=1, max=BUDGET_COUNTERS_MAX, help="Number of counters.")
    ] = BUDGET_COUNTERS_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one budget with its largest counters.

    Example: placet budgets show refunds.per_customer_per_day --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        (budget,) = client.budgets(tenant, budget_id, top=top)
    if output is Output.JSON:
        print_json(_document(budget))
    else:
        _print_budget(budget)


@app.command("adjust")
def adjust_command(  # noqa: PLR0913 - one option for each field
    budget_id: BudgetId,
    *,
    tenant: Tenant,
    scope_key: ScopeKey,
    amount: Amount,
    reason: Reason,
    strict: Strict = False,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add an amount to the usage of a counter, or subtract it.

    More than a tenth of the limit takes two people: the first run exits with 4, and a second person runs the same
    command. People and agents that spent from the counter cannot lower it.

    Example: placet budgets adjust refunds.per_customer_per_day --tenant initech --scope-key customer:cus_42
    --amount '-45.00 USD' --reason 'refund was reversed'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        (budget,) = client.budgets(tenant, budget_id, top=1)
        change = parse_adjustment(amount, _unit(budget))
        result = client.adjust_budget(tenant, budget_id, scope_key, change, actor=actor, reason=reason, strict=strict)
    warn(result.warnings)
    counter = _counter_document(result.counter)
    if output is Output.JSON:
        pending = pending_document(result.pending_request)
        print_json({"applied": result.pending_request is None, "counter": counter, "waiting": pending})
    elif result.pending_request is None:
        values = zip(_VALUES, _values(result.counter, budget.currency), strict=True)
        print_fields({**counter, **dict(values)}.items())
    if result.pending_request is not None:
        exit_pending(result.pending_request)


def _print_budget(budget: sdk.Budget) -> None:
    current = "yes" if budget.current else "no: the tenant's file no longer has this budget"
    fields = {**_document(budget), "limit": _limit(budget), "current": current}
    print_fields((name, value) for name, value in fields.items() if name != "counters")
    typer.echo()
    rows = [
        (
            counter.scope_key,
            counter.window_key,
            counter.unit,
            *_values(counter, budget.currency),
            *_give_backs(counter, budget.currency),
            time_text(counter.resets_at),
        )
        for counter in budget.counters
    ]
    print_table(_COUNTER_COLUMNS, rows)


def _row(budget: sdk.Budget) -> list[str]:
    """Return the row of a budget in a list, with its largest counter."""
    largest = [(counter.scope_key, *_values(counter, budget.currency)) for counter in budget.counters[:1]]
    fields = [budget.id, _unit(budget), _limit(budget), budget.scope, budget.window, budget.on_exceed]
    return [*fields, *(largest[0] if largest else ("", "", "", ""))]


def _limit(budget: sdk.Budget) -> str:
    return format_count(budget.limit, budget.unit, budget.currency) if budget.current else ""


def _values(counter: sdk.BudgetCounter, currency: str) -> tuple[str, ...]:
    """Return used, reserved and remaining as people read them."""
    values = (counter.used, counter.reserved, counter.remaining)
    return tuple(format_count(value, counter.unit, currency) for value in values)


def _give_backs(counter: sdk.BudgetCounter, currency: str) -> tuple[str, ...]:
    """Return what outcomes gave back, and what a bound kept as used, as people read them."""
    return tuple(format_count(value, counter.unit, currency) for value in (counter.given_back, counter.kept))


def _unit(budget: sdk.Budget) -> str:
    return budget.unit or next((counter.unit for counter in budget.counters), "")


def _document(budget: sdk.Budget) -> dict[str, Any]:
    return {
        "id": budget.id,
        "unit": budget.unit,
        "limit": budget.limit,
        "scope": budget.scope,
        "window": budget.window,
        "timezone": budget.timezone,
        "on_exceed": budget.on_exceed,
        "current": budget.current,
        "currency": budget.currency,
        "counters": [_counter_document(counter) for counter in budget.counters],
    }


def _counter_document(counter: sdk.BudgetCounter) -> dict[str, Any]:
    return {
        "scope_key": counter.scope_key,
        "window_key": counter.window_key,
        "unit": counter.unit,
        "used": counter.used,
        "reserved": counter.reserved,
        "remaining": counter.remaining,
        "given_back": counter.given_back,
        "kept": counter.kept,
        "resets_at": time_text(counter.resets_at),
    }


app.command("excesses")(excesses_command)
app.command("accept-excess")(accept_command)
app.command("drop-excess")(drop_command)
