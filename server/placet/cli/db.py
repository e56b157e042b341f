"""`placet db`: show and upgrade the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from placet.cli import exit_codes
from placet.cli.local import existing, open_settings
from placet.cli.options import ConfigFile, DatabaseUrl, DataDir, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.output import Output, print_fields, print_json
from placet.store.migrate import SchemaState, SchemaStatus, db_status, db_upgrade

if TYPE_CHECKING:
    from placet.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Show and upgrade the database's schema.")


@app.command()
def status(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the schema of the database. Exit code 1 when it is not the one that this version works with, or damaged.

    Example: placet db status --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config, database_url).database)
    found = db_status(database.url)
    _show(database, found, output)
    raise typer.Exit(exit_codes.DONE if found.state is SchemaState.CURRENT else exit_codes.WANTING)


@app.command()
def upgrade(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring the schema to the one that this version works with. Stop all servers first, and keep a copy.

    Example: placet db upgrade --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config, database_url).database)
    _show(database, db_upgrade(database.url), output)


def _show(database: Database, found: SchemaStatus, output: Output) -> None:
    document: dict[str, object] = {
        "database": database.name,
        "state": found.state.value,
        "revision": found.revision,
        "wanted": found.wanted,
        "missing": list(found.missing),
    }
    if output is Output.JSON:
        print_json(document)
    else:
        print_fields((document | {"missing": ", ".join(found.missing)}).items())
