"""Which key a database was signed with; a key that is gone is not made anew."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError
from placet.signing.keys import PRIVATE_NAME, SigningKey, load_or_create_signing_key
from placet.storage.database import SqliteDatabase, require_its_key
from placet.storage.sqlite.signers import latest_signing_key_ids
from tests.storage.making import commitment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.storage.sqlite.backend import SqliteLedger


def beside(database: Path) -> list[str]:
    return sorted(path.name for path in database.parent.iterdir())


async def test_the_key_of_each_writer(
    database: Path, open_ledger: Callable[[], SqliteLedger], signing_key: SigningKey
) -> None:
    assert latest_signing_key_ids(database) == {}
    ledger = open_ledger()
    await ledger.commit([commitment(1)])
    assert latest_signing_key_ids(database) == {}
    await ledger.checkpoint()
    assert latest_signing_key_ids(database) == {"w1": signing_key.key_id}


async def test_a_key_that_is_gone(
    database: Path, tmp_path: Path, open_ledger: Callable[[], SqliteLedger], signing_key: SigningKey
) -> None:
    keys = tmp_path / "keys"
    ledger = open_ledger()
    await ledger.commit([commitment(1)])
    require_its_key(SqliteDatabase(database), "w1", keys)
    await ledger.checkpoint()
    with pytest.raises(ConfigurationError, match=f"is gone, .* the key {signing_key.key_id}; restore that key"):
        require_its_key(SqliteDatabase(database), "w1", keys)
    assert not keys.exists()
    load_or_create_signing_key(keys)
    require_its_key(SqliteDatabase(database), "w1", keys)
    (keys / PRIVATE_NAME).unlink()
    with pytest.raises(ConfigurationError):
        require_its_key(SqliteDatabase(database), "w1", keys)


async def test_checkpoints_that_cannot_be_read(database: Path, open_ledger: Callable[[], SqliteLedger]) -> None:
    ledger = open_ledger()
    await ledger.commit([commitment(1)])
    await ledger.checkpoint()
    await ledger.close()
    connection = sqlite3.connect(database)
    connection.execute("UPDATE audit_checkpoints SET body = x'7b7d'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigurationError, match=r"its checkpoints cannot be read .* `placet audit verify`"):
        latest_signing_key_ids(database)


async def test_looking_leaves_nothing_behind(
    database: Path, open_ledger: Callable[[], SqliteLedger], signing_key: SigningKey
) -> None:
    ledger = open_ledger()
    await ledger.commit([commitment(1)])
    await ledger.checkpoint()
    assert latest_signing_key_ids(database) == {"w1": signing_key.key_id}  # while it is served
    await ledger.close()
    before = beside(database)
    assert latest_signing_key_ids(database) == {"w1": signing_key.key_id}
    assert beside(database) == before


def test_a_file_that_is_no_database(database: Path) -> None:
    database.write_text("this is no database, however long it is looked at" * 100)
    with pytest.raises(ConfigurationError, match="its checkpoints cannot be read"):
        latest_signing_key_ids(database)
