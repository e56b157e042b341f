"""`placet kill-switches`: set, clear and list kill switches."""

from __future__ import annotations

from typing import Annotated

import typer

from placet import sdk
from placet.cli.groups import AliasGroup
from placet.cli.notices import exit_pending, warn, warn_unknown_tenant
from placet.cli.options import (  # noqa: TC001 - typer reads them
    ActingPerson,
    Address,
    OutputOption,
    Reason,
    Strict,
    Timeout,
)
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import pending_document
from placet.cli.rendering.failures import STORE_DOWN, code_of, line_of
from placet.cli.rendering.kill_switch_documents import COLUMNS, print_set, set_document, switch_document, switch_row
from placet.cli.rendering.output import Output, print_error, print_json, print_table
from placet.kernel.limits import KILL_SWITCH_TTL_SECONDS_MAX
from placet.kernel.printable import visible
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, KILL_TIMEOUT_SECONDS
from placet.sdk.failures import ANSWER_INVALID, ERROR, NOT_FOUND, TIMEOUT, UNAVAILABLE

app = typer.Typer(cls=AliasGroup, no_args_is_help=True, help="Set, clear and list kill switches.")


def _positive(seconds: int | None) -> int | None:
    if seconds is not None and seconds < 1:
        raise typer.BadParameter(f"{seconds} is not a positive number of seconds; omit --expires for no expiry")
    return seconds


Tool = Annotated[str, typer.Option(help="Stop this tool; * matches any text.", show_default=False)]
Agent = Annotated[str, typer.Option(help="Stop this agent.", show_default=False)]
Workflow = Annotated[str, typer.Option(help="Stop this workflow.", show_default=False)]
Run = Annotated[str, typer.Option(help="Stop this run; needs --tenant.", show_default=False)]
Everything = Annotated[bool, typer.Option("--global", help="Stop everything, in every tenant.")]
Tenant = Annotated[
    str,
    typer.Option(
        help="Stop calls of this tenant only. With no other scope: all its calls.", metavar="TENANT", show_default=False
    ),
]
Expires = Annotated[
    int | None,
    typer.Option(
        max=KILL_SWITCH_TTL_SECONDS_MAX,
        help="Seconds until the switch ends. Default: never.",
        metavar="SECONDS",
        show_default=False,
        callback=_positive,
    ),
]
SwitchTenant = Annotated[
    str,
    typer.Option(
        help="The tenant of the switch. Leave it out for a switch without a tenant.",
        metavar="TENANT",
        show_default=False,
    ),
]
ListedTenant = Annotated[
    str,
    typer.Option(
        help="List the switches that stop calls of this tenant. Default: those without a tenant.",
        metavar="TENANT",
        show_default=False,
    ),
]
AllTenants = Annotated[bool, typer.Option("--all", help="List the switches of all tenants and the global ones.")]


