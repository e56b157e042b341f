"""What a running server tells of its audit trail."""

from __future__ import annotations

from time import sleep as pause
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet import sdk
from placet.cli.commands.audit.decision_pages import Tail, newest
from placet.cli.options import Address, OutputOption, Tenant, Timeout, finite, parse_time
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import (
    FINDING_COLUMNS,
    OBLIGATION_COLUMNS,
    finding_rows,
    obligation_rows,
    recorded_document,
    time_text,
)
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.cli.steering import doubt_tenant
from placet.kernel.limits import PAGE_SIZE_DEFAULT
from placet.sdk.defaults import DEFAULT_ADDRESS, READ_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS: Final = ("decided_at", "effect", "rule_id", "tool", "agent", "user", "run_id", "decision_id")
TAIL_DEFAULT: Final = 10

Effect = Annotated[sdk.Effect | None, typer.Option(help="Only this effect.", show_default=False)]
RuleId = Annotated[str, typer.Option(help="Only this deciding rule.", show_default=False)]
Tool = Annotated[str, typer.Option(help="Only this tool.", show_default=False)]
RunId = Annotated[str, typer.Option(help="Only this run.", show_default=False)]
User = Annotated[str, typer.Option(help="Only this user.", show_default=False)]
Agent = Annotated[str, typer.Option(help="Only this agent.", show_default=False)]


def decisions(  # noqa: PLR0913 - one option for each condition
    *,
    tenant: Tenant,
    effect: Effect = None,
    rule_id: RuleId = "",
    tool: Tool = "",
    run_id: RunId = "",
    user: User = "",
    agent: Agent = "",
    since: Annotated[str, typer.Option("--from", help="Decided at or after, ISO 8601; UTC unless it says.")] = "",
    until: Annotated[str, typer.Option("--until", help="Decided before, likewise.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = PAGE_SIZE_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List recorded decisions, newest first. With JSON, each has its tool-call event under `event`.

    Example: placet audit decisions --tenant acme --effect deny --from 2026-04-24T00:00:00Z --output json
    """
    asked = sdk.Query(
        tenant,
        effect,
        rule_id,
        tool,
        run_id,
        user,
        agent,
        decided_from=parse_time("--from", since),
        decided_until=parse_time("--until", until),
    )
    with sdk.AuditClient(address, timeout=timeout) as client:
        found = newest(client, asked, limit)
    if output is Output.JSON:
        print_json({"decisions": [recorded_document(each, with_input=False) for each in found]})
    else:
        print_table(COLUMNS, _rows(found))
    if not found:
        doubt_tenant(address, tenant)


def tail(  # noqa: PLR0913 - one option for each condition
    *,
    tenant: Tenant,
    effect: Effect = None,
    rule_id: RuleId = "",
    tool: Tool = "",
    run_id: RunId = "",
    user: User = "",
    agent: Agent = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to begin with.")] = TAIL_DEFAULT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is decided, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.", callback=finite)] = 1.0,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the newest decisions, oldest first; JSON as one document a line.

    Example: placet audit tail --tenant acme --follow
    """
    asked = sdk.Query(tenant, effect, rule_id, tool, run_id, user, agent)
    with sdk.AuditClient(address, timeout=timeout) as client:
        trail = Tail(client, asked, limit)
        _print_tail(trail.first, output, header=True)
        while follow:
            pause(interval)
            _print_tail(trail.more(), output, header=False)


def show(
    decision_id: Annotated[str, typer.Argument(help="The id, dec_...")],
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one recorded decision with all that is kept of it. Exit code 1 when the tenant has none of that id.

    Example: placet audit show dec_0190c3... --tenant acme
    """
    with sdk.AuditClient(address, timeout=timeout) as client:
        found = client.get(tenant, decision_id)
    if found is None:
        typer.echo(
            f"placet: {decision_id}: tenant {tenant} has no such decision; see `placet audit decisions`", err=True
        )
        raise typer.Exit(exit_codes.CHECK_FAILED)
    document = recorded_document(found, with_input=True)
    if output is Output.JSON:
        print_json(document)
        return
    nested = ("findings", "event", "input", "approval", "obligations", "budgets")
    print_fields((name, value) for name, value in document.items() if name not in nested)
    if found.decision.findings:
        typer.echo()
        print_table(FINDING_COLUMNS, finding_rows(found.decision.findings))
    if found.decision.obligations:
        typer.echo()
        print_table(OBLIGATION_COLUMNS, obligation_rows(found.decision.obligations))
    typer.echo("\nWhat policy saw:")
    print_json(document["input"])


def _print_tail(found: list[sdk.RecordedDecision], output: Output, *, header: bool) -> None:
    if output is Output.JSON:
        for each in found:
            print_json(recorded_document(each, with_input=False), one_line=True)
    elif found or header:
        print_table(COLUMNS, _rows(found), header=header)


def _rows(found: Iterable[sdk.RecordedDecision]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for each in found:
        document = recorded_document(each, with_input=True)
        event, said = document["event"] or {}, document["input"] or {}
        rows.append(
            (
                time_text(each.decision.decided_at),
                each.decision.effect.value,
                each.decision.rule_id,
                _text(event, "tool", "name"),
                _text(said, "identity", "agent"),
                _text(event, "user", "id"),
                _text(event, "run_id"),
                each.decision.decision_id,
            )
        )
    return rows


def _text(document: object, *path: str) -> str:
    """What stands at the path, as text; empty when nothing does."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return "" if document is None else str(document)
