"""Builds the parts of access tokens."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.authentication.access_token import AccessTokenVerifier
from placet.commands.execute import ControlCommands
from placet.server.background import run_in_background
from placet.server.ledger import open_without_server
from placet.server.system import SystemClock
from placet.server.tasks import periodic
from placet.tokens.directory import RENEW_SECONDS, TokenDirectory
from placet.tokens.service import Tokens
from placet.tokens.uses import TokenUses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from placet.server.core import Core
    from placet.server.settings.model import Settings

STORE_USES_SECONDS: Final = 60.0
"""How often last uses are stored that are an hour later than the stored ones."""


@dataclass(frozen=True, slots=True)
class TokenParts:
    """The access tokens of a process."""

    tokens: Tokens
    directory: TokenDirectory
    uses: TokenUses
    core: Core

    def verifier(self, stack: contextlib.AsyncExitStack) -> AccessTokenVerifier:
        """Return what verifies the tokens of callers. Until the stack closes, changes by other processes are read."""
        observer = self.core.observer
        loops = [periodic(STORE_USES_SECONDS, self.uses.store, observer)]
        if not self.directory.alone:
            loops.append(periodic(RENEW_SECONDS, self.directory.renew, observer))
        run_in_background(stack, observer.error, loops)
        return AccessTokenVerifier(self.directory, self.uses, self.core.clock)


@contextlib.asynccontextmanager
async def tokens_without_server(settings: Settings, on_error: Callable[[BaseException], None]) -> AsyncIterator[Tokens]:
    """Open the tokens of a database while no server of this replica runs. Raises as `open_without_server` does."""
    machine = SystemClock()
    async with open_without_server(settings, machine, on_error) as (ledger, clock):
        directory = TokenDirectory(ledger, machine, alone=_is_alone(settings))
        yield Tokens(ControlCommands(ledger, clock, directory), directory.known_everywhere)


def build_tokens(core: Core) -> TokenParts:
    """Return the parts."""
    alone = _is_alone(core.settings) and core.settings.workers == 1
    directory = TokenDirectory(core.ledger, SystemClock(), alone=alone)
    commands = ControlCommands(core.ledger, core.clock, directory)
    return TokenParts(Tokens(commands, directory.known_everywhere), directory, TokenUses(core.ledger), core)


def _is_alone(settings: Settings) -> bool:
    """Return whether only the processes of one server can write to the database: a lock on the file sees to it."""
    return not settings.database_url.get_secret_value()
