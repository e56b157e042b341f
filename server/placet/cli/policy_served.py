"""`placet policy status`: which policy a running server decides by, and what is wrong with a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from placet import sdk
from placet.cli import exit_codes
from placet.cli.documents import time_text
from placet.cli.options import Address, OutputOption, Timeout  # noqa: TC001 - typer reads them
from placet.cli.output import Output, print_fields, print_json
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from placet.sdk.control import PolicyStatus


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
        for line in status.last_error.splitlines():
            typer.echo(line, err=True)
    raise typer.Exit(exit_codes.DONE if status.serving and not status.last_error else exit_codes.WANTING)


def decides_text(status: PolicyStatus) -> str:
    """For how long the served revision decides, when the newest is not served."""
    if status.stale:
        return "too old: every call is denied pdp.policy_stale"
    if status.decides_until is not None:
        return f"until {time_text(status.decides_until)}, then every call is denied pdp.policy_stale"
    return "until a newer one is accepted"


def _fields(status: PolicyStatus) -> list[tuple[str, Any]]:
    wrong = bool(status.last_error)
    return [
        ("serving", "yes" if status.serving else f"NO: {'; '.join(status.not_serving_reasons)}"),
        ("policy_revision", status.policy_revision),
        ("since", time_text(status.loaded_at)),
        ("git_commit", status.git_commit),
        ("last_seen", time_text(status.confirmed_at)),
        ("tenants", ", ".join(status.tenants)),
        ("engine", f"OPA {status.engine_version}, {status.engine_mode}".replace(" ,", ",")),
        ("newest", "NOT served, the reasons are below" if wrong else "served"),
        ("refused_since", time_text(status.refused_since)),
        ("unseen_since", time_text(status.unseen_since)),
        ("this_decides", decides_text(status) if wrong else ""),
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
    }
