"""`placet approvals`: list approval requests and vote on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet import sdk
from placet.cli.notices import warn, warn_unknown_tenant
from placet.cli.options import (
    ActingPerson,
    Address,
    Limit,
    OutputOption,
    Reason,
    Tenant,
    Timeout,
    voter,
)
from placet.cli.rendering import exit_codes
from placet.cli.rendering.approval_documents import (
    COLUMNS,
    VOIDED_COLUMNS,
    approval_document,
    approval_row,
    print_approval,
    voided_document,
    voided_rows,
    voided_warnings,
)
from placet.cli.rendering.output import Output, print_json, print_table
from placet.kernel.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.failures import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, help="List approval requests and vote on them.")
_STATES: Final = tuple(state for state in sdk.ApprovalState if state is not sdk.ApprovalState.UNKNOWN)

ApprovalId = Annotated[str, typer.Argument(help="The approval, apr_...", metavar="APPROVAL_ID")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="A role of yours. May be repeated.", metavar="ROLE", show_default=False),
]
State = Annotated[sdk.ApprovalState | None, typer.Option(help="Only in this state.", show_default=False)]
Digest = Annotated[
    str,
    typer.Option(
        help="The action_digest that you saw. The vote counts for that action only.",
        metavar="HEX",
        show_default=False,
    ),
]
Cursor = Annotated[
    str, typer.Option(help="Continue after the line with this cursor.", metavar="CURSOR", show_default=False)
]
Seconds = Annotated[
    float,
    typer.Option(min=0.1, help="Stop after this time. Default: at Ctrl-C.", metavar="SECONDS", show_default=False),
]
OptionalReason = Annotated[str, typer.Option(help="The reason, for the record.", metavar="TEXT", show_default=False)]


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    state: State = None,
    limit: Limit = PAGE_SIZE_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List approval requests, newest first.

    The parameters of the calls are not shown.

    Example: placet approvals list --tenant acme --state pending
    """
    if state is sdk.ApprovalState.UNKNOWN:
        raise typer.BadParameter(f"--state must be one of {', '.join(_STATES)}")
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        approvals = list(_newest(client, tenant, state, limit))
    if output is Output.JSON:
        print_json({"approvals": [approval_document(approval) for approval in approvals]})
    else:
        print_table(COLUMNS, [approval_row(approval) for approval in approvals])
    if not approvals:
        warn_unknown_tenant(address, tenant)


@app.command("show")
def show_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: ActingPerson = "",
    role: Roles = None,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an approval request in full.

    People who may vote see the exact parameters.

    Example: placet approvals show apr_0190c3... --tenant acme --as u_1 --role support_lead
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _show(client.get(tenant, approval_id, voter(actor, role)), output)


@app.command("approve")
def approve_command(  # noqa: PLR0913 - one option for each field of a vote
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: ActingPerson = "",
    role: Roles = None,
    reason: OptionalReason = "",
    digest: Digest = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Vote to approve a request.

    The request is approved when the quorum is reached.

    Example: placet approvals approve apr_0190c3... --tenant acme --as u_1 --role support_lead
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        person = voter(actor, role)
        _show(client.approve(tenant, approval_id, person, reason=reason, action_digest=digest), output)


@app.command("reject")
def reject_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="The reason, for the record and the caller.", metavar="TEXT")],
    actor: ActingPerson = "",
    role: Roles = None,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Vote to reject a request.

    One rejection closes the request.

    Example: placet approvals reject apr_0190c3... --tenant acme --as u_1 --role support_lead --reason 'wrong charge'
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _show(client.reject(tenant, approval_id, voter(actor, role), reason), output)


@app.command("cancel")
def cancel_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: ActingPerson = "",
    role: Roles = None,
    reason: OptionalReason = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Cancel an approval request.

    The user of the request and people who may vote can do that.

    Example: placet approvals cancel apr_0190c3... --tenant acme --as u_4812
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _show(client.cancel(tenant, approval_id, voter(actor, role), reason), output)


@app.command("void-votes")
def void_votes_command(
    *,
    person: Annotated[str, typer.Option(help="The person whose votes become void.", metavar="NAME")],
    reason: Reason,
    tenant: Annotated[
        str,
        typer.Option(
            help="The tenant. Default: every tenant with a policy file.", metavar="TENANT", show_default=False
        ),
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 when the person has no vote.")] = False,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Void all votes of a person, e.g. after an account was stolen.

    Open requests wait for other votes again. Approvals that were already used are listed, and their permits are revoked
    when too few votes remain. Without --tenant, this covers all tenants with a policy file. Remove the person from
    approver_groups first.

    Example: placet approvals void-votes --person u_1 --reason 'account stolen' --tenant acme
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        result = client.void_votes(person, voter(actor, None), reason, tenant=tenant)
    any_vote = result.voided_count or result.used_count
    if output is Output.JSON:
        print_json(voided_document(result))
    elif any_vote:
        print_table(VOIDED_COLUMNS, voided_rows(result))
    warn(voided_warnings(result, person))
    if strict and not any_vote:
        raise typer.Exit(exit_codes.USAGE)


@app.command("watch")
def watch_command(
    *,
    tenant: Tenant,
    cursor: Cursor = "",
    seconds: Seconds = math.inf,
    address: Address = DEFAULT_ADDRESS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the pending approval requests, then every request that changes.

    JSON is one document a line, each with its cursor. After a lost connection the command reconnects and may print a
    change twice.

    Example: placet approvals watch --tenant acme --output json
    """
    header = True
    with sdk.ApprovalClient(address) as client:
        for change in _until_timeout(client.watch(tenant, cursor, None if seconds == math.inf else seconds)):
            if output is Output.JSON:
                print_json({"cursor": change.cursor, "approval": approval_document(change.approval)}, one_line=True)
            else:
                print_table(COLUMNS, [approval_row(change.approval)], header=header)
                header = False


def _newest(
    client: sdk.ApprovalClient, tenant: str, state: sdk.ApprovalState | None, limit: int
) -> Iterator[sdk.Approval]:
    token = ""
    while limit > 0:
        page = client.list(tenant, state, page_size=min(limit, PAGE_SIZE_MAX), page_token=token)
        yield from page.approvals
        limit -= len(page.approvals)
        token = page.next_page_token
        if not token:
            return


def _until_timeout(changes: Iterator[sdk.ApprovalChange]) -> Iterator[sdk.ApprovalChange]:
    """Yield the changes until the call times out."""
    try:
        yield from changes
    except sdk.CallFailedError as error:
        if error.failure.rule_id != TIMEOUT:
            raise


def _show(approval: sdk.Approval, output: Output) -> None:
    if output is Output.JSON:
        print_json(approval_document(approval))
    else:
        print_approval(approval)
