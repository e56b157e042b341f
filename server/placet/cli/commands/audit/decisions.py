"""`placet audit decisions`, `tail` and `show`: recorded decisions, read from a running server."""

from __future__ import annotations

from time import sleep as pause
from typing import Annotated, Final

import typer

from placet import sdk
from placet.cli.commands.audit.decision_pages import Tail, newest
from placet.cli.notices import warn_unknown_tenant
from placet.cli.options import Address, Limit, OutputOption, Tenant, Timeout, finite, parse_time
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import (
    FINDING_COLUMNS,
    OBLIGATION_COLUMNS,
    finding_rows,
    obligation_rows,
    recorded_document,
    short_time_text,
)
from placet.cli.rendering.output import Output, print_error, print_fields, print_json, print_table
from placet.kernel.limits import PAGE_SIZE_DEFAULT
from placet.sdk.defaults import DEFAULT_ADDRESS, READ_TIMEOUT_SECONDS

_ID: Final = "decision_id"
COLUMNS: Final = ("decided_at", "effect", "rule_id", "tool", "agent", "caller", _ID)
"""Without the user and the run, which JSON has, so that a terminal of 100 columns shows a row in few lines."""
TAIL_DEFAULT: Final = 10

Effect = Annotated[sdk.Effect | None, typer.Option(help="Only decisions with this effect.", show_default=False)]
RuleId = Annotated[str, typer.Option(help="Only decisions by this rule.", show_default=False)]
Tool = Annotated[str, typer.Option(help="Only calls of this tool.", show_default=False)]
RunId = Annotated[str, typer.Option(help="Only calls of this run.", show_default=False)]
User = Annotated[str, typer.Option(help="Only calls on behalf of this user.", show_default=False)]
Agent = Annotated[str, typer.Option(help="Only calls of this agent.", show_default=False)]
Caller = Annotated[str, typer.Option(help="Only requests of this caller.", metavar="CALLER", show_default=False)]
Person = Annotated[
    str,
    typer.Option(
        help="Only calls on behalf of this person, whom a user token proved.", metavar="PERSON", show_default=False
    ),
]
From = Annotated[
    str,
    typer.Option(
        "--from", help="Decided at or after this time, ISO 8601. Default zone: UTC.", metavar="TIME", show_default=False
    ),
]
Until = Annotated[
    str,
    typer.Option("--until", help="Decided before this time.", metavar="TIME", show_default=False),
]
DecisionId = Annotated[str, typer.Argument(help="The decision, dec_...", metavar="DECISION_ID")]


def decisions_command(  # noqa: PLR0913 - one option for each filter
    *,
    tenant: Tenant,
    effect: Effect = None,
    rule_id: RuleId = "",
    tool: Tool = "",
    run_id: RunId = "",
    user: User = "",
    agent: Agent = "",
    caller: Caller = "",
    person: Person = "",
    since: From = "",
    until: Until = "",
    limit: Limit = PAGE_SIZE_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List recorded decisions, newest first.

    In JSON, each has its tool-call event under `event`.

    Example: placet audit decisions --tenant acme --effect deny --from 2026-04-24T00:00:00Z --output json
    """
    query = sdk.Query(
        tenant,
        effect,
        rule_id,
        tool,
        run_id,
        user,
        agent,
        decided_from=parse_time("--from", since),
        decided_until=parse_time("--until", until),
        caller=caller,
        person=person,
    )
    with sdk.AuditClient(address, timeout=timeout) as client:
        recorded = newest(client, query, limit)
    if output is Output.JSON:
        print_json({"decisions": [recorded_document(decision, with_input=False) for decision in recorded]})
    else:
        print_table(COLUMNS, [_row(decision) for decision in recorded], whole=_ID)
    if not recorded:
        warn_unknown_tenant(address, tenant)


def tail_command(  # noqa: PLR0913 - one option for each filter
    *,
    tenant: Tenant,
    effect: Effect = None,
    rule_id: RuleId = "",
    tool: Tool = "",
    run_id: RunId = "",
    user: User = "",
    agent: Agent = "",
    caller: Caller = "",
    person: Person = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Number of decisions to start with.", metavar="N")
    ] = TAIL_DEFAULT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new decisions until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two queries.", metavar="SECONDS", callback=finite)
    ] = 1.0,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the newest decisions, oldest first.

    JSON is one document a line.

    Example: placet audit tail --tenant acme --follow
    """
    query = sdk.Query(tenant, effect, rule_id, tool, run_id, user, agent, caller=caller, person=person)
    with sdk.AuditClient(address, timeout=timeout) as client:
        trail = Tail(client, query, limit)
        _print_tail(trail.first, output, header=True)
        while follow:
            pause(interval)
            _print_tail(trail.more(), output, header=False)


def show_command(
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = READ_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a recorded decision with its findings and the policy input.

    Exit code 1 when the tenant does not have the decision.

    Example: placet audit show dec_0190c3... --tenant acme
    """
    with sdk.AuditClient(address, timeout=timeout) as client:
        recorded = client.get(tenant, decision_id)
    if recorded is None:
        remedy = "see `placet audit decisions`"
        print_error(f"placet: {decision_id}: tenant {tenant} does not have this decision; {remedy}")
        raise typer.Exit(exit_codes.CHECK_FAILED)
    document = recorded_document(recorded, with_input=True)
    if output is Output.JSON:
        print_json(document)
        return
    nested = ("findings", "event", "input", "approval", "obligations", "budgets")
    print_fields((name, value) for name, value in document.items() if name not in nested)
    if recorded.decision.findings:
        typer.echo()
        print_table(FINDING_COLUMNS, finding_rows(recorded.decision.findings))
    if recorded.decision.obligations:
        typer.echo()
        print_table(OBLIGATION_COLUMNS, obligation_rows(recorded.decision.obligations))
    typer.echo("\nPolicy input:")
    print_json(document["input"])


def _print_tail(recorded: list[sdk.RecordedDecision], output: Output, *, header: bool) -> None:
    if output is Output.JSON:
        for decision in recorded:
            print_json(recorded_document(decision, with_input=False), one_line=True)
    elif recorded or header:
        print_table(COLUMNS, [_row(decision) for decision in recorded], header=header, whole=_ID)


def _row(recorded: sdk.RecordedDecision) -> tuple[str, ...]:
    document = recorded_document(recorded, with_input=True)
    event, policy_input = document["event"] or {}, document["input"] or {}
    return (
        short_time_text(recorded.decision.decided_at),
        recorded.decision.effect.value,
        recorded.decision.rule_id,
        _text(event, "tool", "name"),
        _text(policy_input, "identity", "agent"),
        recorded.caller,
        recorded.decision.decision_id,
    )


def _text(document: object, *path: str) -> str:
    """Return the value at the path as text; "" when there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return "" if document is None else str(document)
