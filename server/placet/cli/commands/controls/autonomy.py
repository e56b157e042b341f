"""`placet autonomy`: the levels of autonomy that were set while the server runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.groups import warn_renamed
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
from placet.cli.rendering.documents import pending_document, time_text
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Set, unset and list levels of autonomy.")
_COLUMNS: Final = ("level", "workflow", "tool", "agent", "set_at", "actor", "reason")
_UNSET: Final = "file"
"""The level that meant `placet autonomy unset` in earlier versions."""


class LevelChoice(StrEnum):
    """A level that can be set."""

    OBSERVE_ONLY = "observe_only"
    DRAFT_ONLY = "draft_only"
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    EXECUTE = "execute"


def _require_level(level: str) -> str:
    if level not in (*LevelChoice, _UNSET):
        raise typer.BadParameter(f"{level!r} is not one of {', '.join(LevelChoice)}")
    return level


AutonomyLevel = Annotated[
    str,
    typer.Argument(
        help=f"One of {', '.join(LevelChoice)}.",
        metavar="LEVEL",
        callback=_require_level,
        autocompletion=lambda: [level.value for level in LevelChoice],
    ),
]
Workflow = Annotated[str, typer.Option(help="Only in this workflow.", show_default=False)]
Tool = Annotated[str, typer.Option(help="Only for this tool; * matches any text.", show_default=False)]
Agent = Annotated[str, typer.Option(help="Only for this agent.", show_default=False)]


@app.command("set")
def set_command(  # noqa: PLR0913 - one option for each field
    level: AutonomyLevel,
    *,
    tenant: Tenant,
    reason: Reason,
    workflow: Workflow = "",
    tool: Tool = "",
    agent: Agent = "",
    strict: Strict = False,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set the level of autonomy for a workflow, tool or agent, or for all of a tenant.

    Raising a level takes two people: the first run exits with 4, and a second person runs the same command.

    Example: placet autonomy set draft_only --tenant acme --workflow refunds --reason 'new model'
    """
    if level == _UNSET:
        warn_renamed("autonomy set file", "autonomy unset")
    autonomy = sdk.Autonomy.UNSPECIFIED if level == _UNSET else sdk.Autonomy(level)
    with sdk.ControlClient(address, timeout=timeout) as client:
        change = client.set_autonomy(
            tenant, autonomy, actor=actor, reason=reason, workflow=workflow, tool=tool, agent=agent, strict=strict
        )
    _show_change(change, output)


@app.command("unset")
def unset_command(  # noqa: PLR0913 - one option for each field
    *,
    tenant: Tenant,
    reason: Reason,
    workflow: Workflow = "",
    tool: Tool = "",
    agent: Agent = "",
    strict: Strict = False,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove a level that was set, so that the tenant's file decides again.

    Name the same workflow, tool and agent as when it was set. Removing a level that is lower than the file's takes two
    people: the first run exits with 4, and a second person runs the same command.

    Example: placet autonomy unset --tenant acme --workflow refunds --reason 'the new model is tested'
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        change = client.set_autonomy(
            tenant,
            sdk.Autonomy.UNSPECIFIED,
            actor=actor,
            reason=reason,
            workflow=workflow,
            tool=tool,
            agent=agent,
            strict=strict,
        )
    _show_change(change, output)


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the levels that were set with `placet autonomy set`, newest first.

    The levels in the tenant's file are not listed.

    Example: placet autonomy list --tenant acme
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        rows = [_document(rule) for rule in client.autonomy(tenant)]
    if output is Output.JSON:
        print_json({"rules": rows})
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    if not rows:
        warn_unknown_tenant(address, tenant)


def _show_change(change: sdk.AutonomySet, output: Output) -> None:
    """Print the change. Exit with 4 when it waits for a second person."""
    warn(change.warnings)
    rule = _document(change.rule) if change.rule is not None else None
    if output is Output.JSON:
        print_json(
            {
                "applied": change.pending_request is None,
                "rule": rule,
                "waiting": pending_document(change.pending_request),
            }
        )
    elif change.pending_request is None and rule is not None:
        print_fields(rule.items())
    elif change.pending_request is None:
        typer.echo("unset; the tenant's file decides")
    if change.pending_request is not None:
        exit_pending(change.pending_request)


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
