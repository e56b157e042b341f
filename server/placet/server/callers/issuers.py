"""Builds what verifies JWTs, and reads the keys of their issuers in the background."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from placet.authentication.fetch import ProviderClient
from placet.authentication.issuer_keys import IssuerKeys
from placet.authentication.jwt import JwtCredentials, TrustedIssuer
from placet.authentication.key_sources import DiscoveredAddress, KeyAddress, KeyFile
from placet.server.background import run_in_background
from placet.server.system import SystemClock

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    from placet.authentication.issuers import IssuerEntry
    from placet.authentication.key_sources import KeySource
    from placet.server.core import Core


async def open_jwt_credentials(
    stack: contextlib.AsyncExitStack, core: Core, entries: Sequence[IssuerEntry]
) -> JwtCredentials | None:
    """Return what verifies the JWTs of these issuers, after one attempt to read their keys; None without issuers.

    Keys that cannot be read do not stop the start: they are reported, and read as soon as that is possible. The stack
    ends the reading.
    """
    if not entries:
        return None
    clock = SystemClock()  # the one that PyJWT compares times with
    folder = Path(core.settings.auth_file).parent
    keys_of = {
        entry.issuer: IssuerKeys(
            entry.issuer, _source(entry, folder), clock, entry.stale_keys_seconds, core.observer.issuer_keys
        )
        for entry in entries  # entries of one issuer say the same of its keys
    }
    async with asyncio.TaskGroup() as readings:
        for keys in keys_of.values():
            readings.create_task(keys.read())
            stack.push_async_callback(keys.close)
    run_in_background(stack, core.observer, [keys.run for keys in keys_of.values()])
    return JwtCredentials([TrustedIssuer(entry, keys_of[entry.issuer]) for entry in entries], clock)


def _source(entry: IssuerEntry, folder: Path) -> KeySource:
    """Return where the keys of the issuer come from. Files are relative to the authentication file."""
    if entry.jwks_file is not None:
        return KeyFile(folder / entry.jwks_file)
    fetch = ProviderClient(None if entry.ca_file is None else folder / entry.ca_file)
    return KeyAddress(entry.jwks_url, fetch) if entry.jwks_url else DiscoveredAddress(entry.issuer, fetch)
