"""`placet agents`: the agents of a tenant, with their owners and their last use."""

from __future__ import annotations

from typing import Any, Final

import typer

from placet import sdk
from placet.cli.notices import warn, warn_unknown_tenant
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_json, print_table
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="List the agents of a tenant.")
_COLUMNS: Final = ("agent", "state", "owner", "expires_at", "last_used_at", "autonomy", "runtimes", "purpose")


@app.callback()
def _group() -> None:
    """List the agents of a tenant."""


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the agents of a tenant: registered ones, and used ones that are not registered.

    The state is active, expired, unused (registered, but without a decision for 30 days) or unregistered (used in the
    last 90 days, but not registered).

    Example: placet agents list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        found = client.agents(tenant)
    documents = [_document(agent) for agent in found.agents]
    if output is Output.JSON:
        print_json({"strict": found.strict, "agents": documents, "unlisted": found.unlisted})
    else:
        print_table(_COLUMNS, [_row(document) for document in documents])
    if found.unlisted:
        warn([f"{found.unlisted} more agents without an entry are not listed"])
    if not found.agents:
        warn_unknown_tenant(address, tenant)


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(", ".join(document[name]) if name == "runtimes" else document[name] for name in _COLUMNS)


def _document(agent: sdk.Agent) -> dict[str, Any]:
    return {
        "agent": agent.id,
        "state": agent.state.value,
        "owner": agent.owner,
        "purpose": agent.purpose,
        "runtimes": list(agent.runtimes),
        "expires_at": time_text(agent.expires_at),
        "autonomy": "" if agent.autonomy is sdk.Autonomy.UNSPECIFIED else agent.autonomy.value,
        "last_used_at": time_text(agent.last_used_at),
    }
