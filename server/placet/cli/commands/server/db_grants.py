"""`placet db grants`: separate the role of the server from the owner of the tables, on PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer

from placet.cli.offline import open_settings
from placet.cli.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer reads them
from placet.kernel.errors import ConfigurationError

Writer = Annotated[str, typer.Option(help="Role as which servers connect.", metavar="ROLE")]
Auditor = Annotated[str, typer.Option(help="Role that may read every table and nothing else.", metavar="ROLE")]
Apply = Annotated[bool, typer.Option("--apply", help="Run the SQL at the database, in one transaction.")]


def grants_command(
    *,
    writer: Writer = "placet_writer",
    auditor: Auditor = "",
    apply: Apply = False,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
) -> None:
    """Print the SQL that lets servers append to the audit trail and change state, and nothing else.

    The servers' role can then neither change the trail nor create or alter tables. Run it as the role that owns the
    tables, after each `placet db upgrade`, because new tables need rights too. Servers may run.

    Example: placet db grants --apply --database-url postgresql://placet_owner@db.internal/placet
    """
    from placet.storage.postgres.grants import apply_grants, grants_sql  # noqa: PLC0415 - the driver, where it is needed

    if not apply:
        typer.echo(grants_sql(writer, auditor), nl=False)
        return
    url = open_settings(None, config, database_url).database_url.get_secret_value()
    if not url:
        raise ConfigurationError(
            "--apply: SQLite has no roles; name a PostgreSQL database with --database-url. On SQLite, file permissions "
            "protect the database, and checkpoints that are kept elsewhere show a change"
        )
    apply_grants(url, writer, auditor)
    typer.echo(f"granted: {writer} appends to the audit trail and changes state, and can do nothing else")
