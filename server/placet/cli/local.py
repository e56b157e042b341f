"""What commands that work without a server need to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.config import Settings
from placet.core.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path


def open_settings(data_dir: Path | None, config: Path | None) -> Settings:
    """The settings, with the data directory of the command line if one was given. SetupError."""
    return Settings.load({"data_dir": data_dir}, config)[0]


def existing(database: Path) -> Path:
    """The database itself. SetupError when there is none."""
    if not database.is_file():
        raise SetupError(f"{database}: there is no database; `placet serve` makes it, or name another --data-dir")
    return database
