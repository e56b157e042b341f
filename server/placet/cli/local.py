"""What commands that work without a server need to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from placet.store.database import Database


def open_settings(data_dir: Path | None, config: Path | None, database_url: str | None = None) -> Settings:
    """The settings, with what the command line says of the data directory and the database. SetupError."""
    return Settings.load({"data_dir": data_dir, "database_url": database_url}, config)[0]


def existing(database: Database) -> Database:
    """The database itself. SetupError when there is none."""
    database.require_existing()
    return database
