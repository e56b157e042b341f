"""`placet db`: show and upgrade the database's schema; go on after the database was lost."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from placet.cli.offline import existing, naming_data_dir, open_settings
from placet.cli.options import ConfigFile, DatabaseUrl, DataDir, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.cli.steering import Actor, Reason  # noqa: TC001 - likewise
from placet.storage.migrate import SchemaState, SchemaStatus, db_status, db_upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.server.settings import Settings
    from placet.storage.database import Database

_BREAK: Final = ("kind", "writer", "expected_sequence", "found_sequence")
_NEXT_STEPS: Final = """
The break is recorded. What only the lost records held is gone. Next:
  1. Start the server: `placet serve`
  2. Set what was lost again: `placet kill-switches set`, `placet autonomy set`, `placet budgets adjust`;
     people have to give their approvals again.
  3. Verify: `placet audit verify --state`"""
_UNASKED: Final = """
{bundles_dir} holds no policy that was served before, and the database neither: from the next start
{rego_dir} decides, and nobody is asked about what it lost. Look at it before you start the server."""
app = typer.Typer(no_args_is_help=True, help="Show and upgrade the database's schema, and go on after it was lost.")


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
    raise typer.Exit(exit_codes.OK if found.state is SchemaState.CURRENT else exit_codes.CHECK_FAILED)


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


@app.command("new-trail")
def new_trail(
    *,
    reason: Reason,
    actor: Actor = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on without records that were signed and are gone: the break is recorded, with who and why.

    For a database that was lost, or replaced by an older copy, which `placet serve` refuses; while no server runs.
    Kill switches, approvals and spending that only the lost records held stay gone: set them again.

    Example: placet db new-trail --data-dir /var/lib/placet --reason 'disk lost, backup of 03:00 restored'
    """
    from placet.server.ledger import restart_trail  # noqa: PLC0415 - the whole server
    from placet.server.system import SystemClock  # noqa: PLC0415 - the whole server

    settings = open_settings(data_dir, config, database_url)
    faults: list[BaseException] = []
    with naming_data_dir(settings):
        unasked = _decides_unasked(settings)
        found = asyncio.run(restart_trail(settings, SystemClock(), actor, reason, faults.append))
    documents = [asdict(each) for each in found]
    if output is Output.JSON:
        print_json({"database": settings.database.name, "reason": reason, "breaks": documents})
    else:
        print_table(_BREAK, [[str(each[name]) for name in _BREAK] for each in documents])
        typer.echo(settings.name_data_dir(_NEXT_STEPS))
        if unasked:
            typer.echo(_UNASKED.format(bundles_dir=settings.bundles_dir, rego_dir=settings.rego_dir))
    _end(faults)


@app.command("accept-clock")
def accept_clock_command(
    *,
    reason: Reason,
    actor: Actor = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
) -> None:
    """Record that the machine's clock is right although the newest record is later: it ran ahead and was corrected.

    For a server that denies pdp.clock_skew; while that server is stopped. Budget windows that were begun ahead of time
    keep what they counted.

    Example: placet db accept-clock --data-dir /var/lib/placet --reason 'NTP was off by a day until 09:00'
    """
    from placet.server.ledger import accept_clock  # noqa: PLC0415 - the whole server
    from placet.server.system import SystemClock  # noqa: PLC0415 - the whole server

    settings = open_settings(data_dir, config, database_url)
    faults: list[BaseException] = []
    with naming_data_dir(settings):
        behind_us = asyncio.run(accept_clock(settings, SystemClock(), actor, reason, faults.append))
    next_step = settings.name_data_dir("start the server: `placet serve`")
    typer.echo(f"accepted: the newest record was {behind_us / 1_000_000:,.0f} s ahead; {next_step}")
    _end(faults)


def _decides_unasked(settings: Settings) -> bool:
    """Whether nothing is left of what was served before, so that no lost restriction of the policy is noticed."""
    if settings.opa_address or any(settings.bundles_dir.glob("*.tgz")):
        return False
    return settings.database.find_trail((), ()).empty


def _end(faults: Sequence[BaseException]) -> NoReturn:
    """Tell what failed beside the record that was made: exit code 1 when something did."""
    for fault in faults:
        typer.echo(f"placet: {fault}", err=True)
    raise typer.Exit(exit_codes.CHECK_FAILED if faults else exit_codes.OK)


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
