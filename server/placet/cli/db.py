"""`placet db`: show and upgrade the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from placet.cli import exit_codes
from placet.cli.local import existing, open_settings
from placet.cli.options import ConfigFile, DataDir, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.output import Output, print_fields, print_json
from placet.store.engines import sqlite_url
from placet.store.migrate import SchemaState, SchemaStatus, db_status, db_upgrade

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(no_args_is_help=True, help="Show and upgrade the database's schema.")


@app.command()
def status(*, data_dir: DataDir = None, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Show the schema of the database. Exit code 1 when it is not the one that this version works with, or damaged.

    Example: placet db status --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config).database_path)
    found = db_status(sqlite_url(database))
    _show(database, found, output)
    raise typer.Exit(exit_codes.DONE if found.state is SchemaState.CURRENT else exit_codes.WANTING)


@app.command()
def upgrade(*, data_dir: DataDir = None, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Bring the schema to the one that this version works with. Stop the server first, and keep a copy.

    Example: placet db upgrade --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config).database_path)
    _show(database, db_upgrade(sqlite_url(database)), output)


def _show(database: Path, found: SchemaStatus, output: Output) -> None:
    document: dict[str, object] = {
        "database": str(database),
        "state": found.state.value,
        "revision": found.revision,
        "wanted": found.wanted,
        "missing": list(found.missing),
    }
    if output is Output.JSON:
        print_json(document)
    else:
        print_fields((document | {"missing": ", ".join(found.missing)}).items())
