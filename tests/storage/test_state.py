"""The contract of state, on each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.storage.migrate import prepare
from placet.storage.sql.schema import metadata
from tests.storage.events_contract import EventsContract
from tests.storage.keys_contract import KeysContract
from tests.storage.making import TickingClock
from tests.storage.replicas import Replicas
from tests.storage.state_contract import StateContract
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from placet.signing.keys import SigningKey
    from placet.storage.postgres.backend import PostgresLedger
    from tests.postgres import Postgres


@pytest.fixture(scope="module")
def database_name(postgres_server: Postgres) -> str:
    """One database for all tests: to make one takes longer than most of them."""
    name = postgres_server.new_database()
    prepare(postgres_server.url(name))
    return name


class WholeContract(StateContract, KeysContract, EventsContract):
    """What each engine must do."""


class TestMemoryState(WholeContract):
    @pytest.fixture
    def ledger(self, signing_key: SigningKey) -> MemoryLedger:
        return MemoryLedger(writer="w1", signing_key=signing_key, clock=TickingClock())


class TestSqliteState(WholeContract):
    """`ledger` is the fixture of this folder."""


class TestPostgresState(WholeContract):
    @pytest.fixture
    async def ledger(
        self, postgres_server: Postgres, database_name: str, signing_key: SigningKey, errors: list[BaseException]
    ) -> AsyncIterator[PostgresLedger]:
        postgres_server.run(f"TRUNCATE {', '.join(metadata.tables)}", database_name)
        replicas = Replicas(postgres_server, database_name, signing_key, errors)
        yield replicas.open()
        await replicas.close()
