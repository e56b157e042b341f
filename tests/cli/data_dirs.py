"""Data directories with records, as a server leaves them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

from placet.server.ledger import open_recorded
from placet.server.ledger_clock import LedgerClock
from placet.server.settings.model import Settings
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from tests.storage.making import TickingClock, commitment

if TYPE_CHECKING:
    from pathlib import Path


def append(data_dir: Path, records: int, first: int = 0) -> None:
    """Append records and a checkpoint."""

    async def write() -> None:
        key = load_or_create_signing_key(data_dir / "keys")
        ledger = SqliteLedger.open(data_dir / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
        await ledger.commit([commitment(number) for number in range(first, first + records)])
        await ledger.checkpoint()
        await ledger.close()

    asyncio.run(write())


def tamper(database: Path, sql: str) -> None:
    connection = sqlite3.connect(database)
    assert connection.execute(sql).rowcount > 0
    connection.commit()
    connection.close()


async def run_server_once(data_dir: Path) -> None:
    """Open and close the ledger as a server does, without a policy."""
    errors: list[BaseException] = []
    async with contextlib.AsyncExitStack() as stack:
        await open_recorded(stack, Settings(data_dir=data_dir), LedgerClock(TickingClock(), 60), errors.append)
    assert not errors
