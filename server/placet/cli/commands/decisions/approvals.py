"""`placet approvals`: what waits for people, and what they say to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
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
from placet.cli.steering import Actor, Reason, SomeTenant, doubt_tenant, warn
from placet.kernel.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.failures import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, help="Show what waits for people; approve, reject or withdraw it.")
_STATES: Final = tuple(state for state in sdk.ApprovalState if state is not sdk.ApprovalState.UNKNOWN)

ApprovalId = Annotated[str, typer.Argument(help="The id, apr_...", metavar="ID")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="A role that you have. May be repeated.", metavar="ROLE", show_default=False),
]
State = Annotated[sdk.ApprovalState | None, typer.Option(help="Only in this state.", show_default=False)]
WhyNot = Annotated[str, typer.Option(help="Why not. Whoever asked is told.", metavar="TEXT")]
Why = Annotated[str, typer.Option(help="Why. It is recorded and shown.", metavar="TEXT", show_default=False)]


@app.command("list")
def list_command(
    *,
    tenant: Tenant,
    state: State = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = PAGE_SIZE_DEFAULT,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """List requests for approval, newest first, without parameters.

    Example: placet approvals list --tenant acme --state pending
    """
    if state is sdk.ApprovalState.UNKNOWN:
        raise typer.BadParameter(f"--state must be one of {', '.join(_STATES)}")
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        found = list(_newest(client, tenant, state, limit))
    if output is Output.JSON:
        print_json({"approvals": [approval_document(each) for each in found]})
    else:
        print_table(COLUMNS, [approval_row(each) for each in found])
    if not found:
        doubt_tenant(address, tenant)


@app.command("show")
def show_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: Actor = "",
    role: Roles = None,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one with everything that is needed to decide. Who may vote sees the exact parameters.

    Example: placet approvals show apr_0190c3... --tenant acme --as u_1 --role support_lead
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _tell(client.get(tenant, approval_id, sdk.Person(actor, role or ())), output)


@app.command("approve")
def approve_command(  # noqa: PLR0913 - one option for each thing to say
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: Actor = "",
    role: Roles = None,
    reason: Why = "",
    digest: Annotated[
        str, typer.Option(help="The action_digest that you were shown.", metavar="HEX", show_default=False)
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Vote for it. It is approved when as many people as it needs have done so.

    Example: placet approvals approve apr_0190c3... --tenant acme --as u_1 --role support_lead
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        person = sdk.Person(actor, role or ())
        _tell(client.approve(tenant, approval_id, person, reason=reason, action_digest=digest), output)


@app.command("reject")
def reject_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    reason: WhyNot,
    actor: Actor = "",
    role: Roles = None,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Vote against it, which ends it.

    Example: placet approvals reject apr_0190c3... --tenant acme --as u_1 --role support_lead --reason 'wrong charge'
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _tell(client.reject(tenant, approval_id, sdk.Person(actor, role or ()), reason), output)


@app.command("cancel")
def cancel_command(
    approval_id: ApprovalId,
    *,
    tenant: Tenant,
    actor: Actor = "",
    role: Roles = None,
    reason: Why = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Withdraw it: nobody has to decide any longer. For the user on whose behalf it was asked, and who may vote.

    Example: placet approvals cancel apr_0190c3... --tenant acme --as u_4812
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        _tell(client.cancel(tenant, approval_id, sdk.Person(actor, role or ()), reason), output)


@app.command("void-votes")
def void_votes_command(
    *,
    person: Annotated[str, typer.Option(help="Whose votes: somebody else may have given them.", metavar="NAME")],
    reason: Reason,
    tenant: SomeTenant = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 2 when the person has no vote.")] = False,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Void a person's votes, e.g. of a stolen account: what is open waits again, what was used already is listed.

    Without --tenant in each tenant that is served. Take the person out of approver_groups first.

    Example: placet approvals void-votes --person u_1 --reason 'account stolen' --tenant acme
    """
    with sdk.ApprovalClient(address, timeout=timeout) as client:
        done = client.void_votes(person, sdk.Person(actor), reason, tenant=tenant)
    found = done.voided_count or done.used_count
    if output is Output.JSON:
        print_json(voided_document(done))
    elif found:
        print_table(VOIDED_COLUMNS, voided_rows(done))
    warn(voided_warnings(done, person))
    if strict and not found:
        raise typer.Exit(exit_codes.USAGE)


@app.command("watch")
def watch_command(
    *,
    tenant: Tenant,
    cursor: Annotated[
        str, typer.Option(help="Go on after the line with this cursor.", metavar="CURSOR", show_default=False)
    ] = "",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Stop after so long. Default: at Ctrl-C.", show_default=False)
    ] = math.inf,
    address: Address = DEFAULT_ADDRESS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print what waits for people, then each one that changes; JSON as one document a line, with its cursor.

    It goes on by itself after a lost connection, and may then print something twice.

    Example: placet approvals watch --tenant acme --output json
    """
    header = True
    with sdk.ApprovalClient(address) as client:
        for change in _until(client.watch(tenant, cursor, None if seconds == math.inf else seconds)):
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


def _until(changes: Iterator[sdk.ApprovalChange]) -> Iterator[sdk.ApprovalChange]:
    """The changes until the time that was given is over."""
    try:
        yield from changes
    except sdk.CallFailedError as error:
        if error.failure.rule_id != TIMEOUT:
            raise


def _tell(approval: sdk.Approval, output: Output) -> None:
    if output is Output.JSON:
        print_json(approval_document(approval))
    else:
        print_approval(approval)
