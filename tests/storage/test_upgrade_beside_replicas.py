"""The schema is upgraded while a replica of the older version is away: it does not continue with the newer schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.storage.migrate import SchemaState, db_status, db_upgrade
from tests.storage.making import commitment

if TYPE_CHECKING:
    from tests.storage.replicas import Replicas

NEWER = "UPDATE alembic_version SET version_num = '9999'"
SAME = "UPDATE alembic_version SET version_num = '{}'"


async def test_a_replica_that_connects_again_meets_a_newer_schema(replicas: Replicas) -> None:
    """Also when it lost its connection only, as in a failover."""
    old = replicas.open("a")
    await old.commit([commitment(1)])
    expected = db_status(replicas.url).expected
    replicas.server.run(NEWER, replicas.database)  # as `placet db upgrade` of a newer version does
    replicas.terminate()
    for number in (2, 3):
        with pytest.raises(LedgerUnavailableError):
            await old.commit([commitment(number)])
    assert "was written by a newer Placet (schema 9999" in str(replicas.errors[-1])
    with pytest.raises(ConfigurationError, match="run that version or a newer one"):
        replicas.open("b")
    # The upgrade is rolled back, by a backup: the replica recovers by itself.
    replicas.server.run(SAME.format(expected), replicas.database)
    await old.commit([commitment(4)])
    assert (await old.verify()).problems == ()


async def test_two_versions_with_one_schema_run_beside_each_other(replicas: Replicas) -> None:
    """A new version with the same schema starts beside the old one; `placet db upgrade` is not needed, and refused."""
    old = replicas.open("a")
    await old.commit([commitment(1)])
    with pytest.raises(ConfigurationError, match="stop all replicas first"):
        db_upgrade(replicas.url)
    assert db_status(replicas.url).state is SchemaState.CURRENT
    new = replicas.open("b")
    await new.commit([commitment(2)])
    await old.commit([commitment(3)])
    assert (await new.verify()).problems == ()
