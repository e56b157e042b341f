"""`placet budgets excesses`, `accept-excess` and `drop-excess`: reported usage far above the reservation."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.notices import warn_unknown_tenant
from placet.cli.options import ActingPerson, Address, OutputOption, Reason, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.amounts import format_count
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_json, print_table
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

_COLUMNS: Final = ("decision_id", "reported_at", "tool", "agent", "user", "budget", "scope_key", "not counted")
DecisionId = Annotated[str, typer.Argument(help="The decision that allowed the call.", metavar="DECISION_ID")]


def excesses_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List excesses: usage reported far above the reservation.

    An excess counts against its budgets only after accept-excess.

    Example: placet budgets excesses --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        excesses = client.outcome_excesses(tenant)
    if output is Output.JSON:
        print_json({"excesses": [_document(excess) for excess in excesses]})
    else:
        print_table(_COLUMNS, [row for excess in excesses for row in _rows(excess)])
    if not excesses:
        warn_unknown_tenant(address, tenant)


def accept_command(
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    reason: Reason,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count an excess, because the usage was real.

    The caller that reported it, the user of the call and agents cannot do this.

    Example: placet budgets accept-excess dec_0190c3... --tenant initech --reason 'the invoice says so'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        excess = client.decide_outcome_excess(tenant, decision_id, accept=True, actor=actor, reason=reason)
    _show(excess, output, accepted=True)


def drop_command(
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    reason: Reason,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Discard an excess, because the report was wrong.

    The caller that reported it, the user of the call and agents cannot do this.

    Example: placet budgets drop-excess dec_0190c3... --tenant initech --reason 'it reported cents as euros'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        excess = client.decide_outcome_excess(tenant, decision_id, accept=False, actor=actor, reason=reason)
    _show(excess, output, accepted=False)


def _show(excess: sdk.OutcomeExcess, output: Output, *, accepted: bool) -> None:
    if output is Output.JSON:
        print_json({"accepted": accepted, "excess": _document(excess)})
    else:
        print_table(_COLUMNS, _rows(excess))


def _rows(excess: sdk.OutcomeExcess) -> list[tuple[str, ...]]:
    call = (excess.decision_id, time_text(excess.reported_at), excess.tool, excess.agent, excess.user)
    return [(*call, part.budget_id, part.scope_key, _amount(part)) for part in excess.parts]


def _amount(part: sdk.ExcessPart) -> str:
    """Write the excess. Money has its currency code, other values have their unit."""
    value = format_count(part.amount, part.unit)
    return value if part.unit.startswith("amount:") else f"{value} {part.unit}"


def _document(excess: sdk.OutcomeExcess) -> dict[str, Any]:
    return {
        "tenant": excess.tenant,
        "decision_id": excess.decision_id,
        "caller": excess.caller,
        "agent": excess.agent,
        "user": excess.user,
        "run_id": excess.run_id,
        "tool": excess.tool,
        "reported_at": time_text(excess.reported_at),
        "parts": [
            {
                "budget": part.budget_id,
                "unit": part.unit,
                "window_key": part.window_key,
                "scope_key": part.scope_key,
                "amount": part.amount,
            }
            for part in excess.parts
        ],
    }
