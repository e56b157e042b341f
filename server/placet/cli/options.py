"""Options that several commands share."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from placet.cli.rendering.output import Output
from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import PORT_MAX, split_address
from placet.sdk.defaults import CALL_SECONDS_MAX


def finite(seconds: float) -> float:
    """Seconds that end some time. BadParameter for infinity and for what is no number."""
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds; write e.g. 5")
    return seconds


def reachable(address: str | None) -> str | None:
    """The address of a server. BadParameter when there can be none."""
    if address is None:
        return None
    try:
        _, port = split_address(address)
    except ValueError:
        port = 0
    if not port:
        raise typer.BadParameter(
            f"{address!r} is not host:port with a port of 1 to {PORT_MAX}; write e.g. 127.0.0.1:7070"
        )
    return address


def parse_time(option: str, written: str) -> datetime | None:
    """A time in ISO 8601, in UTC unless it says; None for "". ConfigurationError for what is none."""
    if not written:
        return None
    try:
        time_given = datetime.fromisoformat(written)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {written!r} is no time; write e.g. 2026-04-24T18:33:01Z") from error
    return time_given if time_given.tzinfo is not None else time_given.replace(tzinfo=UTC)


Address = Annotated[
    str,
    typer.Option(
        help="The server, host:port.",
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
        help="Seconds for a call with all its tries.",
        rich_help_panel="Connection",
        callback=finite,
    ),
]
Tenant = Annotated[str, typer.Option(help="The tenant.", metavar="TENANT")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file instead of ./placet.toml.", metavar="FILE", show_default=False),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="The PostgreSQL database. Default: the setting database_url, else SQLite in the data directory.",
        metavar="URL",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the database and the keys. Default: the setting data_dir.", show_default=False),
]
