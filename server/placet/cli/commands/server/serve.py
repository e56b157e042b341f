"""`placet serve`: run the server. Every setting is a flag."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - typer reads it
from typing import Annotated, Any

import typer

from placet.cli.offline import naming_data_dir
from placet.cli.options import ConfigFile, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.rendering.output import Output, print_json, print_table
from placet.cli.settings_flags import with_settings
from placet.server.settings.sources import load_settings

app = typer.Typer()


@app.command("serve")
@with_settings
def serve(
    *,
    flags: Mapping[str, Any],
    config: ConfigFile = None,
    print_settings: Annotated[
        bool, typer.Option("--print-settings", help="Print each setting with its value and its source, and exit.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the server until SIGINT or SIGTERM.

    A second signal stops it at once. A setting comes from its flag, else its environment variable (PLACET_DATA_DIR for
    --data-dir), else placet.toml, else its default.

    Example: placet serve --listen 127.0.0.1:7070 --rego-dir ./rego
    """
    settings, sources = load_settings(flags, config)
    if not print_settings:
        if settings.workers > 1:
            from placet.workers.lifecycle import run  # noqa: PLC0415 - slow to import
        else:
            from placet.server.lifecycle import run  # noqa: PLC0415 - likewise

        with naming_data_dir(settings):
            code = run(settings)
        raise typer.Exit(code)
    rows = settings.describe(sources)
    if output is Output.JSON:
        print_json({"settings": [{"name": name, "value": value, "source": source} for name, value, source in rows]})
    else:
        print_table(("setting", "value", "source"), rows)
