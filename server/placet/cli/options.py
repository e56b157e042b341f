"""Options that several commands share."""

from __future__ import annotations

import contextlib
import getpass
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.rendering.output import Output
from placet.kernel.diagnostics import closest
from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import PORT_MAX, split_address, unix_path
from placet.sdk._transport.tls import environment_credentials
from placet.sdk.defaults import CALL_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PREFIX: Final = "PLACET_"
_ADDRESS: Final = "ADDRESS"
CREDENTIALS: Final = ("PLACET_TOKEN", "PLACET_CLIENT_CERT_FILE")
"""Variables with a credential that says who calls."""
_CREDENTIAL_OR_LOGIN: Final = "whom your credential proves, without one your login name"
_MISSPELT_MIN: Final = 0.85
"""Similarity from which a word counts as a misspelling. ``OPA_ADDRESS``, which is a setting, is less similar."""


def finite(seconds: float) -> float:
    """Return the number. BadParameter when it is infinite or not a number."""
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is not a number of seconds; write e.g. 5")
    return seconds


def reachable(address: str | None) -> str | None:
    """Return the address of a server. BadParameter when it has no host or no usable port.

    ConfigurationError when the environment names files of a certificate that cannot be used.
    """
    if address is None:
        return None
    _refuse_misspelt_variable()
    try:
        environment_credentials(address)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    try:
        port = unix_path(address) is not None or split_address(address)[1]
    except ValueError:
        port = 0
    if not port:
        raise typer.BadParameter(
            f"{address!r} is not host:port with a port of 1 to {PORT_MAX} or unix:/path; write e.g. 127.0.0.1:7070"
        )
    return address


def _refuse_misspelt_variable() -> None:
    """Raise BadParameter for a variable that is probably meant to be PLACET_ADDRESS.

    Without this check the command would act on the default server, for example stop the wrong tools.
    """
    for name in os.environ:
        word = name.removeprefix(_PREFIX)
        if word not in {name, _ADDRESS} and closest(word, [_ADDRESS], _MISSPELT_MIN):
            raise typer.BadParameter(
                f"the variable {name} is not read; did you mean {_PREFIX}{_ADDRESS}? else unset it"
            )


def parse_time(option: str, text: str) -> datetime | None:
    """Parse ISO 8601; a time without an offset is UTC.

    None for an empty text. ConfigurationError when it is not a time.
    """
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {text!r} is not a time; write e.g. 2026-04-24T18:33:01Z") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def or_login_name(actor: str) -> str:
    """Return the actor, by default the login name. ConfigurationError when this machine has no login name."""
    if actor:
        return actor
    with contextlib.suppress(OSError, KeyError, ImportError):  # the user of a container may have no name
        return getpass.getuser()
    raise ConfigurationError("--as: this machine has no login name; write your name, e.g. --as ann")


def or_credential(actor: str) -> str:
    """Return the actor; empty if a credential says who calls, else by default the login name."""
    return actor if not actor and any(os.environ.get(name) for name in CREDENTIALS) else or_login_name(actor)


def voter(actor: str, roles: Sequence[str] | None) -> sdk.Person | None:
    """Return the person for a call, None if the credential says who calls. BadParameter for roles without a name."""
    if actor:
        return sdk.Person(actor, roles or ())
    if roles:
        raise typer.BadParameter("--role: your credential says which roles you have; leave it out, or add --as")
    return None


def _your_name(default: str, callback: Callable[[str], str] | None = None) -> Any:  # noqa: ANN401 - as typer.Option
    """Return the option for the name of the person who acts. `callback` returns the default."""
    text = f"Your name, for the record. Default: {default}."
    return typer.Option("--as", help=text, metavar="NAME", show_default=False, callback=callback)


Address = Annotated[
    str,
    typer.Option(
        help="Address of the server; unix:/path for a socket.",
        envvar="PLACET_ADDRESS",
        metavar="HOST:PORT",
        rich_help_panel="Connection",
        callback=reachable,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=CALL_SECONDS_MAX,
        help="Seconds for the call, retries included.",
        metavar="SECONDS",
        rich_help_panel="Connection",
        callback=finite,
    ),
]
Tenant = Annotated[str, typer.Option(help="The tenant.", metavar="TENANT")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, or JSON for programs.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Largest number of rows.", metavar="N")]
Actor = Annotated[str, _your_name("your login name", or_login_name)]
ActingPerson = Annotated[str, _your_name(_CREDENTIAL_OR_LOGIN, or_credential)]
ActingPersonIfNeeded = Annotated[str, _your_name(_CREDENTIAL_OR_LOGIN)]
"""As ActingPerson, but empty when it is not given: the command looks for the name when it needs one."""
Reason = Annotated[str, typer.Option(help="The reason, for the record.", metavar="TEXT")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a name that matches nothing known, with exit code 2.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file. Default: ./placet.toml.", metavar="FILE", show_default=False),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="PostgreSQL database. Default: the setting database_url, else SQLite in the data directory.",
        metavar="URL",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory of the database and the keys. Default: the setting data_dir.",
        metavar="DIR",
        show_default=False,
    ),
]
