"""What commands that work without a server need to know."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError
from placet.server.settings_sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.server.settings import Settings
    from placet.storage.database import Database


def open_settings(data_dir: Path | None, config: Path | None, database_url: str | None = None) -> Settings:
    """The settings, with what the command line says of the data directory and the database. ConfigurationError."""
    settings = load_settings({"data_dir": data_dir, "database_url": database_url}, config)[0]
    settings.require_data_dir()
    return settings


def existing(database: Database) -> Database:
    """The database itself. ConfigurationError when there is none."""
    database.require_existing()
    return database


@contextlib.contextmanager
def naming_data_dir(settings: Settings) -> Iterator[None]:
    """Until the end of the block, the commands in a ConfigurationError name the data directory."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(settings.name_data_dir(str(error))) from error
