"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placet.cli.output import Output

Address = Annotated[
    str,
    typer.Option(
        help="The server, host:port.", envvar="PLACET_ADDRESS", metavar="HOST:PORT", rich_help_panel="Connection"
    ),
]
Timeout = Annotated[
    float, typer.Option(min=0.001, help="Seconds for a call with all its tries.", rich_help_panel="Connection")
]
Tenant = Annotated[str, typer.Option(help="The tenant.", metavar="TENANT")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file instead of ./placet.toml.", metavar="FILE", show_default=False),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the database and the keys. Default: the setting data_dir.", show_default=False),
]
