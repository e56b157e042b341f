"""The use cases of access tokens over any ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.commands.execute import ControlCommands
from placet.identity.model import Grant, Role, UserAssertion
from placet.signing.keys import generate_signing_key
from placet.tokens.directory import TokenDirectory
from placet.tokens.model import NewToken
from placet.tokens.service import Tokens
from tests.support.fakes import FixedClock
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from placet.audit.ports import Ledger

HOUR_US = 3_600_000_000
DAY_SECONDS = 86_400


def grant(role: Role = Role.ADMIN, *tenants: str, agents: tuple[str, ...] = ()) -> Grant:
    return Grant(role, frozenset(tenants or ("*",)), agents, UserAssertion.NEVER)


RUNTIME = grant(Role.AGENT_RUNTIME, "acme", agents=("support-*",))


def asked(name: str = "ci", *grants: Grant, person: str = "", roles: tuple[str, ...] = (), after: int = 0) -> NewToken:
    return NewToken(name, grants or (RUNTIME,), person, roles, after)


class TokenEnv:
    """One process: its use cases, and the tokens that it accepts. `waits` counts how often a change was awaited."""

    def __init__(self, ledger: Ledger | None = None, clock: FixedClock | None = None, *, alone: bool = True) -> None:
        self.clock = clock or FixedClock()
        self.ledger: Ledger = ledger or MemoryLedger(writer="w", signing_key=generate_signing_key(), clock=self.clock)
        self.directory = TokenDirectory(self.ledger, self.clock, alone=alone)
        self.waits = 0
        self.tokens = Tokens(ControlCommands(self.ledger, self.clock, self.directory), self._wait)

    async def _wait(self) -> None:
        self.waits += 1
