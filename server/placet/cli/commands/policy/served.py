"""`placet policy status` and `confirm`: the served policy, and a newer one that is refused or held."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placet import sdk
from placet.cli.notices import exit_pending
from placet.cli.options import ActingPerson, Address, OutputOption, Reason, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import pending_document, time_text
from placet.cli.rendering.output import Output, print_error, print_fields, print_json
from placet.cli.rendering.policy_texts import decides_text
from placet.kernel.printable import visible
from placet.sdk.defaults import CONFIRM_TIMEOUT_SECONDS, DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from placet.sdk.controls import PolicyStatus, SlowPack


def status_command(
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the served policy, and why a newer one is not served.

    Exit code 1 when a newer one is not served.

    Example: placet policy status
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        status = client.policy_status()
    if output is Output.JSON:
        print_json(_document(status))
    else:
        print_fields(_fields(status))
        for line in (*status.last_error.splitlines(), *status.held_reasons):
            print_error(line)
    current = status.serving and not status.last_error and not status.held_revision
    raise typer.Exit(exit_codes.OK if current else exit_codes.CHECK_FAILED)


def confirm_command(
    revision: Annotated[
        str,
        typer.Argument(help="The held revision, or its first 8 characters.", metavar="REVISION"),
    ],
    *,
    reason: Reason,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = CONFIRM_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Confirm a held policy, so that the server serves it.

    The server holds a policy that lost restrictions, or is older than a served one, until a person confirms it. With
    `policy_activation = two_people` it holds each new policy until a person confirms it who did not publish it.
    `placet policy status` shows the held revision. Exit code 4 when a second person must confirm it too.

    Example: placet policy confirm 3f9a0c51d2e84b7a9d3e5f6071829304 --reason 'pay.out is gone from the contract'
    """
    with sdk.ControlClient(address) as client:
        result = client.confirm_policy(revision, actor=actor, reason=reason, timeout=timeout)
    revision = result.policy_revision if result.activated else revision
    pending = result.pending_request
    if output is Output.JSON:
        document = {"activated": result.activated, "policy_revision": result.policy_revision}
        print_json({"confirmed": revision, **document, "waiting": pending_document(pending)})
    elif result.activated:
        typer.echo(visible(f"{revision} is confirmed and decides"))
    if pending is not None:
        exit_pending(pending)
    if not result.activated:
        cause = result.last_error or "the policy files have changed since"
        print_error(f"placet: {revision} is confirmed, but {result.policy_revision} decides: {cause}")
        raise typer.Exit(exit_codes.CHECK_FAILED)


def _fields(status: PolicyStatus) -> list[tuple[str, Any]]:
    refused = bool(status.last_error)
    newest = "NOT served; the reasons are below" if refused else "served"
    if status.held_revision:
        newest = "HELD until confirmed; the reasons are below"
    return [
        ("serving", "yes" if status.serving else f"NO: {'; '.join(status.not_serving_reasons)}"),
        ("policy_revision", status.policy_revision),
        ("since", time_text(status.loaded_at)),
        ("git_commit", status.git_commit),
        ("pushed_by", status.pushed_by),
        ("last_seen", time_text(status.confirmed_at)),
        ("tenants", ", ".join(status.tenants)),
        ("engine", f"OPA {status.engine_version}, {status.engine_mode}".replace(" ,", ",")),
        ("newest", newest),
        ("held_revision", status.held_revision),
        ("held_pushed_by", status.held_pushed_by),
        ("held_since", time_text(status.held_since)),
        ("refused_since", time_text(status.refused_since)),
        ("unseen_since", time_text(status.unseen_since)),
        ("served_decides", decides_text(status) if refused or status.held_revision else ""),
        ("slow_packs", "; ".join(map(_slow_text, status.slow_packs))),
        ("issuers_unreadable", "; ".join(status.issuers_unreadable)),
    ]


def _slow_text(pack: SlowPack) -> str:
    took = f"{'' if pack.ended else 'over '}{pack.milliseconds:.0f} ms"
    return f"{pack.pack} took {took} for {pack.tool} of {pack.tenant} ({pack.input_bytes} bytes)"


def _document(status: PolicyStatus) -> dict[str, Any]:
    return {
        "serving": status.serving,
        "not_serving_reasons": list(status.not_serving_reasons),
        "policy_revision": status.policy_revision,
        "loaded_at": time_text(status.loaded_at),
        "confirmed_at": time_text(status.confirmed_at),
        "git_commit": status.git_commit,
        "pushed_by": status.pushed_by,
        "tenants": list(status.tenants),
        "engine_mode": status.engine_mode,
        "engine_version": status.engine_version,
        "problems": status.last_error.splitlines(),
        "refused_since": time_text(status.refused_since),
        "unseen_since": time_text(status.unseen_since),
        "decides_until": time_text(status.decides_until),
        "stale": status.stale,
        "held_revision": status.held_revision,
        "held_pushed_by": status.held_pushed_by,
        "held_since": time_text(status.held_since),
        "held_reasons": list(status.held_reasons),
        "slow_packs": [asdict(pack) for pack in status.slow_packs],
        "issuers_unreadable": list(status.issuers_unreadable),
    }
