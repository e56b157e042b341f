"""Lines on stderr beside a command's result: warnings, hints, and changes that need a second person."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

import typer

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import print_error
from placet.kernel.diagnostics import did_you_mean
from placet.kernel.printable import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def warn(warnings: Iterable[str]) -> None:
    """Print each warning on stderr."""
    for warning in warnings:
        print_error(f"placet: warning: {visible(warning)}")


def warn_unknown_tenant(address: str, tenant: str) -> None:
    """Warn that the tenant has no policy file. Print nothing when the server does not answer."""
    if tenant and (known := tenants_of_server(address)) is not None:
        warn_unknown_tenants([tenant], known)


def warn_unknown_tenants(tenants: Iterable[str], known: Collection[str]) -> None:
    """Warn of each tenant that has no policy file."""
    unknown = [tenant for tenant in tenants if tenant not in known]
    warn(f"tenant {tenant!r} has no policy file; {did_you_mean(tenant, known)}" for tenant in unknown)


def tenants_of_server(address: str) -> Collection[str] | None:
    """Return the tenants of the policy that the server serves; None when it does not answer."""
    with contextlib.suppress(sdk.CallFailedError), sdk.ControlClient(address) as client:
        return client.policy_status().tenants
    return None


def exit_pending(request: sdk.ControlRequest) -> NoReturn:
    """Print on stderr that a second person must confirm the change, and exit with NEEDS_APPROVAL."""
    typer.echo(
        "placet: nothing has changed yet: a second person must run the same command with their own --as before "
        f"{time_text(request.expires_at)} ({request.id})",
        err=True,
    )
    raise typer.Exit(exit_codes.NEEDS_APPROVAL)
