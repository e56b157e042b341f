"""What the commands that steer have in common: who, why, and a change that waits for a second person."""

from __future__ import annotations

import contextlib
import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import time_text
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable


def _login_name(given: str) -> str:
    """Who steers, as given, or who is logged in here."""
    if given:
        return given
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        return getpass.getuser()
    raise ConfigurationError("--as: this machine does not know your name; say who you are, e.g. --as ann")


Actor = Annotated[
    str,
    typer.Option("--as", help="Who you are. Default: the login name.", show_default=False, callback=_login_name),
]
Reason = Annotated[str, typer.Option(help="Why. It is recorded and shown.", metavar="TEXT")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a name that matches nothing known: exit code 2.")]
SomeTenant = Annotated[str, typer.Option(help="The tenant. Default: none.", metavar="TENANT", show_default=False)]


def waiting_document(waiting: sdk.ControlRequest | None) -> dict[str, Any] | None:
    """What waits, as JSON; null when nothing does."""
    if waiting is None:
        return None
    return {
        "id": waiting.id,
        "requested_by": waiting.requested_by,
        "reason": waiting.reason,
        "expires_at": time_text(waiting.expires_at),
    }


def tell_waiting(waiting: sdk.ControlRequest) -> None:
    """Say on stderr that nothing was changed yet, and end with the code for that."""
    typer.echo(
        f"placet: nothing was changed yet: another person has to type the same until {time_text(waiting.expires_at)}, "
        f"with another --as ({waiting.id})",
        err=True,
    )
    raise typer.Exit(exit_codes.NEEDS_APPROVAL)


def warn(warnings: Iterable[str]) -> None:
    """Print each warning on stderr."""
    for warning in warnings:
        typer.echo(f"placet: warning: {warning}", err=True)


def doubt_tenant(address: str, tenant: str, before: str = "") -> None:
    """Say on stderr, after `before`, when no file is of the tenant: it may be misspelt. Silent when nobody can tell."""
    if not tenant:
        return
    with contextlib.suppress(sdk.CallFailedError), sdk.ControlClient(address) as client:
        known = client.policy_status().tenants
        if tenant not in known:
            typer.echo(f"placet: {before}no agent_policy is of {tenant!r}; there are {', '.join(known)}", err=True)
