"""`placet authorize`: ask for one decision."""

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
from placet.cli.rendering.output import Output, print_error, print_fields, print_json, print_table
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PARAMS_BYTES_MAX
from placet.kernel.printable import visible
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.failures import TIMEOUT

CODES: Final = {
    sdk.Effect.ALLOW: exit_codes.OK,
    sdk.Effect.DENY: exit_codes.DENIED,
    sdk.Effect.REQUIRE_APPROVAL: exit_codes.NEEDS_APPROVAL,
}
_DIGEST_MARK: Final = "@sha256:"

app = typer.Typer()


Tool = Annotated[str, typer.Option(help="The tool, e.g. stripe.refund.", metavar="TOOL")]
Agent = Annotated[str, typer.Option(help="The agent that wants to call the tool.", metavar="AGENT")]
Params = Annotated[str, typer.Option(help="Parameters: a JSON object, @FILE, or - for stdin.", metavar="JSON|@FILE|-")]
Amount = Annotated[
    str | None,
    typer.Option(help="Money that the call moves, e.g. '45.00 USD'.", metavar="'N CODE'", show_default=False),
]
User = Annotated[str, typer.Option(help="The user on whose behalf the agent acts.", show_default=False)]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role of the user. May be repeated.", metavar="ROLE")]
Delegation = Annotated[
    list[str] | None,
    typer.Option(
        help="An agent or person that delegated the work, the originator first. May be repeated.", metavar="NAME"
    ),
]
Scope = Annotated[str, typer.Option(help="Permission scope of the call, e.g. jira:write.", show_default=False)]
Environment = Annotated[str, typer.Option(help="Environment of the call, e.g. production.", show_default=False)]
Destination = Annotated[
    str, typer.Option(help="Host, queue, branch or address that the call reaches.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="The call changes nothing.")]
RunId = Annotated[str, typer.Option(help="Id of the run.", show_default=False)]
TraceId = Annotated[str, typer.Option(help="W3C trace id of the run.", show_default=False)]
Workflow = Annotated[str, typer.Option(help="Workflow of the run, e.g. support_refunds.", show_default=False)]
Model = Annotated[str, typer.Option(help="Model that proposed the call.", show_default=False)]
PromptVersion = Annotated[str, typer.Option(help="Version of the prompt.", show_default=False)]
Evidence = Annotated[
    list[str] | None,
    typer.Option(help="A document that supports the call. May be repeated.", metavar=f"URI[{_DIGEST_MARK}HEX]"),
]
IdempotencyKey = Annotated[
    str | None, typer.Option(help="A repeat with the same key returns the same decision. Default: a new key.")
]
ApprovalId = Annotated[str, typer.Option(help="An approval of this call, apr_...", show_default=False)]
Permit = Annotated[
    bool, typer.Option("--permit", help="Ask for the permit of an allow. It is the last line of the output.")
]


@app.command("authorize")
def authorize(  # noqa: PLR0913 - one option for each field of a request
    *,
    tool: Tool,
    agent: Agent,
    tenant: Tenant,
    params: Params = "{}",
    amount: Amount = None,
    user: User = "",
    role: Roles = None,
    delegation: Delegation = None,
    scope: Scope = "",
    environment: Environment = "",
    destination: Destination = "",
    dry_run: DryRun = False,
    run_id: RunId = "",
    trace_id: TraceId = "",
    workflow: Workflow = "",
    model: Model = "",
    prompt_version: PromptVersion = "",
    evidence: Evidence = None,
    idempotency_key: IdempotencyKey = None,
    approval_id: ApprovalId = "",
    permit: Permit = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask for one decision.

    The server records it. Exit codes: 0 allowed, 2 wrong usage, 3 denied, 4 needs approval, 5 no decision.

    Example: placet authorize --tenant acme --agent me --role support_refunds --tool stripe.refund
    --params '{"charge": "ch_42", "amount": 45, "currency": "USD"}' --amount '45.00 USD'
    """
    json_params = _checked_params(_read_params(params))
    money = parse_amount(amount) if amount is not None else None
    action = sdk.Action(
        tool, json_params, amount=money, scope=scope, environment=environment, destination=destination, dry_run=dry_run
    )
    with sdk.Client(address, timeout=timeout) as client:
        decision = client.authorize(
            action,
            sdk.Identity(agent, tenant, user, role or (), delegation or ()),
            run=sdk.Run(run_id=run_id, trace_id=trace_id, workflow=workflow),
            model=sdk.Model(name=model, prompt_version=prompt_version),
            evidence=[_read_evidence(text) for text in evidence or ()],
            idempotency_key=idempotency_key,
            approval_id=approval_id,
            include_permit=permit,
        )
    _show(decision, output, permit=permit)
    raise typer.Exit(CODES[decision.effect] if decision.failure is None else code_without_decision(decision.failure))


def _checked_params(text: str) -> str:
    """Return the JSON text. ConfigurationError when the server would refuse it."""
    try:
        canonical(parse_object(text))
    except NotCanonicalError as error:
        raise ConfigurationError(f'--params: {error}; give a JSON object, such as \'{{"amount": "45.00"}}\'') from error
    return text


def _read_params(value: str) -> str:
    """Return the value of --params, or what its file or stdin holds. ConfigurationError when that cannot be read."""
    if value == "-":
        return _read_stdin()
    if not value.startswith("@"):
        return value
    path = Path(value[1:])
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(PARAMS_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"--params: {path}: {error.strerror}; name a file with a JSON object") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--params: {path}: is not UTF-8; write the JSON object as UTF-8") from error


def _read_stdin() -> str:
    if sys.stdin is None:  # the parent process closed it
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


def _read_evidence(text: str) -> sdk.Evidence:
    uri, mark, digest = text.rpartition(_DIGEST_MARK)
    return sdk.Evidence(uri, digest) if mark else sdk.Evidence(text)


def _retry_hint(decision: sdk.Decision) -> str:
    """Name the idempotency key when the server may have recorded a decision; "" otherwise."""
    failure = decision.failure
    if failure is None or not (failure.error == STORE_DOWN or failure.rule_id == TIMEOUT):
        return ""
    return f"; retry with --idempotency-key {decision.idempotency_key}"


def _show(decision: sdk.Decision, output: Output, *, permit: bool) -> None:
    if output is Output.JSON:
        print_json(decision_document(decision))
    if decision.failure is not None:
        print_error(f"placet: {visible(line_of(decision.failure))}{_retry_hint(decision)}")
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
        if len(decision.findings) > 1 or any(finding.details for finding in decision.findings):
            typer.echo()
            print_table(FINDING_COLUMNS, finding_rows(decision.findings))
        if decision.obligations:
            typer.echo()
            print_table(OBLIGATION_COLUMNS, obligation_rows(decision.obligations))
        if permit and decision.permit:
            typer.echo()
            typer.echo(visible(decision.permit))  # not in a table: a terminal would wrap it into the column
