"""`placet kill`: stop what agents do, at once, and let it go on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.documents import time_text
from placet.cli.options import Address, OutputOption, Timeout  # noqa: TC001 - typer reads them
from placet.cli.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason, SomeTenant, tell_waiting, waiting_document
from placet.core.limits import KILL_SWITCH_TTL_SECONDS_MAX
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.control import KILL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Stop what agents do, at once; let it go on; list what is stopped.")
_COLUMNS: Final = ("id", "stops", "tenant", "set_at", "expires_at", "actor", "reason", "clearing")
_REVOKED_COLUMNS: Final = ("revoked", "tenant", "tool", "agent", "run_id")


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
        int,
        typer.Option(
            min=0, max=KILL_SWITCH_TTL_SECONDS_MAX, help="Seconds until it ends by itself. 0: never.", metavar="SECONDS"
        ),
    ] = 0,
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
        done = client.set_kill_switch(
            scope,
            value,
            tenant=tenant,
            actor=actor,
            reason=reason,
            expires_after_seconds=expires,
            timeout=timeout,
        )
        _doubt(client, tenant)
    if output is Output.JSON:
        revoked = [_revoked_document(each) for each in done.revoked]
        print_json({"kill_switch": _document(done.kill_switch), "revoked": revoked})
        return
    print_fields(_document(done.kill_switch).items())
    if done.revoked:
        typer.echo()
        rows = [(each.decision_id, each.tenant, each.tool, each.agent, each.run_id) for each in done.revoked]
        print_table(_REVOKED_COLUMNS, rows)


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
        waiting = client.clear_kill_switch(kill_switch_id, tenant=tenant, actor=actor, reason=reason)
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
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the switches that reach into a tenant; without one, those that belong to none. Newest first.

    Example: placet kill list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        found = client.kill_switches(tenant)
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


def _doubt(client: sdk.ControlClient, tenant: str) -> None:
    """Say on stderr when no file is of the tenant: a switch for one that is misspelt stops nobody."""
    with contextlib.suppress(sdk.CallFailedError):  # the switch is set: nothing else matters now
        known = client.policy_status().tenants
        if tenant and tenant not in known:
            typer.echo(
                f"placet: it is set, but no agent_policy is of {tenant!r}; there are {', '.join(known)}", err=True
            )


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
