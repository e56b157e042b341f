"""A PostgreSQL database that lost what was acknowledged: noticed before anything else is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed
from placet.kernel.errors import LedgerUnavailableError
from placet.storage.sql.schema import metadata
from tests.storage.making import commitment, commitments

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.storage.replicas import Replicas

TABLES = ", ".join(metadata.tables)


def emptied(replicas: Replicas) -> None:
    replicas.server.run(f"TRUNCATE {TABLES}", replicas.database)


def restored(replicas: Replicas) -> None:
    """As of before the newest record."""
    replicas.server.run("DELETE FROM audit_records WHERE sequence > 2", replicas.database)
    replicas.server.run("DELETE FROM idempotency_keys WHERE sequence > 2", replicas.database)
    replicas.server.run("DELETE FROM audit_parts WHERE sequence > 2", replicas.database)
    replicas.server.run(
        "UPDATE audit_writers SET head_sequence = 2, checkpoint_sequence = 0,"
        " head_hash = (SELECT hash FROM audit_records WHERE sequence = 2)",
        replicas.database,
    )


@pytest.mark.parametrize("lose", [emptied, restored], ids=lambda lose: lose.__name__)
@pytest.mark.parametrize("sessions", ["ended", "open"])
async def test_what_was_acknowledged_is_gone(
    replicas: Replicas, errors: list[BaseException], lose: Callable[[Replicas], None], sessions: str
) -> None:
    ledger = replicas.open()
    for number in (1, 2, 3):
        assert list(await ledger.commit([commitment(number)])) == [Committed()]
    lose(replicas)
    if sessions == "ended":
        replicas.terminate()
    for _ in range(3):
        with pytest.raises(LedgerUnavailableError):
            await ledger.commit([commitment(4)])
    assert "was replaced while the server runs: record 3 of w1 was acknowledged" in str(errors[-1])
    [(left,)] = replicas.server.run("SELECT count(*) FROM audit_records", replicas.database)
    assert left in {0, 2}, "nothing was written behind the gap"


async def test_another_replica_goes_on_with_its_own_chain(replicas: Replicas) -> None:
    """Each replica knows what it wrote itself."""
    one, other = replicas.open("w1"), replicas.open("w2")
    await one.commit(commitments(2))
    await other.commit(commitments(2, 3))
    replicas.terminate()
    assert list(await one.commit([commitment(5)])) == [Committed()]
    assert list(await other.commit([commitment(6)])) == [Committed()]
