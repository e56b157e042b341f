"""The permit keys of a folder: refused where the server keeps its keys in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.cli.doctor.own_server import keys_of_server_are_shared
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.permits.claims import PermitKey
    from placet.server.settings.model import Settings

NAME_SERVER: Final = "name a server that uses them with --address"
NAME_SETTING: Final = (
    f"{NAME_SERVER}, or, while none runs, give its --config or its key-encryption setting, such as "
    "PLACET_PERMIT_KEY_ENCRYPTION_KEY"
)


def keys_in_folder(settings: Settings, remedy: str = NAME_SERVER) -> Sequence[PermitKey]:
    """Return the public keys of the folder that the settings name.

    Raises ConfigurationError when there are none, or when the keys are in the database; `remedy` is for the latter.
    """
    from placet.signing.permit_keys import load_permit_keys  # noqa: PLC0415 - slow to import

    _require_keys_in_folder(settings, remedy)
    folder = settings.permit_keys_folder
    keys = [pair.public for pair in load_permit_keys(folder, mounted=bool(settings.permit_keys_dir))]
    if not keys:
        raise ConfigurationError(f"{folder}: there are no permit keys; `placet serve` creates one, or name --data-dir")
    return keys


def _require_keys_in_folder(settings: Settings, remedy: str) -> None:
    """Raise ConfigurationError when the server of the data directory keeps its permit keys in the database.

    A running server says where they are. While none runs, keys in its database are taken to be used.
    """
    shared = keys_of_server_are_shared(settings.data_dir)
    if settings.has_shared_keys or shared:
        raise ConfigurationError(f"the permit keys are in the database: {remedy}")
    if shared is None and not settings.permit_keys_dir and _has_key_set(settings):
        raise ConfigurationError(
            f"the permit keys are in the database {settings.database.name}: {remedy}. If the server uses those in "
            f"{settings.permit_keys_folder} again, start it first"
        )


def _has_key_set(settings: Settings) -> bool:
    from placet.kernel.state import ReadSet  # noqa: PLC0415 - slow to import
    from placet.keys.documents import PERMIT_KEYS  # noqa: PLC0415 - likewise

    database = settings.database
    try:
        database.require_existing()
    except ConfigurationError:  # no server has run
        return False
    return bool(database.read(lambda reader: reader.state.read(ReadSet([PERMIT_KEYS]))).rows)
