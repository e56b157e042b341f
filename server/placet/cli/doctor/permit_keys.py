"""Checks that the permit keys can be read, where they are not in the data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.cli.doctor.check import Check, failed, passed
from placet.kernel.errors import ConfigurationError
from placet.server.parts.permit_keys import with_key_encryption
from placet.signing.permit_keys import mounted_permit_keys

if TYPE_CHECKING:
    from placet.server.settings.model import Settings


def permit_key_checks(settings: Settings) -> tuple[Check, ...]:
    """Read the keys, or what encrypts them, as the server does. Nothing when the server creates its own files."""
    try:
        if settings.permit_keys_dir:
            keys = mounted_permit_keys(settings.permit_keys_folder)
            return (passed("permit keys", f"{len(keys)} in {settings.permit_keys_dir}"),)
        if settings.has_shared_keys:
            with_key_encryption(settings)
            return (passed("permit keys", "in the database, and the key that encrypts them can be read"),)
    except ConfigurationError as error:
        return (failed("permit keys", str(error)),)
    return ()
