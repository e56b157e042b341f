"""`placet db`: schema, rights and backups of the database; recovery from a lost database or a wrong clock."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from placet.cli.commands.server.db_backup import backup_command
from placet.cli.commands.server.db_grants import grants_command
from placet.cli.offline import existing, naming_data_dir, open_settings
from placet.cli.options import (  # noqa: TC001 - typer reads them
    Actor,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    OutputOption,
    Reason,
)
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_error, print_fields, print_json, print_table
from placet.storage.migrate import SchemaState, SchemaStatus, db_status, db_upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.server.settings.model import Settings
    from placet.storage.database import Database

_BREAK_COLUMNS: Final = ("kind", "writer", "expected_sequence", "found_sequence")
_NEXT_STEPS: Final = """
The break is recorded. State that only the lost records had is gone. Next:
  1. Start the server: `placet serve`
  2. Set the lost state again: `placet kill-switches set`, `placet autonomy set`, `placet budgets adjust`.
     People must vote on their approvals again.
  3. Verify: `placet audit verify --state`"""
_UNCOMPARED_POLICY: Final = """
{bundles_dir} has no policy that was served before, and neither has the database: the next start serves
{rego_dir} without a comparison. Check for lost restrictions before you start the server."""
app = typer.Typer(
    no_args_is_help=True,
    help="Show, upgrade, back up and recover the database.",
)


@app.command("status")
def status_command(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the schema of the database.

    Exit code 1 when this version needs another one, or a table is missing.

    Example: placet db status --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config, database_url).database)
    status = db_status(database.url)
    _show(database, status, output)
    raise typer.Exit(exit_codes.OK if status.state is SchemaState.CURRENT else exit_codes.CHECK_FAILED)


@app.command("upgrade")
def upgrade_command(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Upgrade the schema to this version of Placet.

    Stop all servers and back up the database first.

    Example: placet db upgrade --data-dir /var/lib/placet
    """
    database = existing(open_settings(data_dir, config, database_url).database)
    _show(database, db_upgrade(database.url), output)


app.command("grants")(grants_command)
app.command("backup")(backup_command)


@app.command("new-trail")
def new_trail_command(
    *,
    reason: Reason,
    actor: Actor = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Record that signed records are lost, and start a new trail.

    For a database that was lost or replaced by an older copy, which `placet serve` refuses. Stop the server first. Kill
    switches, approvals and spending that only the lost records had are gone: set them again.

    Example: placet db new-trail --data-dir /var/lib/placet --reason 'disk lost, backup of 03:00 restored'
    """
    from placet.server.ledger import restart_trail  # noqa: PLC0415 - slow to import
    from placet.server.system import SystemClock  # noqa: PLC0415 - slow to import

    settings = open_settings(data_dir, config, database_url)
    errors: list[BaseException] = []
    with naming_data_dir(settings):
        uncompared = _has_no_served_policy(settings)
        breaks = asyncio.run(restart_trail(settings, SystemClock(), actor, reason, errors.append))
    documents = [asdict(trail_break) for trail_break in breaks]
    if output is Output.JSON:
        print_json({"database": settings.database.name, "reason": reason, "breaks": documents})
    else:
        print_table(_BREAK_COLUMNS, [[str(document[name]) for name in _BREAK_COLUMNS] for document in documents])
        typer.echo(settings.name_data_dir(_NEXT_STEPS))
        if uncompared:
            typer.echo(_UNCOMPARED_POLICY.format(bundles_dir=settings.bundles_dir, rego_dir=settings.rego_dir))
    _exit(errors)


@app.command("accept-clock")
def accept_clock_command(
    *,
    reason: Reason,
    actor: Actor = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
) -> None:
    """Accept a clock that is behind the newest record.

    Records that the clock of this machine is right. For a server that denies with pdp.clock_skew because its clock ran
    ahead and was corrected. Stop the server first. Budget windows that began ahead of time keep their counts.

    Example: placet db accept-clock --data-dir /var/lib/placet --reason 'NTP was off by a day until 09:00'
    """
    from placet.server.ledger import accept_clock  # noqa: PLC0415 - slow to import
    from placet.server.system import SystemClock  # noqa: PLC0415 - slow to import

    settings = open_settings(data_dir, config, database_url)
    errors: list[BaseException] = []
    with naming_data_dir(settings):
        behind_us = asyncio.run(accept_clock(settings, SystemClock(), actor, reason, errors.append))
    next_step = settings.name_data_dir("start the server: `placet serve`")
    typer.echo(f"accepted: the newest record was {behind_us / 1_000_000:,.0f} s ahead; {next_step}")
    _exit(errors)


def _has_no_served_policy(settings: Settings) -> bool:
    """Return whether no policy that was served before is left to compare the next one with."""
    if (settings.opa_address and not settings.policy_url) or any(settings.bundles_dir.glob("*.tgz")):
        return False
    return settings.database.find_trail((), ()).empty


def _exit(errors: Sequence[BaseException]) -> NoReturn:
    """Exit; with CHECK_FAILED when something failed after the record was written."""
    for error in errors:
        print_error(f"placet: {error}")
    raise typer.Exit(exit_codes.CHECK_FAILED if errors else exit_codes.OK)


def _show(database: Database, status: SchemaStatus, output: Output) -> None:
    document: dict[str, object] = {
        "database": database.name,
        "state": status.state.value,
        "revision": status.revision,
        "wanted": status.expected,
        "missing": list(status.missing),
    }
    if output is Output.JSON:
        print_json(document)
    else:
        print_fields((document | {"missing": ", ".join(status.missing)}).items())
