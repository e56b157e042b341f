"""The use cases of permit keys in the database: create the first one, rotate. They need only the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.commands.execute import Plan, commit_with_retry
from placet.commands.four_eyes import ChangeCommand, ChangeKind
from placet.kernel.errors import ConfigurationError, FailedPreconditionError, PermitKeysUnavailableError
from placet.kernel.limits import CONTROL_TRIES_MAX, SHARED_KEYS_MAX
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import KEYS_FULL, REFUSALS
from placet.kernel.state import PutIfVersion, ReadSet
from placet.keys.documents import PERMIT_KEYS, key_set_row, read_key_set
from placet.keys.model import PERMIT, KeySet
from placet.keys.records import key_created
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.audit.records import Commitment
    from placet.commands.execute import ControlCommands
    from placet.kernel.state import Row
    from placet.keys.model import StoredKey
    from placet.keys.ports import KeyVault
    from placet.permits.claims import PermitKey

FIRST_REASON: Final = "there was no key"
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SharedKeyChanges:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands
    vault: KeyVault
    changed: Callable[[], Awaitable[None]]
    """Called after a change, so that this process knows the new key when its call is answered."""

    async def create_first(self) -> None:
        """Create a key when there is none. Of several processes that do so at once, one succeeds, and all use its key.

        Raises AbortedError when the row changed during each try.
        """
        command = ChangeCommand(ChangeKind.PERMIT_KEY_ROTATE, "", PERMIT, "", "", FIRST_REASON)
        await commit_with_retry(self.commands.ledger, lambda: self._first(command), CONTROL_TRIES_MAX)

    async def rotate(
        self, after_seconds: int, actor: str, reason: str, caller: Caller = UNAUTHENTICATED, *, withdraw: bool = False
    ) -> PermitKey:
        """Create a key that signs after so many seconds, and remove keys that verify nothing any more.

        `withdraw` removes all other keys at once, for keys that others may have read: permits that they signed are
        refused from then on, and the new key signs at once. Returns the times of the new key, without its public half.
        Raises FailedPreconditionError when there are SHARED_KEYS_MAX keys, and PermitKeysUnavailableError when the row
        is damaged or has a key that this process cannot decrypt; `withdraw` replaces these, too.
        """
        command = ChangeCommand(ChangeKind.PERMIT_KEY_ROTATE, "", PERMIT, "", actor, redact_text(reason), caller)
        after_seconds = 0 if withdraw else after_seconds
        key = await self.commands.execute(
            command, lambda now_us: self._rotate(command, after_seconds, now_us, withdraw=withdraw)
        )
        await self.changed()
        return key

    async def _first(self, command: ChangeCommand) -> tuple[Commitment | None, None]:
        row = await self._row()
        before = read_key_set(row)
        if before.keys:
            return None, None
        now_us = self.commands.clock.wall_us()
        key = self.vault.create(now_us // _SECOND_US)
        return self._put(key, before, row, before, command, now_us), None

    async def _rotate(
        self, command: ChangeCommand, after_seconds: int, now_us: int, *, withdraw: bool
    ) -> Plan[PermitKey]:
        row = await self._row()
        before, now = _before(row, withdraw=withdraw), now_us // _SECOND_US
        kept = KeySet(withdrawn_at=now) if withdraw else before.without_expired(now)
        self._require_readable(kept)
        if len(kept.keys) >= SHARED_KEYS_MAX:
            raise FailedPreconditionError(KEYS_FULL, REFUSALS[KEYS_FULL])
        key = self.vault.create(kept.second_for_new(now + after_seconds))
        [public] = [each for each in kept.with_key(key).public() if each.key_id == key.key_id]
        return Plan(self._put(key, kept, row, before, command, now_us), public)

    def _put(
        self, key: StoredKey, kept: KeySet, row: Row | None, before: KeySet, command: ChangeCommand, now_us: int
    ) -> Commitment:
        after = kept.with_key(key)
        changes = (PutIfVersion(key_set_row(after, row, now_us)),)
        return key_created(key, before.ids_missing_in(after), command, now_us, changes)

    def _require_readable(self, kept: KeySet) -> None:
        """Raise PermitKeysUnavailableError for a key that does not decrypt: no process here would use the new one."""
        try:
            for key in kept.keys:
                self.vault.unlock(key, 0)
        except ConfigurationError as error:
            raise PermitKeysUnavailableError(str(error)) from error

    async def _row(self) -> Row | None:
        return (await self.commands.ledger.load(ReadSet([PERMIT_KEYS]))).rows.get(PERMIT_KEYS)


def _before(row: Row | None, *, withdraw: bool) -> KeySet:
    """Return the keys before a rotation. A damaged row has none, when they are withdrawn."""
    try:
        return read_key_set(row)
    except ConfigurationError as error:
        if withdraw:
            return KeySet()
        raise PermitKeysUnavailableError(str(error)) from error
