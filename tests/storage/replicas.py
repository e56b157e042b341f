"""Ledgers of several replicas on one PostgreSQL database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from placet.storage.postgres.backend import PostgresLedger
from tests.storage.making import TickingClock

if TYPE_CHECKING:
    from placet.signing.keys import PublicKeys, SigningKey
    from tests.postgres import Postgres

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'"
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"
SECONDS_MAX = 30


@dataclass
class Replicas:
    """Opens ledgers on one database. `close` closes them all."""

    server: Postgres
    database: str
    signing_key: SigningKey
    errors: list[BaseException]
    opened: list[PostgresLedger] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    def open(
        self, writer: str = "w1", *, key: SigningKey | None = None, keys: PublicKeys | None = None, url: str = ""
    ) -> PostgresLedger:
        ledger = PostgresLedger.open(
            url or self.url,
            writer=writer,
            signing_key=key or self.signing_key,
            keys=keys,
            clock=TickingClock(),
            on_error=self.errors.append,
        )
        self.opened.append(ledger)
        return ledger

    async def close(self) -> None:
        for ledger in self.opened:
            await ledger.close()

    async def waiting(self, sessions: int = 1) -> None:
        """Wait until `sessions` sessions wait for a lock."""
        async with asyncio.timeout(SECONDS_MAX):
            while self.server.run(WAITING.format(self.database)) != [(sessions,)]:  # noqa: ASYNC110 - PostgreSQL does not report it
                await asyncio.sleep(0)

    def terminate(self) -> None:
        """End all sessions."""
        self.server.run(TERMINATE.format(self.database))
