from __future__ import annotations

import pytest

from placet.store.keys import generate_signing_key
from placet.store.memory import MemoryLedger
from tests.store.ledger_contract import LedgerContract
from tests.store.making import TickingClock


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger(writer="w1", signing_key=generate_signing_key(), clock=TickingClock())
