"""`placet authorize`: ask for one decision, from a shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from placet import sdk
from placet.actions.canonical_json import NotCanonicalError, canonical, parse_object
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.amounts import parse_amount
from placet.cli.rendering.documents import (
    FINDING_COLUMNS,
    OBLIGATION_COLUMNS,
    decision_document,
    finding_rows,
    obligation_rows,
)
from placet.cli.rendering.failures import STORE_DOWN, code_without_decision, line_of
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PARAMS_BYTES_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.failures import TIMEOUT

CODES: Final = {
    sdk.Effect.ALLOW: exit_codes.OK,
    sdk.Effect.DENY: exit_codes.DENIED,
    sdk.Effect.REQUIRE_APPROVAL: exit_codes.NEEDS_APPROVAL,
}
_DIGEST_MARK: Final = "@sha256:"

app = typer.Typer()


@app.command("authorize")
def authorize(  # noqa: PLR0913 - one option for each thing that can be said of an action
    *,
    tool: Annotated[str, typer.Option(help="The tool, e.g. stripe.refund.")],
    agent: Annotated[str, typer.Option(help="The agent that would run it.")],
    tenant: Tenant,
    params: Annotated[
        str, typer.Option(help="Its parameters: a JSON object, @FILE, or - for stdin.", metavar="JSON|@FILE|-")
    ] = "{}",
    amount: Annotated[
        str | None,
        typer.Option(help="Money that it moves, e.g. '45.00 USD'.", metavar="'N CODE'", show_default=False),
    ] = None,
    user: Annotated[str, typer.Option(help="On whose behalf.", show_default=False)] = "",
    role: Annotated[list[str] | None, typer.Option(help="A role of the user. May be repeated.")] = None,
    delegation: Annotated[
        list[str] | None, typer.Option(help="Who handed the work on, the originator first. May be repeated.")
    ] = None,
    scope: Annotated[str, typer.Option(help="Permission scope, e.g. jira:write.", show_default=False)] = "",
    environment: Annotated[str, typer.Option(help="Where it runs, e.g. production.", show_default=False)] = "",
    destination: Annotated[
        str, typer.Option(help="Host, queue, branch or address that it reaches.", show_default=False)
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The call would change nothing.")] = False,
    run_id: Annotated[str, typer.Option(help="Id of the run.", show_default=False)] = "",
    trace_id: Annotated[str, typer.Option(help="W3C trace id of the run.", show_default=False)] = "",
    workflow: Annotated[str, typer.Option(help="Kind of work, e.g. support_refunds.", show_default=False)] = "",
    model: Annotated[str, typer.Option(help="Model that proposed it.", show_default=False)] = "",
    prompt_version: Annotated[str, typer.Option(help="Version of the prompt.", show_default=False)] = "",
    evidence: Annotated[
        list[str] | None,
        typer.Option(help="What it rests on. May be repeated.", metavar=f"URI[{_DIGEST_MARK}HEX]"),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key gives the same decision again. Default: a fresh one.")
    ] = None,
    approval_id: Annotated[str, typer.Option(help="The approval to use, apr_...", show_default=False)] = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask for one decision. It is recorded like any other.

    Exit codes: 0 allowed, 3 denied, 4 needs approval, 5 could not decide or connect, 2 wrong usage.

    Example: placet authorize --tenant acme --agent me --tool stripe.refund --role support_refunds --amount '45.00 USD'
    """
    action = sdk.Action(
        tool,
        _checked_params(_read_params(params)),
        amount=parse_amount(amount) if amount is not None else None,
        scope=scope,
        environment=environment,
        destination=destination,
        dry_run=dry_run,
    )
    with sdk.Client(address, timeout=timeout) as client:
        decision = client.authorize(
            action,
            sdk.Identity(agent, tenant, user, role or (), delegation or ()),
            run=sdk.Run(run_id=run_id, trace_id=trace_id, workflow=workflow),
            model=sdk.Model(name=model, prompt_version=prompt_version),
            evidence=[_read_evidence(each) for each in evidence or ()],
            idempotency_key=idempotency_key,
            approval_id=approval_id,
        )
    _show(decision, output)
    raise typer.Exit(CODES[decision.effect] if decision.failure is None else code_without_decision(decision.failure))


def _checked_params(text: str) -> str:
    """The JSON text, which the server would take too. ConfigurationError before anything is asked."""
    try:
        canonical(parse_object(text))
    except NotCanonicalError as error:
        raise ConfigurationError(f'--params: {error}; give a JSON object, such as \'{{"amount": "45.00"}}\'') from error
    return text


def _read_params(written: str) -> str:
    """The text. ConfigurationError when a file cannot be read."""
    if written == "-":
        return _read_stdin()
    if not written.startswith("@"):
        return written
    path = Path(written[1:])
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(PARAMS_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"--params: {path}: {error.strerror}; name a file with a JSON object") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--params: {path}: is not UTF-8; write the JSON object as UTF-8") from error


def _read_stdin() -> str:
    if sys.stdin is None:  # closed by whoever started this
        raise ConfigurationError(
            "--params: - reads stdin, which is closed; pipe the JSON object in, or name a file with @FILE"
        )
    try:
        return sys.stdin.read(PARAMS_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"--params: stdin cannot be read: {error.strerror}; pipe the JSON object in"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("--params: stdin is not UTF-8; write the JSON object as UTF-8") from error


def _read_evidence(written: str) -> sdk.Evidence:
    uri, mark, digest = written.rpartition(_DIGEST_MARK)
    return sdk.Evidence(uri, digest) if mark else sdk.Evidence(written)


def _key_to_repeat(decision: sdk.Decision) -> str:
    """The key that gives the decision if it was recorded; "" where nothing can have been."""
    failure = decision.failure
    if failure is None or not (failure.error == STORE_DOWN or failure.rule_id == TIMEOUT):
        return ""
    return f"; the same request is --idempotency-key {decision.idempotency_key}"


def _show(decision: sdk.Decision, output: Output) -> None:
    if output is Output.JSON:
        print_json(decision_document(decision))
    if decision.failure is not None:
        typer.echo(f"placet: {line_of(decision.failure)}{_key_to_repeat(decision)}", err=True)
        return
    if output is Output.TABLE:
        approval = decision.approval
        print_fields(
            [
                ("effect", decision.effect.value),
                ("rule_id", decision.rule_id),
                ("reason", decision.reason),
                (
                    "approvers",
                    f"{approval.quorum} of {', '.join(approval.approver_roles) or 'any'}" if approval else "",
                ),
                ("approval_id", approval.id if approval else ""),
                ("approval_url", approval.url if approval else ""),
                ("decision_id", decision.decision_id),
                ("policy", decision.policy_revision),
            ]
        )
        if len(decision.findings) > 1 or any(each.details for each in decision.findings):
            typer.echo()
            print_table(FINDING_COLUMNS, finding_rows(decision.findings))
        if decision.obligations:
            typer.echo()
            print_table(OBLIGATION_COLUMNS, obligation_rows(decision.obligations))
