"""The contract of state, on each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.store.memory import MemoryLedger
from tests.store.events_contract import EventsContract
from tests.store.keys_contract import KeysContract
from tests.store.making import TickingClock
from tests.store.state_contract import StateContract

if TYPE_CHECKING:
    from placet.store.keys import SigningKey
    from placet.store.postgres import PostgresLedger
    from tests.store.replicas import Replicas


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
    async def ledger(self, replicas: Replicas) -> PostgresLedger:
        return replicas.open()
