"""Whatever is changed in the database, by whoever may write to it, is found offline with the public key alone."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from placet.audit.verification.problems import PROBLEMS, ProblemKind
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.signing.checkpoint_files import load_pinned_checkpoints
from placet.signing.keys import generate_signing_key
from placet.storage.connections.engines import sqlite_url
from placet.storage.connections.sqlite import connect_evidence
from placet.storage.migrate import SchemaState, db_status, db_upgrade
from placet.storage.sql.schema import metadata
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import export_checkpoints, verify_connection, verify_database
from tests.storage.making import TABLES, TickingClock, commitment, fill
from tests.storage.mounting import mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.records import VerifyReport
    from placet.signing.keys import SigningKey

K = ProblemKind


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.db"))


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def kinds(report: VerifyReport) -> set[str]:
    return {found.kind for found in report.problems}


def test_untouched_it_is_whole(original: Path, signing_key: SigningKey) -> None:
    report = verify_database(original, signing_key.public)
    assert (report.ok, report.records, report.chains, report.checkpoints) == (True, 9, 1, 3)


MOVE = "UPDATE audit_records SET sequence = {} WHERE sequence = {}"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE audit_records SET body = replace(body, 'allow', 'deny') WHERE sequence = 5"], K.HASH_MISMATCH),
        (["UPDATE audit_records SET body = CAST(body AS TEXT) WHERE sequence = 5"], K.RECORD_UNREADABLE),
        (["UPDATE audit_records SET body = x'7b7d' WHERE sequence = 5"], K.RECORD_UNREADABLE),
        (["UPDATE audit_records SET body = x'5b5d' WHERE sequence = 5"], K.RECORD_UNREADABLE),
        (["UPDATE audit_records SET previous_hash = zeroblob(32) WHERE sequence = 5"], K.LINK_BROKEN),
        (["UPDATE audit_records SET hash = zeroblob(32) WHERE sequence = 9"], K.HEAD_MISMATCH),
        (["UPDATE audit_records SET hash = 'x' WHERE sequence = 6"], K.CHECKPOINT_MISMATCH),
        (["UPDATE audit_records SET effect = 'deny' WHERE sequence = 5"], K.COLUMN_MISMATCH),
        (["UPDATE audit_records SET user = NULL WHERE sequence = 5"], K.COLUMN_MISMATCH),
        (["UPDATE audit_records SET tenant = 'x' WHERE sequence = 5"], K.COLUMN_MISMATCH),
        (["UPDATE audit_records SET sequence = 'x' WHERE sequence = 9"], K.COLUMN_MISMATCH),
        (["UPDATE audit_records SET tenant = CAST(x'ff' AS TEXT) WHERE sequence = 5"], K.PART_MISSING),
        (["DELETE FROM audit_records WHERE sequence = 1"], K.SEQUENCE_GAP),
        (["DELETE FROM audit_records WHERE sequence = 5"], K.SEQUENCE_GAP),
        (["DELETE FROM audit_records WHERE sequence = 9"], K.CHECKPOINT_MISMATCH),
        (["DELETE FROM audit_records"], K.CHECKPOINT_MISMATCH),
        ([MOVE.format(99, 4), MOVE.format(4, 5), MOVE.format(5, 99)], K.LINK_BROKEN),
        (["UPDATE audit_parts SET content = '{}' WHERE sequence = 5 AND name = 'decision'"], K.PART_MISMATCH),
        (["UPDATE audit_parts SET salt = zeroblob(16) WHERE sequence = 5"], K.PART_MISMATCH),
        (["UPDATE audit_parts SET name = 'x' WHERE sequence = 5 AND name = 'input'"], K.PART_UNEXPECTED),
        (["DELETE FROM audit_parts WHERE sequence = 5"], K.PART_MISSING),
        (["INSERT INTO audit_parts VALUES ('acme', 'w1', 77, 'input', x'00', x'00')"], K.PART_UNEXPECTED),
        (["DELETE FROM idempotency_keys WHERE sequence = 5"], K.KEY_MISSING),
        (["UPDATE idempotency_keys SET request_digest = 'x' WHERE sequence = 5"], K.KEY_MISMATCH),
        (["INSERT INTO idempotency_keys VALUES ('acme', 'x', 'x', 'x', 'x', 'w1', 5, '', 0)"], K.KEY_UNEXPECTED),
        (["UPDATE audit_writers SET head_sequence = 8"], K.HEAD_MISMATCH),
        (["DELETE FROM audit_writers"], K.HEAD_MISMATCH),
        (["INSERT INTO audit_writers VALUES ('w2', 1, zeroblob(32), 0)"], K.HEAD_MISMATCH),
        (["UPDATE audit_checkpoints SET signature = zeroblob(64) WHERE sequence = 3"], K.CHECKPOINT_SIGNATURE),
        (["UPDATE audit_checkpoints SET signature = 'x' WHERE sequence = 3"], K.CHECKPOINT_SIGNATURE),
        (["UPDATE audit_checkpoints SET body = x'7b7d' WHERE sequence = 3"], K.CHECKPOINT_UNREADABLE),
        (["UPDATE audit_checkpoints SET sequence = 2 WHERE sequence = 3"], K.CHECKPOINT_MISMATCH),
        (["UPDATE audit_checkpoints SET sequence = 'x' WHERE sequence = 3"], K.CHECKPOINT_MISMATCH),
        (["DELETE FROM audit_checkpoints WHERE sequence = 3"], K.CHECKPOINT_GAP),
        (["DELETE FROM audit_checkpoints WHERE sequence = 9"], K.CHECKPOINT_GAP),
    ],
)
def test_each_change_is_named(copy: Path, signing_key: SigningKey, statements: list[str], expected: K) -> None:
    change(copy, *statements)
    report = verify_database(copy, signing_key.public)
    assert expected in kinds(report), report.problems
    assert all(found.detail for found in report.problems)


COPY_OF_A_RECORD = """INSERT INTO audit_records SELECT {tenant}, writer, {sequence}, kind, recorded_at_us, NULL, effect,
    rule_id, tool, run_id, user, agent, body, previous_hash, hash, subject FROM audit_records WHERE sequence = 5"""


def test_an_inserted_record(copy: Path, signing_key: SigningKey) -> None:
    change(copy, COPY_OF_A_RECORD.format(tenant="'evil'", sequence=5))
    assert K.SEQUENCE_REPEATED in kinds(verify_database(copy, signing_key.public))


def test_an_inserted_record_behind_the_last(copy: Path, signing_key: SigningKey) -> None:
    change(copy, COPY_OF_A_RECORD.format(tenant="tenant", sequence=10))
    assert {K.LINK_BROKEN, K.HEAD_MISMATCH} <= kinds(verify_database(copy, signing_key.public))


def test_the_last_record_removed_with_all_traces_but_a_kept_checkpoint(
    copy: Path, original: Path, signing_key: SigningKey
) -> None:
    kept = load_pinned_checkpoints(export_checkpoints(original))
    change(
        copy,
        *(f"DELETE FROM {table} WHERE sequence > 6" for table in TABLES[:3] + TABLES[4:5]),  # noqa: S608 - constants
        "UPDATE audit_writers SET head_sequence = 6, checkpoint_sequence = 6,"
        " head_hash = (SELECT hash FROM audit_records WHERE sequence = 6)",
    )
    assert verify_database(copy, signing_key.public).ok  # why a checkpoint should be kept elsewhere
    assert kinds(verify_database(copy, signing_key.public, kept)) == {K.KEPT_CHECKPOINT_MISMATCH}


async def test_a_replaced_chain(tmp_path: Path, original: Path, signing_key: SigningKey) -> None:
    kept = load_pinned_checkpoints(export_checkpoints(original))
    assert verify_database(original, signing_key.public, kept).ok
    await fill(tmp_path / "forged.db", signing_key, start=100)
    report = verify_database(tmp_path / "forged.db", signing_key.public, kept)
    assert kinds(report) == {K.KEPT_CHECKPOINT_MISMATCH}
    foreign = generate_signing_key()
    await fill(tmp_path / "foreign.db", foreign, start=100)
    assert K.CHECKPOINT_SIGNATURE in kinds(verify_database(tmp_path / "foreign.db", signing_key.public))
    assert kinds(verify_database(tmp_path / "foreign.db", foreign.public, kept)) == {
        K.KEPT_CHECKPOINT_SIGNATURE,
        K.KEPT_CHECKPOINT_MISMATCH,
    }


async def test_a_chain_that_is_gone(tmp_path: Path, original: Path, signing_key: SigningKey) -> None:
    kept = load_pinned_checkpoints(export_checkpoints(original))
    ledger = SqliteLedger.open(tmp_path / "new.db", writer="w2", signing_key=signing_key, clock=TickingClock())
    await ledger.close()
    report = verify_database(tmp_path / "new.db", signing_key.public, kept)
    assert [(found.kind, found.writer) for found in report.problems] == [
        (K.KEPT_CHECKPOINT_MISMATCH, "w1"),
        (K.HEAD_MISMATCH, "w1"),
    ]


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9])
def test_a_truncated_file(copy: Path, signing_key: SigningKey, left: float) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: int(len(content) * left)])
    assert K.DATABASE_DAMAGED in kinds(verify_database(copy, signing_key.public))


def test_a_file_of_something_else(copy: Path, signing_key: SigningKey) -> None:
    copy.write_bytes(b"something else, long enough" * 1_000)
    assert kinds(verify_database(copy, signing_key.public)) == {K.DATABASE_DAMAGED}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        export_checkpoints(copy)


def test_an_index_that_hides_a_record(copy: Path, signing_key: SigningKey) -> None:
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', 'IS NULL') WHERE name LIKE '%newest'"
    )
    connection.commit()
    connection.close()
    assert K.DATABASE_DAMAGED in kinds(verify_database(copy, signing_key.public))


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_another_schema_is_told(copy: Path, signing_key: SigningKey, revision: str) -> None:
    change(copy, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - the test's own words
    with pytest.raises(ConfigurationError, match=r"schema"):
        verify_database(copy, signing_key.public)
    with pytest.raises(ConfigurationError, match=r"schema"):
        export_checkpoints(copy)


def test_a_log_where_nothing_may_be_written(
    original: Path, tmp_path: Path, signing_key: SigningKey, small_disk: Path
) -> None:
    """The log cannot be read without being opened for writing, and is not left out silently."""
    live = shutil.copy(original, tmp_path / "live.db")
    connection = sqlite3.connect(live, isolation_level=None)
    connection.execute("UPDATE audit_records SET effect = 'deny' WHERE sequence = 5")
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", small_disk / f"copied.db{suffix}")
    connection.close()
    mount("-o", "remount,ro", small_disk)
    with pytest.raises(ConfigurationError, match="with its -wal file to where you may write"):
        verify_database(small_disk / "copied.db", signing_key.public)


def test_an_error_that_is_no_damage_is_no_verdict(original: Path, signing_key: SigningKey) -> None:
    connection = connect_evidence(original)
    connection.set_progress_handler(lambda: 1, 1)  # interrupts the first statement
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        verify_connection(connection, signing_key.public)
    connection.close()


def test_no_schema(copy: Path, signing_key: SigningKey) -> None:
    change(copy, "DELETE FROM alembic_version")
    assert kinds(verify_database(copy, signing_key.public)) == {K.DATABASE_DAMAGED}
    with pytest.raises(ConfigurationError, match="no checkpoint"):
        export_checkpoints(copy)


def test_a_folder_where_nothing_may_be_written(
    original: Path, signing_key: SigningKey, read_only: Callable[[Path], Path]
) -> None:
    assert verify_database(read_only(original), signing_key.public).ok


def test_an_unfinished_log_is_not_left_out(tmp_path: Path, original: Path, signing_key: SigningKey) -> None:
    """A copy of a database in use, with its log: what stands in the log alone is checked, too."""
    live = shutil.copy(original, tmp_path / "live.db")
    connection = sqlite3.connect(live, isolation_level=None)
    connection.execute("UPDATE audit_records SET effect = 'deny' WHERE sequence = 5")
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", tmp_path / f"copied.db{suffix}")
    connection.close()
    assert K.COLUMN_MISMATCH in kinds(verify_database(tmp_path / "copied.db", signing_key.public))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"checkpoints": [{}]}', b'{"checkpoints": [{"checkpoint": {}}]}']
)
def test_kept_checkpoints_that_are_none(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="unchanged"):
        load_pinned_checkpoints(text)


def test_a_changed_kept_checkpoint(original: Path, signing_key: SigningKey) -> None:
    said = orjson.loads(export_checkpoints(original))
    said["checkpoints"][0]["checkpoint"]["sequence"] = 8
    report = verify_database(original, signing_key.public, load_pinned_checkpoints(orjson.dumps(said)))
    assert kinds(report) == {K.KEPT_CHECKPOINT_SIGNATURE, K.KEPT_CHECKPOINT_MISMATCH}


async def test_no_checkpoint_to_export(tmp_path: Path, signing_key: SigningKey) -> None:
    path = tmp_path / "placet.db"
    with pytest.raises(ConfigurationError, match="no such database"):
        export_checkpoints(path)
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.close()
    with pytest.raises(ConfigurationError, match="no checkpoint was signed yet"):
        export_checkpoints(path)


async def test_the_server_finds_it_too_and_gives_no_damaged_decision(copy: Path, signing_key: SigningKey) -> None:
    errors: list[BaseException] = []
    ledger = SqliteLedger.open(copy, writer="w1", signing_key=signing_key, clock=TickingClock(), on_error=errors.append)
    change(copy, "UPDATE audit_parts SET content = '{}' WHERE sequence = 5 AND name = 'decision'")
    report = await ledger.verify()
    with pytest.raises(LedgerUnavailableError, match="placet audit verify"):
        await ledger.get_decision("other", f"dec_{4:032x}")
    with pytest.raises(LedgerUnavailableError, match="placet audit verify"):
        await ledger.commit([commitment(4, tenant="other")])
    assert (await ledger.get_decision("acme", f"dec_{5:032x}")) is not None
    await ledger.close()
    assert K.PART_MISMATCH in kinds(report)
    assert len(errors) == 2


def test_many_problems_are_not_all_kept(copy: Path, signing_key: SigningKey) -> None:
    change(
        copy,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
        " INSERT INTO audit_parts SELECT 'acme', 'w1', 1, 'x' || i, x'00', x'00' FROM n",
    )
    assert len(verify_database(copy, signing_key.public).problems) == 1_000


def test_every_kind_has_its_sentence() -> None:
    assert set(PROBLEMS) == set(ProblemKind)


@pytest.mark.parametrize("table", [*sorted(metadata.tables), "alembic_version"])
async def test_a_table_that_is_gone(copy: Path, signing_key: SigningKey, table: str) -> None:
    change(copy, f"DROP TABLE {table}")
    report = verify_database(copy, signing_key.public)
    assert kinds(report) == {K.DATABASE_DAMAGED}
    assert table in report.problems[0].detail or "no trail" in report.problems[0].detail
    status = db_status(sqlite_url(copy))
    assert (status.state, status.missing) == (SchemaState.DAMAGED, (table,))
    with pytest.raises(ConfigurationError, match=f"is damaged, it has no table {table}; run `placet audit verify`"):
        SqliteLedger.open(copy, writer="w1", signing_key=signing_key, clock=TickingClock())
    with pytest.raises(ConfigurationError, match=f"is damaged, it has no table {table}"):
        db_upgrade(sqlite_url(copy))


def test_a_column_that_is_gone(copy: Path, signing_key: SigningKey) -> None:
    change(copy, "ALTER TABLE audit_parts DROP COLUMN content")
    report = verify_database(copy, signing_key.public)
    assert kinds(report) == {K.DATABASE_DAMAGED}
    assert "content" in report.problems[0].detail


async def test_a_server_whose_table_is_gone_tells_so(copy: Path, signing_key: SigningKey) -> None:
    ledger = SqliteLedger.open(copy, writer="w1", signing_key=signing_key, clock=TickingClock())
    change(copy, "DROP TABLE audit_parts")
    report = await ledger.verify()
    await ledger.close()
    assert kinds(report) == {K.DATABASE_DAMAGED}


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(
    copy: Path, signing_key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = connect_evidence

    def interrupted(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_progress_handler(lambda: 1, 1)
        return connection

    monkeypatch.setattr("placet.storage.sqlite.offline.connect_evidence", interrupted)
    with pytest.raises(ConfigurationError, match=r"cannot be read .interrupted.; try again"):
        verify_database(copy, signing_key.public)


def test_a_trail_that_was_emptied(copy: Path, signing_key: SigningKey) -> None:
    kept = load_pinned_checkpoints(export_checkpoints(copy))
    change(copy, *(str(table.delete()) for table in metadata.tables.values()))
    report = verify_database(copy, signing_key.public)
    assert (report.ok, report.records, kinds(report)) == (False, 0, {K.NO_RECORDS})
    assert kinds(verify_database(copy, signing_key.public, kept)) >= {K.KEPT_CHECKPOINT_MISMATCH}
