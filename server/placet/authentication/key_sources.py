"""Where the keys of an issuer come from: a file, an address, or the address in the issuer's discovery document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from placet.authentication.fetch import FetchError
from placet.authentication.strict_json import JsonError, read_object
from placet.authentication.urls import is_on_this_machine, url_error
from placet.kernel.limits import ISSUER_KEYS_FILE_SECONDS, ISSUER_KEYS_REFRESH_SECONDS, PROVIDER_ANSWER_BYTES_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from placet.authentication.fetch import Fetch

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


class KeySource(Protocol):
    """Reads the key set of an issuer."""

    refresh_seconds: float
    """How often it should be read."""

    async def read(self) -> bytes:
        """Return the key set as JSON. Raises FetchError."""


class KeyFile:
    """A key set in a file."""

    refresh_seconds: float = ISSUER_KEYS_FILE_SECONDS

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        """Return the content of the file. Raises FetchError."""
        try:
            return await asyncio.to_thread(_content, self._path)
        except OSError as error:
            raise FetchError(f"{self._path}: {error.strerror or error}") from error


class KeyAddress:
    """A key set at an address."""

    refresh_seconds: float = ISSUER_KEYS_REFRESH_SECONDS

    def __init__(self, url: str, fetch: Fetch) -> None:
        self._url = url
        self._fetch = fetch

    async def read(self) -> bytes:
        """Return what the address answers. Raises FetchError."""
        return await self._fetch(self._url)


class DiscoveredAddress:
    """A key set at the address that the discovery document of the issuer names.

    The document is read again only after the address that it named has failed.
    """

    refresh_seconds: float = ISSUER_KEYS_REFRESH_SECONDS

    def __init__(self, issuer: str, fetch: Fetch) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._url = ""

    async def read(self) -> bytes:
        """Return what the address answers. Raises FetchError."""
        url = self._url or await self._discover()
        self._url = ""
        text = await self._fetch(url)
        self._url = url
        return text

    async def _discover(self) -> str:
        """Return the address of the keys. Raises FetchError."""
        place = self._issuer.rstrip("/") + DISCOVERY_PATH
        try:
            document = read_object(await self._fetch(place))
        except JsonError as error:
            raise FetchError(f"{place}: {error}") from error
        if document.get("issuer") != self._issuer:
            raise FetchError(f"{place}: names another issuer: {document.get('issuer')!r}; write that one as issuer")
        url = document.get("jwks_uri")
        wrong = url_error(url) if isinstance(url, str) else "is missing"
        if wrong:
            raise FetchError(f"{place}: jwks_uri: {wrong}")
        parts = urlsplit(str(url))
        if is_on_this_machine(parts) and not is_on_this_machine(urlsplit(self._issuer)):
            raise FetchError(f"{place}: jwks_uri: leads to this machine; write it as jwks_url if that is right")
        return str(url)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(PROVIDER_ANSWER_BYTES_MAX + 1)
    if len(text) > PROVIDER_ANSWER_BYTES_MAX:
        raise OSError(f"is longer than {PROVIDER_ANSWER_BYTES_MAX} bytes")
    return text
