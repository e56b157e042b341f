"""The public keys that permits are verified with: given once, or fetched as they are needed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from placet.sdk._permits.optional import require_extra
from placet.sdk.errors import PermitError, PermitReason, PlacetSdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REFRESH_SECONDS: Final = 5.0
"""Keys are not fetched more often than this, whatever permits name."""
AGE_SECONDS_MAX: Final = 3_600.0
"""Keys are fetched anew after this, so that one that was withdrawn is forgotten."""


class KeySource(Protocol):
    """Where keys come from."""

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """The key of that id. PermitError ``keys_unavailable`` when that cannot be told."""
        ...


class PermitKeySet:
    """Keys that were given once, as the JSON text of a JWK set. ValueError when it is none."""

    def __init__(self, jwks_json: str) -> None:
        with require_extra():
            from placet.sdk._permits.token import parse_jwks  # noqa: PLC0415 - only who verifies needs the extra
        self._keys: Mapping[str, Ed25519PublicKey] = parse_jwks(jwks_json)

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """The key of that id."""
        return self._keys.get(key_id)

    def __len__(self) -> int:
        """How many keys permits can be verified with."""
        return len(self._keys)


class PermitKeys:
    """Keys that are fetched; safe to use from several threads.

    ::

        from placet.sdk import ControlClient, PermitKeys

        keys = PermitKeys(ControlClient("127.0.0.1:7070").permit_keys)

    `fetch` gives the JSON text of a JWK set. It is asked when a permit names a key that is not known, at most every
    `refresh_seconds`, and when the keys are older than `age_seconds_max`. When it fails, the keys at hand are used on.
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

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """The key of that id, fetched if need be. PermitError ``keys_unavailable`` when it could not be."""
        key = self._known(key_id)
        if (key is None or self._old()) and self._lock.acquire(blocking=key is None):
            try:
                self._refresh_for(key_id)
            finally:
                self._lock.release()
            key = self._known(key_id)
        if key is None and self._failure:
            raise PermitError(PermitReason.KEYS_UNAVAILABLE, self._failure)
        return key

    def _refresh_for(self, key_id: str) -> None:
        """Fetch, unless somebody else just did, or tried."""
        moment = self._monotonic()
        tried_lately = self._tried_at is not None and moment - self._tried_at < self._refresh_seconds
        if tried_lately or (self._known(key_id) is not None and not self._old()):
            return
        self._tried_at = moment
        try:
            self._keys = PermitKeySet(self._fetch())
        except (PlacetSdkError, OSError, ValueError) as error:
            self._failure = str(error) or type(error).__name__
        else:
            self._fetched_at, self._failure = moment, ""

    def _known(self, key_id: str) -> Ed25519PublicKey | None:
        return None if self._keys is None else self._keys.find(key_id)

    def _old(self) -> bool:
        return self._monotonic() - self._fetched_at >= self._age_seconds_max
