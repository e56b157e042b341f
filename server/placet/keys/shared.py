"""The permit keys of a process that shares them through the database, in memory, so that signing needs no query.

Each process reads the row of the keys every SHARED_KEYS_LOOK_SECONDS. A process that could not read it for
SHARED_KEYS_AGE_SECONDS_MAX signs and publishes nothing until it can: the keys may be withdrawn. Only keys that decrypt
are used and published, so a person who can write to the database, but has no key-encryption key, cannot add one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError, PermitKeysUnavailableError
from placet.kernel.limits import SHARED_KEYS_AGE_SECONDS_MAX
from placet.kernel.state import ReadSet
from placet.keys.documents import PERMIT_KEYS, read_key_set
from placet.keys.model import KeySet
from placet.permits.schedule import signs_at, verifies_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from placet.audit.ports import StateStore
    from placet.kernel.clock import Clock
    from placet.keys.ports import KeyVault
    from placet.permits.claims import PermitKey
    from placet.permits.schedule import SigningKey

_SECOND_US: Final = 1_000_000
_UNAVAILABLE: Final = (
    "permits cannot be signed or verified now, because the permit keys could not be read for an hour; see the log"
)


class _Known(Struct, frozen=True):
    """Keys as they were at one time."""

    version: int = 0
    keys: tuple[SigningKey, ...] = ()
    stored: KeySet = KeySet()
    read_at: float = 0.0
    """Monotonic seconds from before the read."""
    read_at_us: int = 0


class SharedPermitKeys:
    """The keys. For one event loop; call `read` before all else.

    `clock` says which key signs and which verify. `machine` is the machine's clock, whose two times are independent.
    `earlier` are keys from before the keys were shared, which verify only, and nothing after a withdrawal. `on_error`
    receives the reason why newer keys cannot be used, once for each reason.
    """

    def __init__(
        self,
        ledger: StateStore,
        vault: KeyVault,
        clock: Clock,
        machine: Clock,
        on_error: Callable[[BaseException], None],
        earlier: Sequence[PermitKey] = (),
    ) -> None:
        self._ledger = ledger
        self._vault = vault
        self._clock = clock
        self._machine = machine
        self._on_error = on_error
        self._earlier = earlier
        self._known = _Known()
        self._turn = asyncio.Lock()
        self._reported = ""

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        """Return the permit of these claims, signed with the key for decisions of that time."""
        self.require_usable()
        return signs_at(self._verifying(), decided_at_us // _SECOND_US).sign(claims)

    def known(self) -> Sequence[PermitKey]:
        """Return the public keys that verify permits now, by `signs_from`."""
        now = self._now()
        stored = self._known.stored
        earlier = [key for key in self._earlier if verifies_at(key, now) and not stored.withdrew(key)]
        return [*earlier, *(key.public for key in self._verifying())]

    def require_usable(self) -> None:
        """Raise PermitKeysUnavailableError when the keys could not be read for too long, by either clock."""
        known = self._known
        monotonic, wall_us = self._machine.monotonic() - known.read_at, self._machine.wall_us() - known.read_at_us
        if not known.keys or max(monotonic, wall_us / _SECOND_US) > SHARED_KEYS_AGE_SECONDS_MAX:
            raise PermitKeysUnavailableError(_UNAVAILABLE)

    async def read(self) -> None:
        """Read what has changed.

        Raises LedgerUnavailableError, and ConfigurationError when a key cannot be decrypted. Then the keys stay as they
        were.
        """
        async with self._turn:  # one after another, so that no read replaces what a later one found
            read_at, read_at_us = self._machine.monotonic(), self._machine.wall_us()
            row = (await self._ledger.load(ReadSet([PERMIT_KEYS]))).rows.get(PERMIT_KEYS)
            version = row.version if row is not None else 0
            keys, stored = self._known.keys, self._known.stored
            if version != self._known.version:
                stored = read_key_set(row).without_expired(self._now())
                keys = tuple(
                    self._vault.unlock(key, until) for key, until in zip(stored.keys, stored.ends(), strict=True)
                )
            if not keys:
                raise ConfigurationError("the database has no permit keys; restart the server, which creates one")
            self._known = _Known(version, keys, stored, read_at, read_at_us)

    async def renew(self) -> None:
        """Read what has changed. Raises LedgerUnavailableError; keys that cannot be used are reported."""
        try:
            await self.read()
        except ConfigurationError as error:
            if str(error) != self._reported:
                self._reported = str(error)
                self._on_error(error)
        else:
            self._reported = ""

    async def follow_change(self) -> None:
        """Read what this process changed. A failure is left to `renew`."""
        with contextlib.suppress(LedgerUnavailableError):
            await self.renew()

    def forget(self, tenants: Iterable[str] = ()) -> None:
        """Do nothing, as `ControlCommands` needs it: a change of keys is read by its author, and by `renew`."""

    def _verifying(self) -> Sequence[SigningKey]:
        now = self._now()
        return [key for key in self._known.keys if verifies_at(key.public, now)]

    def _now(self) -> int:
        return self._clock.wall_us() // _SECOND_US
