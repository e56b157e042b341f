"""`placet autonomy`: how far agents go by themselves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason, Strict, doubt_tenant, tell_waiting, waiting_document, warn
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Set how far agents go by themselves; list what is set.")
_COLUMNS: Final = ("level", "workflow", "tool", "agent", "set_at", "actor", "reason")


class LevelChoice(StrEnum):
    """A level, or `file`: what the tenant's file says."""

    OBSERVE_ONLY = "observe_only"
    DRAFT_ONLY = "draft_only"
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    EXECUTE = "execute"
    FILE = "file"


@app.command("set")
def set_command(  # noqa: PLR0913 - one option for each field
    level: Annotated[LevelChoice, typer.Argument(help="How far; `file` takes away what was set.")],
    *,
    tenant: Tenant,
    reason: Reason,
    workflow: Annotated[str, typer.Option(help="Only in this workflow.", show_default=False)] = "",
    tool: Annotated[str, typer.Option(help="Only with this tool; * stands for any text.", show_default=False)] = "",
    agent: Annotated[str, typer.Option(help="Only this agent.", show_default=False)] = "",
    strict: Strict = False,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set how far agents go. Where that lets them do more, a second person types the same: exit code 4 until then.

    Example: placet autonomy set draft_only --tenant acme --workflow refunds --reason 'new model'
    """
    wanted = sdk.Autonomy.UNSPECIFIED if level is LevelChoice.FILE else sdk.Autonomy(level.value)
    with sdk.ControlClient(address, timeout=timeout) as client:
        done = client.set_autonomy(
            tenant, wanted, actor=actor, reason=reason, workflow=workflow, tool=tool, agent=agent, strict=strict
        )
    warn(done.warnings)
    rule = _document(done.rule) if done.rule is not None else None
    if output is Output.JSON:
        print_json({"applied": done.waiting is None, "rule": rule, "waiting": waiting_document(done.waiting)})
    elif done.waiting is None and rule is not None:
        print_fields(rule.items())
    elif done.waiting is None:
        typer.echo("taken away; the tenant's file decides")
    if done.waiting is not None:
        tell_waiting(done.waiting)


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what was set while the server ran, newest first; the tenant's file says the rest.

    Example: placet autonomy list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        rows = [_document(each) for each in client.autonomy(tenant)]
    if output is Output.JSON:
        print_json({"rules": rows})
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    if not rows:
        doubt_tenant(address, tenant)


def _document(rule: sdk.AutonomyRule) -> dict[str, Any]:
    return {
        "level": rule.level.value,
        "workflow": rule.workflow,
        "tool": rule.tool,
        "agent": rule.agent,
        "set_at": time_text(rule.set_at),
        "actor": rule.actor,
        "reason": rule.reason,
    }
