"""`placet kill`: stop what agents do, at once, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.documents import time_text
from placet.cli.failures import code_of, line_of
from placet.cli.options import Address, OutputOption, Timeout  # noqa: TC001 - typer reads them
from placet.cli.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason, SomeTenant, doubt_tenant, tell_waiting, waiting_document
from placet.core.limits import KILL_SWITCH_TTL_SECONDS_MAX
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.control import KILL_TIMEOUT_SECONDS
from placet.sdk.failures import NOT_FOUND, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Stop what agents do, at once; let it go on; list what is stopped.")
_COLUMNS: Final = ("id", "stops", "tenant", "set_at", "expires_at", "actor", "reason", "clearing")
_SET_FIELDS: Final = ("set_at", "expires_at", "actor", "reason", "tenant", "value", "scope", "id")
"""What is needed to clear it stands last: where people look after a long list."""
_REVOKED_SHOWN: Final = 20
_REVOKED_COLUMNS: Final = ("revoked", "tenant", "tool", "agent", "run_id")


def _some_seconds(seconds: int | None) -> int | None:
    if seconds is not None and seconds < 1:
        raise typer.BadParameter(f"--expires: {seconds} is no time to wait; leave it out for never")
    return seconds


@app.command("set")
def set_command(  # noqa: PLR0913 - one option for each scope
    *,
    reason: Reason,
    tool: Annotated[str, typer.Option(help="Stop this tool; * stands for any text.", show_default=False)] = "",
    agent: Annotated[str, typer.Option(help="Stop this agent.", show_default=False)] = "",
    workflow: Annotated[str, typer.Option(help="Stop this workflow.", show_default=False)] = "",
    run: Annotated[str, typer.Option(help="Stop this run; needs --tenant.", show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--global", help="Stop everything, in every tenant.")] = False,
    tenant: Annotated[
        str, typer.Option(help="Only in this tenant; alone: all of it.", metavar="TENANT", show_default=False)
    ] = "",
    expires: Annotated[
        int | None,
        typer.Option(
            max=KILL_SWITCH_TTL_SECONDS_MAX,
            help="Seconds until it ends by itself. Default: never.",
            metavar="SECONDS",
            show_default=False,
            callback=_some_seconds,
        ),
    ] = None,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = KILL_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a tool, agent, workflow, run or tenant, or everything. When it returns, no replica allows it any longer.

    Example: placet kill set --tool 'stripe.*' --reason 'refunds run wild'
    """
    named = {
        sdk.KillScope.TOOL: tool,
        sdk.KillScope.AGENT: agent,
        sdk.KillScope.WORKFLOW: workflow,
        sdk.KillScope.RUN: run,
        sdk.KillScope.GLOBAL: "everything" if everything else "",
    }
    scope, value = _scope({scope: name for scope, name in named.items() if name}, tenant)
    with sdk.ControlClient(address) as client:
        try:
            done = client.set_kill_switch(
                scope,
                value,
                tenant=tenant,
                actor=actor,
                reason=reason,
                expires_after_seconds=expires or 0,
                timeout=timeout,
            )
        except sdk.CallFailedError as error:
            raise _not_set(error.failure) from error
    doubt_tenant(address, tenant, "it is set, but ")
    if output is Output.JSON:
        revoked = [_revoked_document(each) for each in done.revoked]
        print_json({"kill_switch": _document(done.kill_switch), "revoked": revoked})
        return
    if done.revoked:
        _print_revoked(done.revoked)
    document = _document(done.kill_switch)
    print_fields((name, document[name]) for name in _SET_FIELDS)


