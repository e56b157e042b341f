"""`placet policy status | confirm`: which policy a server decides by, and what keeps a newer one from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_fields, print_json
from placet.cli.rendering.policy_texts import decides_text
from placet.cli.steering import Actor, Reason  # noqa: TC001 - likewise
from placet.sdk.defaults import CONFIRM_TIMEOUT_SECONDS, DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from placet.sdk.controls import PolicyStatus


def status_command(
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the policy that decides, since when, and why a newer one does not. Exit code 1 when one does not.

    Example: placet policy status
    """
    with sdk.ControlClient(address, timeout=timeout) as client:
        status = client.policy_status()
    if output is Output.JSON:
        print_json(_document(status))
    else:
        print_fields(_fields(status))
        for line in (*status.last_error.splitlines(), *status.held_reasons):
            typer.echo(line, err=True)
    current = status.serving and not status.last_error and not status.held_revision
    raise typer.Exit(exit_codes.OK if current else exit_codes.CHECK_FAILED)


def confirm_command(
    revision: Annotated[
        str,
        typer.Argument(
            help="The held_revision of `placet policy status`, or its first 8 characters.", metavar="REVISION"
        ),
    ],
    *,
    reason: Reason,
    actor: Actor = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = CONFIRM_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Confirm a policy that waits because it lost restrictions, so that it decides. It is recorded who and why.

    Example: placet policy confirm 3f9a0c51d2e84b7a9d3e5f6071829304 --reason 'pay.out is gone from the contract'
    """
    with sdk.ControlClient(address) as client:
        done = client.confirm_policy(revision, actor=actor, reason=reason, timeout=timeout)
    revision = done.policy_revision if done.activated else revision
    if output is Output.JSON:
        print_json({"confirmed": revision, "activated": done.activated, "policy_revision": done.policy_revision})
    elif done.activated:
        typer.echo(f"{revision} is confirmed and decides")
    if not done.activated:
        why = done.last_error or "other files stand there by now"
        typer.echo(f"placet: it is confirmed, but {done.policy_revision} decides: {why}", err=True)
        raise typer.Exit(exit_codes.CHECK_FAILED)


def _fields(status: PolicyStatus) -> list[tuple[str, Any]]:
    wrong = bool(status.last_error)
    newest = "NOT served, the reasons are below" if wrong else "served"
    if status.held_revision:
        newest = "WAITS to be confirmed; the reasons are below"
    return [
        ("serving", "yes" if status.serving else f"NO: {'; '.join(status.not_serving_reasons)}"),
        ("policy_revision", status.policy_revision),
        ("since", time_text(status.loaded_at)),
        ("git_commit", status.git_commit),
        ("last_seen", time_text(status.confirmed_at)),
        ("tenants", ", ".join(status.tenants)),
        ("engine", f"OPA {status.engine_version}, {status.engine_mode}".replace(" ,", ",")),
        ("newest", newest),
        ("held_revision", status.held_revision),
        ("held_since", time_text(status.held_since)),
        ("refused_since", time_text(status.refused_since)),
        ("unseen_since", time_text(status.unseen_since)),
        ("this_decides", decides_text(status) if wrong or status.held_revision else ""),
    ]


def _document(status: PolicyStatus) -> dict[str, Any]:
    return {
        "serving": status.serving,
        "not_serving_reasons": list(status.not_serving_reasons),
        "policy_revision": status.policy_revision,
        "loaded_at": time_text(status.loaded_at),
        "confirmed_at": time_text(status.confirmed_at),
        "git_commit": status.git_commit,
        "tenants": list(status.tenants),
        "engine_mode": status.engine_mode,
        "engine_version": status.engine_version,
        "problems": status.last_error.splitlines(),
        "refused_since": time_text(status.refused_since),
        "unseen_since": time_text(status.unseen_since),
        "decides_until": time_text(status.decides_until),
        "stale": status.stale,
        "held_revision": status.held_revision,
        "held_since": time_text(status.held_since),
        "held_reasons": list(status.held_reasons),
    }
