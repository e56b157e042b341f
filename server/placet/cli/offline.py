"""Settings and database of the commands that work without a server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError
from placet.server.settings.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.server.settings.model import Settings
    from placet.storage.database import Database


def open_settings(data_dir: Path | None, config: Path | None, database_url: str | None = None) -> Settings:
    """Load the settings with these options. ConfigurationError when they are wrong or the data directory is a file."""
    settings = load_settings({"data_dir": data_dir, "database_url": database_url}, config)[0]
    settings.require_data_dir()
    return settings


def existing(database: Database) -> Database:
    """Return the database. ConfigurationError when it does not exist."""
    database.require_existing()
    return database


@contextlib.contextmanager
def naming_data_dir(settings: Settings) -> Iterator[None]:
    """Add --data-dir to the `placet` commands in the text of a ConfigurationError that the block raises."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(settings.name_data_dir(str(error))) from error
