"""The keys of an issuer, read again and again in the background.

The last keys count until newer ones are read, and for a bounded time while none can be read. A token with an unknown
key causes a reading at once. Such readings are few, however many such tokens arrive.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.authentication.authenticator import ISSUER_KEYS_UNAVAILABLE, invalid
from placet.authentication.fetch import FetchError
from placet.authentication.jwks import EMPTY, JwksError, read_key_set
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.limits import ISSUER_KEYS_READINGS_AT_ONCE, ISSUER_KEYS_RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.authentication.jwks import VerificationKey
    from placet.authentication.key_sources import KeySource
    from placet.kernel.clock import Clock

_SECOND_US: Final = 1_000_000
_RANDOM: Final = secrets.SystemRandom().random


class KeysReport(Struct, frozen=True):
    """The result of a reading that differs from that of the reading before."""

    issuer: str
    error: str = ""
    """Why the keys could not be read; empty when they were."""
    usable_until_us: int = 0
    """Until when the last keys count, in microseconds since 1970; 0 when there are none."""
    keys: int = 0
    skipped: tuple[str, ...] = ()
    """Keys of the set that are not used, and why."""


class IssuerKeys:
    """The keys of one issuer. Belongs to one event loop. `on_report` must not raise.

    The last keys count for `stale_seconds` after they were read.
    """

    def __init__(
        self,
        issuer: str,
        source: KeySource,
        clock: Clock,
        stale_seconds: float,
        on_report: Callable[[KeysReport], None],
    ) -> None:
        self._issuer = issuer
        self._source = source
        self._clock = clock
        self._stale_us = int(stale_seconds * _SECOND_US)
        self._on_report = on_report
        self._set = EMPTY
        self._trusted: frozenset[VerificationKey] = frozenset()
        self._usable_until_us = 0
        self._report = KeysReport(issuer, "they were not read yet")
        self._reading: asyncio.Task[None] | None = None
        self._readings = _Allowance(clock, ISSUER_KEYS_READINGS_AT_ONCE, ISSUER_KEYS_RETRY_SECONDS)

    def trusts(self, key: VerificationKey, now_us: int) -> bool:
        """Return whether tokens with this key are still to be believed."""
        return now_us < self._usable_until_us and key in self._trusted

    async def key_for(self, key_id: str, algorithm: str) -> VerificationKey:
        """Return the key that may have signed a token with these headers. `key_id` is empty if it names none.

        Raises UnauthenticatedError if there is none, or several.
        """
        found = self._candidates(key_id, algorithm)
        if not found and await self.read_if_allowed():
            found = self._candidates(key_id, algorithm)
        if len(found) == 1:
            return found[0]
        if found:
            raise invalid("the token does not say which key signed it", f"several keys fit the key id {key_id!r}")
        if self._report.error:
            raise UnauthenticatedError(
                ISSUER_KEYS_UNAVAILABLE,
                "the keys of the token's issuer cannot be read now, so the token cannot be verified; try again later",
                self._report.error,
            )
        raise invalid("no key of the issuer fits the token", f"key id {key_id!r}, algorithm {algorithm}")

    async def read(self) -> None:
        """Read the keys. Waits for the reading that is under way, if there is one. Reports a failure."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def read_if_allowed(self) -> bool:
        """Read the keys, or wait for the reading that is under way. False if tokens caused many readings lately."""
        if self._reading is None and not self._readings.take():
            return False
        await self.read()
        return True

    async def run(self) -> None:
        """Read the keys again and again."""
        while True:
            await self.read()
            seconds = ISSUER_KEYS_RETRY_SECONDS if self._report.error else self._source.refresh_seconds
            await asyncio.sleep(seconds * (0.9 + _RANDOM() / 10))  # replicas should not ask at the same moment

    async def close(self) -> None:
        """Cancel the reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _candidates(self, key_id: str, algorithm: str) -> list[VerificationKey]:
        return self._set.candidates(key_id, algorithm) if self._clock.wall_us() < self._usable_until_us else []

    async def _read(self) -> None:
        try:
            text = await self._source.read()
            self._set = await asyncio.to_thread(read_key_set, text, self._set)
        except (FetchError, JwksError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - reported, and tried again
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._trusted = frozenset(self._set.keys)
            self._usable_until_us = self._clock.wall_us() + self._stale_us
            self._note(KeysReport(self._issuer, "", 0, len(self._set.keys), self._set.skipped))
        finally:
            self._reading = None

    def _failed(self, error: str) -> None:
        usable = self._clock.wall_us() < self._usable_until_us
        self._note(KeysReport(self._issuer, error, self._usable_until_us if usable else 0))

    def _note(self, report: KeysReport) -> None:
        before, self._report = self._report, report
        if report != before:
            self._on_report(report)


class _Allowance:
    """Allows `at_once` readings, and another one every `seconds`."""

    def __init__(self, clock: Clock, at_once: int, seconds: float) -> None:
        self._clock = clock
        self._at_once = at_once
        self._seconds = seconds
        self._left = float(at_once)
        self._counted_at = clock.monotonic()

    def take(self) -> bool:
        """Return whether a reading is allowed now, and count it."""
        now = self._clock.monotonic()
        self._left = min(self._at_once, self._left + (now - self._counted_at) / self._seconds)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
