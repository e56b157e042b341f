"""Public keys that verify permits: a fixed set, or keys that are fetched from the server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

from placet.sdk._permits.optional import require_extra
from placet.sdk.errors import PermitError, PermitReason, PlacetSdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REFRESH_SECONDS: Final = 5.0
"""Minimum interval between two fetches."""
AGE_SECONDS_MAX: Final = 3_600.0
"""Age at which keys are fetched again, so that a withdrawn key stops verifying permits."""

URL_TIMEOUT_SECONDS: Final = 5.0
"""Time limit of each step of a fetch from a URL."""


class KeySource(Protocol):
    """Source of the public keys that verify permits."""

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key with this id, or None. Raises PermitError ``keys_unavailable`` if the keys cannot be read."""
        ...


class PermitKeySet:
    """A fixed set of keys, from the JSON text of a JWK set, such as `ControlClient.permit_keys` returns.

    Raises ValueError if the text is not a JWK set, ImportError if the extra ``permits`` is not installed.
    """

    def __init__(self, jwks_json: str) -> None:
        with require_extra():
            from placet.sdk._permits.token import parse_jwks  # noqa: PLC0415 - needs packages of the extra
        self._keys: Mapping[str, Ed25519PublicKey] = parse_jwks(jwks_json)

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key with this id, or None."""
        return self._keys.get(key_id)

    def __len__(self) -> int:
        """Return the number of keys that can verify permits."""
        return len(self._keys)


class PermitKeys:
    """Keys that are fetched from the server when they are needed. Safe to use from several threads.

    ::

        from placet.sdk import ControlClient, PermitKeys

        keys = PermitKeys(ControlClient("127.0.0.1:7070").permit_keys)

    If a fetch fails, the keys that were fetched before stay in use.

    Args:
        fetch: Returns the JSON text of a JWK set. Called when a permit names an unknown key, or the keys are too old.
            It blocks; with asyncio, use ``PermitKeySet(await control.permit_keys())``.
        refresh_seconds: Minimum interval between two fetches.
        age_seconds_max: Age at which the keys are fetched again.
        monotonic: Clock, for tests.
    """

    def __init__(
        self,
        fetch: Callable[[], str],
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        age_seconds_max: float = AGE_SECONDS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._age_seconds_max = age_seconds_max
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: PermitKeySet | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        self._failure = ""

    @classmethod
    def from_url(cls, url: str, *, ca_file: str = "", timeout: float = URL_TIMEOUT_SECONDS) -> Self:
        """Return keys that are fetched from a URL, such as ``https://placet.internal:8080/.well-known/jwks.json``.

        Plain http is accepted on this host only. `ca_file` has the CAs to trust instead of those of the system.
        Raises ValueError if the URL is another one, OSError if the file cannot be read.
        """
        from placet.sdk._permits.jwks_url import fetcher_of  # noqa: PLC0415 - slow to import

        return cls(fetcher_of(url, ca_file=ca_file, timeout=timeout))

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key with this id, or None. Fetches the keys if they are needed.

        Raises PermitError ``keys_unavailable`` if the key is unknown and the last fetch failed.
        """
        key = self._find_cached(key_id)
        if (key is None or self._is_old()) and self._lock.acquire(blocking=key is None):
            try:
                self._refresh_for(key_id)
            finally:
                self._lock.release()
            key = self._find_cached(key_id)
        if key is None and self._failure:
            raise PermitError(PermitReason.KEYS_UNAVAILABLE, self._failure)
        return key

    def _refresh_for(self, key_id: str) -> None:
        """Fetch the keys, unless another thread fetched them or tried to within `refresh_seconds`."""
        now = self._monotonic()
        tried_recently = self._tried_at is not None and now - self._tried_at < self._refresh_seconds
        if tried_recently or (self._find_cached(key_id) is not None and not self._is_old()):
            return
        self._tried_at = now
        try:
            self._keys = PermitKeySet(self._fetch())
        except (PlacetSdkError, OSError, ValueError) as error:
            self._failure = str(error) or type(error).__name__
        else:
            self._fetched_at, self._failure = now, ""

    def _find_cached(self, key_id: str) -> Ed25519PublicKey | None:
        return None if self._keys is None else self._keys.find(key_id)

    def _is_old(self) -> bool:
        return self._monotonic() - self._fetched_at >= self._age_seconds_max
