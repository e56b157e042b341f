"""Builds what signs permits: keys in a folder, or keys in the database."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from placet.commands.execute import ControlCommands
from placet.kernel.errors import AbortedError, ConfigurationError, LedgerUnavailableError
from placet.keys.service import SharedKeyChanges
from placet.keys.shared import SharedPermitKeys
from placet.server.ledger import open_without_server
from placet.server.system import SystemClock
from placet.signing.key_encryption import KeyEncryption, parse_key_encryption
from placet.signing.key_sources import read_key_file, run_key_command
from placet.signing.key_vault import PermitKeyVault
from placet.signing.permit_keys import PermitKeyFolder, load_permit_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from placet.kernel.clock import Clock
    from placet.permits.claims import PermitKey, PermitKeys
    from placet.server.observer import ServerObserver
    from placet.server.settings.model import Settings
    from placet.storage.ledger import ThreadedLedger

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class PermitKeyParts:
    """The permit keys of a process."""

    keys: PermitKeys
    shared: SharedPermitKeys | None = None
    """The same keys, if they are in the database; then they must be renewed."""
    changes: SharedKeyChanges | None = None
    """How they are changed, if they are in the database."""


def with_key_encryption(settings: Settings) -> Settings:
    """Return the settings with the value of the key-encryption key, read from its file or its command.

    Processes of one server get it from the first one, so that the command runs once. Raises ConfigurationError.
    """
    if settings.permit_key_encryption_key.get_secret_value():
        text = settings.permit_key_encryption_key.get_secret_value()
    elif settings.permit_key_encryption_file:
        text = read_key_file("permit_key_encryption_file", Path(settings.permit_key_encryption_file))
    elif settings.permit_key_encryption_command:
        text = run_key_command("permit_key_encryption_command", settings.permit_key_encryption_command)
    else:
        return settings
    parse_key_encryption(text, _source(settings))
    return settings.model_copy(update={"permit_key_encryption_key": SecretStr(text)})


async def open_permit_keys(
    settings: Settings, ledger: ThreadedLedger, clock: Clock, observer: ServerObserver
) -> PermitKeyParts:
    """Return the keys, and create the first one when there is none. `settings` are those of `with_key_encryption`.

    Raises ConfigurationError.
    """
    if not settings.has_shared_keys:
        folder, mounted = settings.permit_keys_folder, bool(settings.permit_keys_dir)
        return PermitKeyParts(PermitKeyFolder(folder, clock, observer.error, mounted=mounted))
    vault = PermitKeyVault(_encryption(settings))
    earlier = _earlier_keys(settings.permit_keys_folder, clock.wall_us() // _SECOND_US)
    shared = SharedPermitKeys(ledger, vault, clock, SystemClock(), observer.permit_keys_unusable, earlier)
    changes = SharedKeyChanges(ControlCommands(ledger, clock, shared), vault, shared.follow_change)
    try:
        await changes.create_first()
        await shared.read()
    except (LedgerUnavailableError, AbortedError) as error:
        raise ConfigurationError(
            f"{settings.database.name}: the permit keys cannot be read or created ({error}); start again"
        ) from error
    return PermitKeyParts(shared, shared, changes)


@contextlib.asynccontextmanager
async def keys_without_server(
    settings: Settings, on_error: Callable[[BaseException], None]
) -> AsyncIterator[SharedKeyChanges]:
    """Open the keys of a database while no server of this replica runs. Only a rotation decrypts them.

    Raises as `open_without_server` does.
    """
    machine = SystemClock()
    vault = PermitKeyVault(_encryption(with_key_encryption(settings)))
    async with open_without_server(settings, machine, on_error) as (ledger, clock):
        shared = SharedPermitKeys(ledger, vault, clock, machine, on_error)
        yield SharedKeyChanges(ControlCommands(ledger, clock, shared), vault, _nobody_follows)


async def _nobody_follows() -> None:
    """Do nothing: no server runs that would use the changed keys."""


def _encryption(settings: Settings) -> KeyEncryption:
    return parse_key_encryption(settings.permit_key_encryption_key.get_secret_value(), _source(settings))


def _source(settings: Settings) -> str:
    """Return what the error messages name: the setting, with the file or the program."""
    if settings.permit_key_encryption_file:
        return f"permit_key_encryption_file: {settings.permit_key_encryption_file}"
    if settings.permit_key_encryption_command:
        return f"permit_key_encryption_command: {settings.permit_key_encryption_command.split()[0]}"
    return "permit_key_encryption_key"


def _earlier_keys(folder: Path, now: int) -> Sequence[PermitKey]:
    """Return the keys of the folder, which signed until now and verify for as long as keys that were rotated.

    So a server whose keys move into the database, or that is replaced by one, leaves no permit that does not verify.
    """
    keys = [key.public for key in load_permit_keys(folder)]
    return [key if key.signs_until else replace(key, signs_until=now) for key in keys]
