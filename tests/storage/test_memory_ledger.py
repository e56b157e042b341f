from __future__ import annotations

import pytest

from placet.signing.keys import generate_signing_key
from tests.storage.ledger_contract import LedgerContract
from tests.storage.making import TickingClock
from tests.support.memory_ledger import MemoryLedger


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger(writer="w1", signing_key=generate_signing_key(), clock=TickingClock())
