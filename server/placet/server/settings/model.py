"""All settings of the server. The modules beside this one have their names, defaults, descriptions and rules.

`placet.server.settings.sources` reads them from flags, variables and files. `Settings(...)` reads no source.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from placet.kernel.errors import ConfigurationError
from placet.server.settings.engine import EngineSettings
from placet.server.settings.keys import KeySettings
from placet.server.settings.limits import LimitSettings
from placet.server.settings.listening import ListeningSettings
from placet.server.settings.notifications import NotificationSettings
from placet.server.settings.releases import ReleaseSettings
from placet.server.settings.storage import StorageSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.storage.database import Database

ENV_PREFIX: Final = "PLACET_"
_DATA_DIR_COMMAND: Final = re.compile(r"`(placet (?:audit|db|doctor|keys|serve)\b(?![^`]* --data-dir)[^`]*)`")
"""Matches commands in a text that read the data directory and do not name one."""


def shipped_dir(name: str, beside: str, package: Path = Path(__file__).parents[2]) -> Path:
    """Return the package's folder `name`, or the checkout's folder `beside` when the package runs from a checkout."""
    inside, checkout = package / name, package.parent.parent / beside
    return checkout if not inside.is_dir() and package.parent.name == "server" and checkout.is_dir() else inside


class Settings(
    NotificationSettings,
    LimitSettings,
    EngineSettings,
    StorageSettings,
    KeySettings,
    ReleaseSettings,
    ListeningSettings,
):
    """All settings of `placet serve`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    _lock_descriptors: tuple[int, ...] = PrivateAttr(default=())
    _is_worker: bool = PrivateAttr(default=False)

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged.", examples=["info"]
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="Format of the log lines on stderr.", examples=["json"]
    )
    reflection: bool = Field(
        default=True, description="Serve gRPC reflection, so that tools such as grpcurl work.", examples=["true"]
    )

    @property
    def database(self) -> Database:
        """The database that holds the ledger."""
        from placet.storage.connections.write_turns import Sharing  # noqa: PLC0415 - as below
        from placet.storage.database import choose_database  # noqa: PLC0415 - takes 0.2 s, which most commands do not need

        sharing = Sharing(self.workers > 1, self._lock_descriptors)
        return choose_database(self.database_url.get_secret_value(), self.data_dir / "placet.db", sharing)

    def of_worker(self, number: int, lock_descriptors: tuple[int, ...]) -> Settings:
        """Return the settings of a worker process: it writes its own chain, and holds the lock of its parent."""
        settings = self.model_copy(update={"replica_id": f"{self.replica_id}.{number}"})
        settings._lock_descriptors = lock_descriptors  # noqa: SLF001 - its own class
        settings._is_worker = True  # noqa: SLF001 - likewise
        return settings

    @property
    def is_worker(self) -> bool:
        """Whether these are the settings of a worker process."""
        return self._is_worker

    def require_data_dir(self) -> None:
        """Raise ConfigurationError when the path of the data directory is not a directory."""
        if self.data_dir.exists() and not self.data_dir.is_dir():
            raise ConfigurationError(f"{self.data_dir}: is a file, not a directory; name a directory with --data-dir")

    def require_rego_dir(self) -> None:
        """Raise ConfigurationError when the policy folder is used and does not exist.

        The example is never served instead.
        """
        if not self.policy_url and not self.rego_dir.is_dir():
            example = shipped_dir("_rego", "rego")
            raise ConfigurationError(
                f"{self.rego_dir}: no such policy folder; name yours with --rego-dir, begin with a copy of the example "
                f"in {example}, or run `placet demo` to see that example decide"
            )

    @property
    def policy_root(self) -> Path:
        """What problems of the policy name as its folder."""
        return Path("bundle") if self.policy_url else self.rego_dir

    @property
    def keys_dir(self) -> Path:
        """Directory of the keys that sign the audit chain."""
        return self.data_dir / "keys"

    def name_data_dir(self, text: str) -> str:
        """Add ``--data-dir`` to every command in the text, unless the data directory is the default."""
        if self.data_dir == type(self).model_fields["data_dir"].default:
            return text
        named = shlex.quote(str(self.data_dir))
        return _DATA_DIR_COMMAND.sub(lambda found: f"`{found[1]} --data-dir {named}`", text)

    @property
    def permit_keys_folder(self) -> Path:
        """Directory of the keys that sign permits, when they are not in the database."""
        return Path(self.permit_keys_dir) if self.permit_keys_dir else self.keys_dir / "permits"

    @property
    def bundles_dir(self) -> Path:
        """Directory of the cache of built bundles."""
        return self.data_dir / "bundles"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from arguments only: `load_settings` reads the other sources and keeps track of them."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def describe(self, sources: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Return (name, value as text, source) of each setting in declaration order, with secrets masked."""
        rows = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if name == "database_url" and text:
                text = self.database.name
            rows.append((name, text, sources.get(name, "default")))
        return rows