@app.command("clear")
def clear_command(
    kill_switch_id: Annotated[str, typer.Argument(help="The id, ks_...", metavar="ID")],
    *,
    reason: Reason,
    tenant: SomeTenant = "",
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Clear a switch. A global one is cleared when a second person types the same: exit code 4 until then.

    Example: placet kill clear ks_0123456789abcdef --tenant acme --reason 'mended in 4.2'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        try:
            waiting = client.clear_kill_switch(kill_switch_id, tenant=tenant, actor=actor, reason=reason)
        except sdk.CallFailedError as error:
            if tenant and error.failure.rule_id == NOT_FOUND and _is_of_none(client, kill_switch_id):
                typer.echo(f"placet: {kill_switch_id}: it belongs to no tenant; leave --tenant out", err=True)
                raise typer.Exit(code_of(error.failure)) from error
            raise
    if output is Output.JSON:
        print_json({"cleared": waiting is None, "waiting": waiting_document(waiting)})
    elif waiting is None:
        typer.echo(f"{kill_switch_id} is cleared")
    if waiting is not None:
        tell_waiting(waiting)


@app.command("list")
def list_command(
    *,
    tenant: SomeTenant = "",
    every: Annotated[bool, typer.Option("--all", help="Those of all tenants of the policy, and of none.")] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the switches that reach into a tenant; without one, those that belong to none. Newest first.

    Example: placet kill list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        if every and tenant:
            raise typer.BadParameter("--all lists every tenant's; leave out --all, or --tenant")
        found = _of_all(client) if every else client.kill_switches(tenant)
    if output is Output.JSON:
        print_json({"kill_switches": [_document(each) for each in found]})
    else:
        print_table(_COLUMNS, _rows(found))


def _scope(named: dict[sdk.KillScope, str], tenant: str) -> tuple[sdk.KillScope, str]:
    """What is to be stopped: the one thing that is named, or the tenant."""
    if len(named) > 1:
        raise typer.BadParameter("name one of --tool, --agent, --workflow, --run, --global; or set several switches")
    if not named:
        if not tenant:
            raise typer.BadParameter("say what to stop: --tool, --agent, --workflow, --run, --tenant or --global")
        return sdk.KillScope.TENANT, ""
    ((scope, value),) = named.items()
    if scope is sdk.KillScope.GLOBAL:
        if tenant:
            raise typer.BadParameter("--global stops every tenant; leave out --global, or --tenant")
        return scope, ""
    if scope is sdk.KillScope.RUN and not tenant:
        raise typer.BadParameter("--run needs --tenant: a run belongs to one")
    return scope, value


def _not_set(failure: sdk.Failure) -> typer.Exit:
    """Say first whether it stops anything."""
    is_set = "not known whether it is set" if failure.rule_id == TIMEOUT else "NOT set"
    typer.echo(f"placet: {is_set}; {line_of(failure)}", err=True)
    return typer.Exit(code_of(failure))


def _is_of_none(client: sdk.ControlClient, kill_switch_id: str) -> bool:
    return any(each.id == kill_switch_id for each in client.kill_switches())


def _of_all(client: sdk.ControlClient) -> list[sdk.KillSwitch]:
    """Those of all tenants that have a file, and of none; newest first."""
    lists = [client.kill_switches(each) for each in ("", *client.policy_status().tenants)]
    found = {(each.tenant, each.id): each for some in lists for each in some}
    return sorted(found.values(), key=lambda each: (time_text(each.set_at), each.id), reverse=True)


def _print_revoked(revoked: Sequence[sdk.RevokedPermit]) -> None:
    shown = revoked[:_REVOKED_SHOWN]
    print_table(
        _REVOKED_COLUMNS, [(each.decision_id, each.tenant, each.tool, each.agent, each.run_id) for each in shown]
    )
    if more := len(revoked) - len(shown):
        typer.echo(f"and {more:,} more; --output json lists all")
    typer.echo()


def _document(switch: sdk.KillSwitch) -> dict[str, Any]:
    return {
        "id": switch.id,
        "scope": switch.scope.value,
        "value": switch.value,
        "tenant": switch.tenant,
        "set_at": time_text(switch.set_at),
        "expires_at": time_text(switch.expires_at),
        "actor": switch.actor,
        "reason": switch.reason,
        "clearing": waiting_document(switch.clearing),
    }


def _revoked_document(revoked: sdk.RevokedPermit) -> dict[str, str]:
    return {
        "decision_id": revoked.decision_id,
        "tenant": revoked.tenant,
        "tool": revoked.tool,
        "agent": revoked.agent,
        "run_id": revoked.run_id,
    }


def _rows(found: Sequence[sdk.KillSwitch]) -> list[tuple[str, ...]]:
    return [
        (
            each.id,
            f"{each.scope} {each.value}".strip(),
            each.tenant,
            time_text(each.set_at),
            time_text(each.expires_at),
            each.actor,
            each.reason,
            f"asked by {each.clearing.requested_by}" if each.clearing is not None else "",
        )
        for each in found
    ]
