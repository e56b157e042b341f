"""Builds what authenticates callers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placet.authentication.authenticator import AcceptedCredentials
from placet.authentication.file import read_authentication_file

if TYPE_CHECKING:
    from placet.identity.ports import Authenticator
    from placet.server.core import Core


def build_authenticator(core: Core) -> Authenticator | None:
    """Return what authenticates callers; None where callers are not authenticated. ConfigurationError says why not."""
    if not core.settings.auth_file:
        return None
    read_authentication_file(Path(core.settings.auth_file))
    return AcceptedCredentials()
