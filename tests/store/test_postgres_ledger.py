from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from placet.core.errors import SetupError
from placet.core.records import DecisionQuery, Repeated, Stored
from placet.store.keys import PublicKeys, generate_signing_key
from placet.store.postgres import PostgresLedger
from tests.store.ledger_contract import LedgerContract, listed
from tests.store.making import TickingClock, commitment, commitments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from placet.store.keys import SigningKey
    from tests.postgres import Postgres

Open = "Callable[..., PostgresLedger]"


@pytest.fixture
async def open_postgres(
    postgres_url: str, signing_key: SigningKey, faults: list[BaseException]
) -> AsyncIterator[Callable[..., PostgresLedger]]:
    """Opens the database as a replica; closes whatever was opened at the end."""
    opened: list[PostgresLedger] = []

    def open_it(
        writer: str = "w1", url: str = "", key: SigningKey = signing_key, keys: PublicKeys | None = None
    ) -> PostgresLedger:
        ledger = PostgresLedger.open(
            url or postgres_url, writer=writer, signing_key=key, keys=keys, clock=TickingClock(), on_fault=faults.append
        )
        opened.append(ledger)
        return ledger

    yield open_it
    for ledger in opened:
        await ledger.close()


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, open_postgres: Callable[..., PostgresLedger]) -> PostgresLedger:
        return open_postgres()
