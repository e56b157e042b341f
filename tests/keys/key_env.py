"""Permit keys in a ledger, as several processes use them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from jwt import PyJWKSet

from placet.commands.execute import ControlCommands
from placet.keys.service import SharedKeyChanges
from placet.keys.shared import SharedPermitKeys
from placet.permits.claims import jwk_set
from placet.signing.key_encryption import parse_key_encryption
from placet.signing.key_vault import PermitKeyVault
from placet.signing.keys import generate_signing_key
from tests.support.fakes import FixedClock
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from placet.audit.ports import Ledger

CLAIMS = b'{"jti":"dec_1"}'
SECOND_US = 1_000_000


def kek(number: int = 1) -> str:
    """Return a key-encryption key as operators write it."""
    return base64.b64encode(bytes([number]) * 32).decode()


@dataclass
class Process:
    """A process that shares the permit keys of a ledger. `kek` may hold several key-encryption keys."""

    ledger: Ledger
    clock: FixedClock = field(default_factory=FixedClock)
    kek: str = field(default_factory=kek, repr=False)
    earlier: tuple[Any, ...] = ()
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        vault = PermitKeyVault(parse_key_encryption(self.kek, "permit_key_encryption_key"))
        self.keys = SharedPermitKeys(self.ledger, vault, self.clock, self.clock, self.errors.append, self.earlier)
        self.changes = SharedKeyChanges(
            ControlCommands(self.ledger, self.clock, self.keys), vault, self.keys.follow_change
        )

    async def start(self) -> None:
        await self.changes.create_first()
        await self.keys.read()

    async def rotate(self, after_seconds: int = 60, *, withdraw: bool = False) -> str:
        key = await self.changes.rotate(after_seconds, "ann", "a test", withdraw=withdraw)
        return key.key_id

    @property
    def now(self) -> int:
        return self.clock.wall // SECOND_US

    def advance(self, seconds: float) -> None:
        self.clock.wall += int(seconds * SECOND_US)
        self.clock.seconds += seconds

    def permit(self, decided_at: int | None = None) -> str:
        return self.keys.sign(CLAIMS, (self.now if decided_at is None else decided_at) * SECOND_US)

    def kid(self, decided_at: int | None = None) -> str:
        """Return the id of the key that signs for decisions of that second, by default of now."""
        return str(jwt.get_unverified_header(self.permit(decided_at))["kid"])

    def kids(self) -> list[str]:
        return [key.key_id for key in self.keys.known()]

    def verifies(self, permit: str) -> bool:
        """Return whether the permit verifies with what this process publishes."""
        published = {key.key_id: key for key in PyJWKSet.from_json(jwk_set(self.keys.known())).keys}
        key = published.get(str(jwt.get_unverified_header(permit)["kid"]))
        return key is not None and jwt.PyJWS().decode(permit, key.key, ["EdDSA"]) == CLAIMS


def memory_ledger() -> MemoryLedger:
    return MemoryLedger(writer="w", signing_key=generate_signing_key(), clock=FixedClock())
