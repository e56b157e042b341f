"""`placet db backup`: copy the SQLite database while the server runs."""

from __future__ import annotations

import hashlib
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from placet.cli.offline import existing, open_settings
from placet.cli.options import ConfigFile, DataDir, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_error, print_fields, print_json
from placet.kernel.errors import ConfigurationError


def backup_command(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the copy. Its folder must exist.")],
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Copy the SQLite database to a new file, and verify the copy.

    The server may run. Exit code 1, and no file, when the copy does not verify. Keys are not copied: keep them as
    secrets, elsewhere.

    Example: placet db backup /backup/placet-2026-04-24.db --data-dir /var/lib/placet
    """
    from placet.signing.keys import PUBLIC_NAME, load_public_keys  # noqa: PLC0415 - only with a database
    from placet.storage.database import SqliteDatabase  # noqa: PLC0415 - likewise
    from placet.storage.sqlite.backup import back_up  # noqa: PLC0415 - likewise

    settings = open_settings(data_dir, config)
    database = settings.database
    if not isinstance(database, SqliteDatabase):
        raise ConfigurationError(f"{database.name}: is a PostgreSQL database; back it up with pg_basebackup or pg_dump")
    existing(database)
    keys = load_public_keys(settings.keys_dir)
    if not keys.by_id:
        raise ConfigurationError(f"{settings.keys_dir / PUBLIC_NAME}: there is no such file; restore it first")
    report = back_up(database.path, target, keys)
    if not report.ok:
        for problem in report.problems:
            print_error(f"placet: {problem.kind} of {problem.writer or 'the file'}: {problem.detail}")
        print_error(f"placet: {database.name}: does not verify, so {target} was not made; see above")
        raise typer.Exit(exit_codes.CHECK_FAILED)
    document = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": _digest(target),
        "records": report.records,
        "checkpoints": report.checkpoints,
    }
    if output is Output.JSON:
        print_json(document)
    else:
        print_fields(document.items())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
