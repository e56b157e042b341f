"""`placet budgets`: what is used and held, and correcting it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.commands.controls.excesses import accept_excess, drop_excess, excesses
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.amounts import counted, parse_change
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason, Strict, doubt_tenant, tell_waiting, waiting_document, warn
from placet.kernel.limits import BUDGET_COUNTERS_DEFAULT, BUDGET_COUNTERS_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Show what is used and held of budgets; correct a counter.")
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
_COUNTER_COLUMNS: Final = ("scope_key", "window_key", "unit", "used", "reserved", "remaining", "resets_at")
_COUNTED: Final = ("used", "reserved", "remaining")
Budget = Annotated[str, typer.Argument(help="The budget's id.", metavar="BUDGET")]


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the tenant's budgets, each with the largest of its counters.

    Example: placet budgets list --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        found = client.budgets(tenant, top=1)
    if output is Output.JSON:
        print_json({"budgets": [_document(each) for each in found]})
    else:
        print_table(_COLUMNS, [_row(each) for each in found])
    if not found:
        doubt_tenant(address, tenant)


@app.command("show")
def show_command(
    budget: Budget,
    *,
    tenant: Tenant,
    top: Annotated[
        int, typer.Option(min=1, max=BUDGET_COUNTERS_MAX, help="How many counters.")
    ] = BUDGET_COUNTERS_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one budget with its largest counters.

    Example: placet budgets show refunds.per_customer_per_day --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        (found,) = client.budgets(tenant, budget, top=top)
    document = _document(found)
    if output is Output.JSON:
        print_json(document)
        return
    limit = counted(found.limit, found.unit, found.currency) if found.current else ""
    current = "yes" if found.current else "no: the tenant's file has no such budget any longer"
    told = {**document, "limit": limit, "current": current}
    print_fields((name, value) for name, value in told.items() if name != "counters")
    typer.echo()
    rows = [
        (each.scope_key, each.window_key, each.unit, *_counted(each, found.currency), time_text(each.resets_at))
        for each in found.counters
    ]
    print_table(_COUNTER_COLUMNS, rows)


@app.command("adjust")
def adjust_command(  # noqa: PLR0913 - one option for each field
    budget: Budget,
    *,
    tenant: Tenant,
    scope_key: Annotated[str, typer.Option(help="Whose counter: customer:cus_42, user:u_4812, ...", metavar="KEY")],
    amount: Annotated[
        str,
        typer.Option(
            help="What is added to `used`: '45.00 USD', or a whole number in the budget's unit; negative gives back.",
            metavar="AMOUNT",
        ),
    ],
    reason: Reason,
    strict: Strict = False,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Correct a counter. More than a tenth of the limit takes a second person: exit code 4 until then.

    Whoever spent from the counter may not give back to it.

    Example: placet budgets adjust refunds.per_customer_per_day --tenant initech --scope-key customer:cus_42
    --amount '-45.00 USD' --reason 'refund was reversed'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        (found,) = client.budgets(tenant, budget, top=1)
        change = parse_change(amount, _unit(found))
        done = client.adjust_budget(tenant, budget, scope_key, change, actor=actor, reason=reason, strict=strict)
    warn(done.warnings)
    counter = _counter_document(done.counter)
    if output is Output.JSON:
        print_json(
            {
                "applied": done.pending_request is None,
                "counter": counter,
                "waiting": waiting_document(done.pending_request),
            }
        )
    elif done.pending_request is None:
        print_fields({**counter, **dict(zip(_COUNTED, _counted(done.counter, found.currency), strict=True))}.items())
    if done.pending_request is not None:
        tell_waiting(done.pending_request)


def _row(budget: sdk.Budget) -> list[str]:
    shown = budget.counters[:1]
    state = [value for each in shown for value in (each.scope_key, *_counted(each, budget.currency))]
    limit = counted(budget.limit, budget.unit, budget.currency) if budget.current else ""
    what = [budget.id, _unit(budget), limit, budget.scope, budget.window, budget.on_exceed]
    return [*what, *(state or ["", "", "", ""])]


def _counted(counter: sdk.BudgetCounter, currency: str) -> tuple[str, ...]:
    """used, reserved, remaining, for people."""
    values = (counter.used, counter.reserved, counter.remaining)
    return tuple(counted(value, counter.unit, currency) for value in values)


def _unit(budget: sdk.Budget) -> str:
    return budget.unit or next((each.unit for each in budget.counters), "")


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
        "counters": [_counter_document(each) for each in budget.counters],
    }


def _counter_document(counter: sdk.BudgetCounter) -> dict[str, Any]:
    return {
        "scope_key": counter.scope_key,
        "window_key": counter.window_key,
        "unit": counter.unit,
        "used": counter.used,
        "reserved": counter.reserved,
        "remaining": counter.remaining,
        "resets_at": time_text(counter.resets_at),
    }


app.command("excesses")(excesses)
app.command("accept-excess")(accept_excess)
app.command("drop-excess")(drop_excess)
