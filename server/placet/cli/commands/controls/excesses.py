"""`placet budgets excesses|accept-excess|drop-excess`: what outcomes named far above what was reserved."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.amounts import counted
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_json, print_table
from placet.cli.steering import Actor, Reason, doubt_tenant
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

_COLUMNS: Final = ("decision_id", "reported_at", "tool", "agent", "user", "budget", "scope_key", "not counted")
DecisionId = Annotated[str, typer.Argument(help="The decision that allowed the call.", metavar="DECISION_ID")]


def excesses(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what outcomes named far above what was reserved. It is not counted until somebody accepts it.

    Example: placet budgets excesses --tenant initech
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        found = client.outcome_excesses(tenant)
    if output is Output.JSON:
        print_json({"excesses": [_document(each) for each in found]})
    else:
        print_table(_COLUMNS, [row for each in found for row in _rows(each)])
    if not found:
        doubt_tenant(address, tenant)


def accept_excess(
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    reason: Reason,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count what an outcome named far above what was reserved: it was spent.

    Whoever reported it, the agent and the user of the call may not, nor may any other agent.

    Example: placet budgets accept-excess dec_0190c3... --tenant initech --reason 'the invoice says so'
    """
    _decide(decision_id, tenant, True, reason, actor, address, timeout, output)  # noqa: FBT003 - it is handed on


def drop_excess(
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    reason: Reason,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Never count what an outcome named far above what was reserved: it was not spent.

    Whoever reported it, the agent and the user of the call may not, nor may any other agent.

    Example: placet budgets drop-excess dec_0190c3... --tenant initech --reason 'it reported cents as euros'
    """
    _decide(decision_id, tenant, False, reason, actor, address, timeout, output)  # noqa: FBT003 - it is handed on


def _decide(
    decision_id: str,
    tenant: str,
    accept: bool,  # noqa: FBT001 - handed on
    reason: str,
    actor: str,
    address: str,
    timeout: float,
    output: Output,
) -> None:
    with sdk.ControlClient(address, timeout=timeout) as client:
        done = client.decide_outcome_excess(tenant, decision_id, accept=accept, actor=actor, reason=reason)
    if output is Output.JSON:
        print_json({"accepted": accept, "excess": _document(done)})
    else:
        print_table(_COLUMNS, _rows(done))


def _rows(excess: sdk.OutcomeExcess) -> list[tuple[str, ...]]:
    what = (excess.decision_id, time_text(excess.reported_at), excess.tool, excess.agent, excess.user)
    return [(*what, each.budget_id, each.scope_key, _amount(each)) for each in excess.parts]


def _amount(part: sdk.ExcessPart) -> str:
    """Money with its code; else the number with its unit, which it has no currency to be shown in."""
    shown = counted(part.amount, part.unit, "")
    return shown if part.unit.startswith("amount:") else f"{shown} {part.unit}"


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
                "budget": each.budget_id,
                "unit": each.unit,
                "window_key": each.window_key,
                "scope_key": each.scope_key,
                "amount": each.amount,
            }
            for each in excess.parts
        ],
    }
