"""A database that an earlier layout of the code wrote: it opens, verifies with its state, and its keys still answer.

`earlier/placet.db.gz` is what `placet demo` left at 4612eb7: decisions, approvals, budgets, a kill switch, outcomes.
"""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import DecisionQuery, Idempotency, IdempotentReplay
from placet.signing.keys import load_public_keys
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from tests.storage.making import TickingClock, commitment
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.signing.keys import SigningKey

EARLIER = Path(__file__).parent / "earlier"
RECORDS = 62


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "placet.db"
    path.write_bytes(gzip.decompress((EARLIER / "placet.db.gz").read_bytes()))
    return path


def test_it_verifies_with_its_state(database: Path) -> None:
    report = verify_database(database, load_public_keys(EARLIER), state=True)
    assert (report.problems, report.records) == ((), RECORDS)
    assert report.state is not None
    assert report.state.rows
    assert report.state.counters


async def test_its_idempotency_keys_answer_as_before(database: Path, signing_key: SigningKey) -> None:
    ledger = SqliteLedger.open(database, writer="new", signing_key=signing_key, clock=TickingClock())
    try:
        page = await ledger.query_decisions(DecisionQuery("acme"))
        assert page.decisions
        with sqlite3.connect(database) as connection:
            columns = "tenant, caller, idempotency_key, request_digest, decision_id"
            query = f"SELECT {columns} FROM idempotency_keys"  # noqa: S608 - no value is in it
            keys = connection.execute(query).fetchall()
        assert keys
        for tenant, caller, key, request_digest, decision_id in keys:
            idempotency = Idempotency(caller, key, request_digest)
            [result] = await ledger.commit([replace(commitment(1, tenant=tenant), idempotency=idempotency)])
            assert isinstance(result, IdempotentReplay)
            assert result.decision.decision_id == decision_id
    finally:
        await ledger.close()
