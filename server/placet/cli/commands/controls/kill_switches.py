"""`placet kill-switches`: stop what agents do, at once, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.failures import STORE_DOWN, code_of, line_of
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason, SomeTenant, Strict, doubt_tenant, tell_waiting, waiting_document, warn
from placet.kernel.limits import KILL_SWITCH_TTL_SECONDS_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, KILL_TIMEOUT_SECONDS
from placet.sdk.failures import ANSWER_INVALID, ERROR, NOT_FOUND, TIMEOUT, UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Stop what agents do, at once; let it go on; list what is stopped.")
_COLUMNS: Final = ("id", "stops", "tenant", "set_at", "expires_at", "actor", "reason", "clearing")
_SET_FIELDS: Final = ("id", "scope", "value", "tenant", "reason", "actor", "set_at", "expires_at")
"""Below the permits: people look there after a long list."""
_SAID_OF_PERMITS: Final = {
    "revoked": "The switch revoked these permits; their calls may be running:",
    "not revoked": "These permits could NOT be revoked, and hold until they expire:",
}
_REVOKED_SHOWN: Final = 20
_PERMIT_COLUMNS: Final = ("tenant", "tool", "agent", "run_id")


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
    strict: Strict = False,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = KILL_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a tool, agent, workflow, run or tenant, or everything. When it returns, no replica allows it any longer.

    A name that matches nothing known is set all the same, with a warning. Exit code 5 with "is set" on stderr: the
    switch holds, but permits given before it could not be revoked.

    Example: placet kill-switches set --tool 'stripe.*' --reason 'refunds run wild'
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
                strict=strict,
                timeout=timeout,
            )
        except sdk.CallFailedError as error:
            raise _not_set(error.failure) from error
    warn(f"it is set, but {warning}" for warning in done.warnings)
    if output is Output.JSON:
        print_json(_set_document(done))
    else:
        _print_set(done)
    if done.not_revoked or done.revocation_incomplete:
        raise _not_revoked(done)


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
    """Clear a switch. One that stops a tenant or more is cleared when a second person types the same: exit code 4.

    Whoever the switch names may not clear it, and no agent may clear any.

    Example: placet kill-switches clear ks_0123456789abcdef --tenant acme --reason 'mended in 4.2'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        try:
            waiting = client.clear_kill_switch(kill_switch_id, tenant=tenant, actor=actor, reason=reason)
        except sdk.CallFailedError as error:
            if error.failure.rule_id == NOT_FOUND and (hint := _where_it_is(client, kill_switch_id)):
                typer.echo(f"placet: {kill_switch_id}: {hint}", err=True)
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
    every: Annotated[bool, typer.Option("--all", help="Those of all tenants, and of none.")] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the switches that reach into a tenant; without one, those that belong to none. Newest first.

    Example: placet kill-switches list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        if every and tenant:
            raise typer.BadParameter("--all lists every tenant's; leave out --all, or --tenant")
        found = client.kill_switches(tenant, every_tenant=every)
    if output is Output.JSON:
        print_json({"kill_switches": [_document(each) for each in found]})
    else:
        print_table(_COLUMNS, _rows(found))
    if not any(each.tenant == tenant for each in found):
        doubt_tenant(address, tenant)


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
    is_set = "not known whether it is set, see `placet kill-switches list`" if _may_be_set(failure) else "NOT set"
    why = f"{failure.detail.rpartition('; ')[0] or 'the store failed'} ({failure.error})"
    typer.echo(f"placet: {is_set}; {why if failure.error == STORE_DOWN else line_of(failure)}", err=True)
    return typer.Exit(code_of(failure))


def _may_be_set(failure: sdk.Failure) -> bool:
    """Whether the call failed after the server may have set the switch."""
    if failure.rule_id == UNAVAILABLE:
        return "refused" not in failure.detail.lower()  # nobody listens, so nobody set it
    return failure.rule_id in {TIMEOUT, ERROR, ANSWER_INVALID}


def _not_revoked(done: sdk.KillSwitchSet) -> typer.Exit:
    """Say that the switch is set and that earlier permits still hold."""
    count = f"{len(done.not_revoked):,}{' or more' if done.revocation_incomplete else ''}"
    typer.echo(
        f"placet: {done.kill_switch.id} is set and stops every new call, but {count} earlier permits could not be "
        "revoked: the store failed. They expire by themselves within 65 s; type the same again to revoke them",
        err=True,
    )
    return typer.Exit(exit_codes.NO_DECISION)


def _where_it_is(client: sdk.ControlClient, kill_switch_id: str) -> str:
    """Say to whom the switch belongs, when it is set for another tenant than was named; "" when it is not set."""
    for switch in client.kill_switches(every_tenant=True):
        if switch.id == kill_switch_id:
            if switch.tenant:
                return f"it belongs to tenant {switch.tenant}; add --tenant {switch.tenant}"
            return "it belongs to no tenant; leave --tenant out"
    return ""


def _set_document(done: sdk.KillSwitchSet) -> dict[str, Any]:
    return {
        "kill_switch": _document(done.kill_switch),
        "revoked": [_revoked_document(each) for each in done.revoked],
        "not_revoked": [_revoked_document(each) for each in done.not_revoked],
        "revocation_incomplete": done.revocation_incomplete,
        "warnings": list(done.warnings),
    }


def _print_set(done: sdk.KillSwitchSet) -> None:
    for name, permits in (("revoked", done.revoked), ("not revoked", done.not_revoked)):
        if permits:
            _print_permits(name, permits)
    document = _document(done.kill_switch)
    print_fields((name, document[name]) for name in _SET_FIELDS)


def _print_permits(name: str, revoked: Sequence[sdk.RevokedPermit]) -> None:
    typer.echo(_SAID_OF_PERMITS[name])
    shown = revoked[:_REVOKED_SHOWN]
    rows = [(each.decision_id, each.tenant, each.tool, each.agent, each.run_id) for each in shown]
    print_table((name, *_PERMIT_COLUMNS), rows)
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
