"""A database that an earlier layout of the code wrote: once upgraded it opens, verifies with
its state, its keys still answer, and it takes access tokens and permit keys.

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
from placet.storage.connections.engines import sqlite_url
from placet.storage.migrate import SchemaState, db_upgrade
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from placet.tokens.secret import digest_of
from tests.keys.key_env import Process
from tests.storage.making import TickingClock, commitment
from tests.support.replacing import replace
from tests.tokens.token_env import TokenEnv, asked

if TYPE_CHECKING:
    from placet.signing.keys import SigningKey

EARLIER = Path(__file__).parent / "earlier"
RECORDS = 62


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "placet.db"
    path.write_bytes(gzip.decompress((EARLIER / "placet.db.gz").read_bytes()))
    assert db_upgrade(sqlite_url(path)).state is SchemaState.CURRENT
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


async def test_it_takes_permit_keys(database: Path, signing_key: SigningKey) -> None:
    ledger = SqliteLedger.open(database, writer="new", signing_key=signing_key, clock=TickingClock())
    try:
        process = Process(ledger)
        await process.start()
        assert process.verifies(process.permit())
    finally:
        await ledger.close()
    keys = load_public_keys(EARLIER).with_key(signing_key.public)
    assert verify_database(database, keys, state=True).problems == ()


async def test_it_takes_access_tokens(database: Path, signing_key: SigningKey) -> None:
    ledger = SqliteLedger.open(database, writer="new", signing_key=signing_key, clock=TickingClock())
    try:
        env = TokenEnv(ledger)
        text, token = await env.tokens.create(asked(), "ann")
        assert await env.directory.find(digest_of(text)) == token
    finally:
        await ledger.close()
    keys = load_public_keys(EARLIER).with_key(signing_key.public)
    assert verify_database(database, keys, state=True).problems == ()
