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
    from collections.abc import Callable, Sequence

    from placet.authentication.issuer_keys import KeysReport
    from placet.authentication.issuers import IssuerEntry
    from placet.authentication.key_sources import KeySource
    from placet.server.core import Core


async def open_jwt_credentials(
    stack: contextlib.AsyncExitStack, core: Core, entries: Sequence[IssuerEntry]
) -> JwtCredentials | None:
    """Return what verifies the JWTs of these issuers, as `jwt_credentials` does."""
    folder, observer = Path(core.settings.auth_file).parent, core.observer
    return await jwt_credentials(stack, entries, folder, observer.issuer_keys, observer.error)


async def jwt_credentials(
    stack: contextlib.AsyncExitStack,
    entries: Sequence[IssuerEntry],
    folder: Path,
    on_keys: Callable[[KeysReport], None],
    on_error: Callable[[BaseException], None],
) -> JwtCredentials | None:
    """Return what verifies the JWTs of these issuers, after one attempt to read their keys; None without issuers.

    Files are relative to `folder`. Keys that cannot be read do not stop the start: they are reported to `on_keys`, and
    read as soon as that is possible. The stack ends the reading.
    """
    if not entries:
        return None
    clock = SystemClock()  # the one that PyJWT compares times with
    keys_of = {
        entry.issuer: IssuerKeys(entry.issuer, _source(entry, folder), clock, entry.stale_keys_seconds, on_keys)
        for entry in entries  # entries of one issuer say the same of its keys
    }
    async with asyncio.TaskGroup() as readings:
        for keys in keys_of.values():
            readings.create_task(keys.read())
            stack.push_async_callback(keys.close)
    run_in_background(stack, on_error, [keys.run for keys in keys_of.values()])
    return JwtCredentials([TrustedIssuer(entry, keys_of[entry.issuer]) for entry in entries], clock)


def _source(entry: IssuerEntry, folder: Path) -> KeySource:
    """Return where the keys of the issuer come from. Files are relative to the authentication file."""
    if entry.jwks_file is not None:
        return KeyFile(folder / entry.jwks_file)
    fetch = ProviderClient(None if entry.ca_file is None else folder / entry.ca_file)
    return KeyAddress(entry.jwks_url, fetch) if entry.jwks_url else DiscoveredAddress(entry.issuer, fetch)