@app.command("set")
def set_command(  # noqa: PLR0913 - one option for each scope
    *,
    reason: Reason,
    tool: Tool = "",
    agent: Agent = "",
    workflow: Workflow = "",
    run: Run = "",
    everything: Everything = False,
    tenant: Tenant = "",
    expires: Expires = None,
    strict: Strict = False,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = KILL_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set a kill switch on a tool, agent, workflow, run or tenant, or on everything.

    When the command returns, no replica allows these calls. A name that matches nothing known is set with a warning.
    Exit code 5 with "is set" on stderr: the switch is set, but earlier permits could not be revoked.

    Example: placet kill-switches set --tool 'stripe.*' --reason 'runaway refunds'
    """
    everywhere = "everything" if everything else ""
    options = {"tool": tool, "agent": agent, "workflow": workflow, "run": run, "global": everywhere}
    scope, value = _scope(options, tenant)
    with sdk.ControlClient(address) as client:
        try:
            result = client.set_kill_switch(
                scope,
                value,
                tenant=tenant,
                actor=actor,
                reason=reason,
                expires_after_seconds=expires or 0,
                strict=strict,
                timeout=timeout,
            )
        except sdk.CallFailedError as error:
            raise _set_failed(error.failure) from error
    warn(f"the switch is set, but {warning}" for warning in result.warnings)
    if output is Output.JSON:
        print_json(set_document(result))
    else:
        print_set(result, address)
    if result.not_revoked or result.revocation_incomplete:
        raise _revocation_failed(result)


@app.command("clear")
def clear_command(
    kill_switch_id: Annotated[str, typer.Argument(help="The kill switch, ks_...", metavar="KILL_SWITCH_ID")],
    *,
    reason: Reason,
    tenant: SwitchTenant = "",
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Clear a kill switch.

    A switch on a tenant, on everything or on most tools of a tenant takes two people: the first run exits with 4, and
    a second person runs the same command. Agents, and the subject of the switch, cannot clear it.

    Example: placet kill-switches clear ks_0123456789abcdef --tenant acme --reason 'fixed in 4.2'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        try:
            pending = client.clear_kill_switch(kill_switch_id, tenant=tenant, actor=actor, reason=reason)
        except sdk.CallFailedError as error:
            if error.failure.rule_id == NOT_FOUND and (hint := _tenant_hint(client, kill_switch_id)):
                print_error(f"placet: {kill_switch_id}: {hint}")
                raise typer.Exit(code_of(error.failure)) from error
            raise
    if output is Output.JSON:
        print_json({"cleared": pending is None, "waiting": pending_document(pending)})
    elif pending is None:
        typer.echo(f"{kill_switch_id} is cleared")
    if pending is not None:
        exit_pending(pending)


@app.command("list")
def list_command(
    *,
    tenant: ListedTenant = "",
    every_tenant: AllTenants = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List kill switches, newest first.

    With --tenant: all switches that stop calls of this tenant. Without: those that do not belong to one tenant.

    Example: placet kill-switches list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        if every_tenant and tenant:
            raise typer.BadParameter("--all lists the switches of all tenants; omit --all or --tenant")
        switches = client.kill_switches(tenant, every_tenant=every_tenant)
    if output is Output.JSON:
        print_json({"kill_switches": [switch_document(switch) for switch in switches]})
    else:
        print_table(COLUMNS, [switch_row(switch) for switch in switches])
    if not any(switch.tenant == tenant for switch in switches):
        warn_unknown_tenant(address, tenant)


def _scope(options: dict[str, str], tenant: str) -> tuple[sdk.KillScope, str]:
    """Return the scope of the switch and its value: the one option that is set, or the tenant."""
    values = {sdk.KillScope(name): value for name, value in options.items() if value}
    if len(values) > 1:
        raise typer.BadParameter("use one of --tool, --agent, --workflow, --run, --global; or set several switches")
    if not values:
        if not tenant:
            raise typer.BadParameter("name what to stop: --tool, --agent, --workflow, --run, --tenant or --global")
        return sdk.KillScope.TENANT, ""
    ((scope, value),) = values.items()
    if scope is sdk.KillScope.GLOBAL:
        if tenant:
            raise typer.BadParameter("--global stops every tenant; omit --global or --tenant")
        return scope, ""
    if scope is sdk.KillScope.RUN and not tenant:
        raise typer.BadParameter("--run needs --tenant: a run belongs to one tenant")
    return scope, value


def _set_failed(failure: sdk.Failure) -> typer.Exit:
    """Print a failed call. The line begins with whether the switch is set."""
    state = "it is not known whether the switch is set, see `placet kill-switches list`"
    cause = f"{failure.detail.rpartition('; ')[0] or 'the store failed'} ({failure.error})"
    print_error(
        f"placet: {state if _may_be_set(failure) else 'NOT set'}; "
        f"{visible(cause if failure.error == STORE_DOWN else line_of(failure))}"
    )
    return typer.Exit(code_of(failure))


def _may_be_set(failure: sdk.Failure) -> bool:
    """Return whether the server may have set the switch before the call failed."""
    if failure.rule_id == UNAVAILABLE:
        return "refused" not in failure.detail.lower()  # a refused connection reaches no server
    return failure.rule_id in {TIMEOUT, ERROR, ANSWER_INVALID}


def _revocation_failed(result: sdk.KillSwitchSet) -> typer.Exit:
    """Print that the switch is set and that earlier permits are still valid."""
    count = f"{len(result.not_revoked):,}{' or more' if result.revocation_incomplete else ''}"
    typer.echo(
        f"placet: {visible(result.kill_switch.id)} is set and stops every new call, but {count} earlier permits "
        "could not be revoked because the store failed. They expire within 65 s. Run the same command again to revoke "
        "them",
        err=True,
    )
    return typer.Exit(exit_codes.NO_DECISION)


def _tenant_hint(client: sdk.ControlClient, kill_switch_id: str) -> str:
    """Name the tenant of a switch that another tenant has; "" when the caller may see no such switch."""
    try:
        switches = client.kill_switches(every_tenant=True)
    except sdk.CallFailedError:
        return ""
    for switch in switches:
        if switch.id == kill_switch_id:
            if switch.tenant:
                return f"it belongs to tenant {switch.tenant}; add --tenant {switch.tenant}"
            return "it belongs to no tenant; omit --tenant"
    return ""
