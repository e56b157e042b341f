from __future__ import annotations

import pytest

from placet.signing.keys import generate_signing_key
from placet.storage.memory import MemoryLedger
from tests.storage.ledger_contract import LedgerContract
from tests.storage.making import TickingClock


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger(writer="w1", signing_key=generate_signing_key(), clock=TickingClock())
