"""A server goes on with its own trail alone: what is lost, older or damaged is refused, and a break recorded."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import RecordKind
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import CHECKPOINT_RECORDS_MAX
from placet.server.ledger import accept_clock, open_recorded, restart_trail
from placet.server.ledger_clock import LedgerClock
from placet.signing.keys import PRIVATE_NAME, PUBLIC_NAME, load_or_create_signing_key, load_public_key
from placet.signing.pinned_checkpoints import MARKER_NAME, PinnedCheckpoints
from placet.storage.newest import NEWEST_RECORDS
from placet.storage.sql.readers.audit_log_reader import LogQuery
from tests.serving import settings
from tests.storage.making import TickingClock, commitment
from tests.support.fakes import FixedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from placet.server.settings.model import Settings
    from placet.storage.ledger import ThreadedLedger

CLOCK = TickingClock()
PIN = "newest-checkpoint.placet.json"
NOTE = "newest-record.placet.json"


@contextlib.asynccontextmanager
async def recording(given: Settings) -> AsyncIterator[ThreadedLedger]:
    """A start as the server makes it, without a policy; nothing is signed at the end, as when it is killed."""
    errors: list[BaseException] = []
    async with contextlib.AsyncExitStack() as stack:
        yield (await open_recorded(stack, given, LedgerClock(CLOCK, 60), errors.append)).ledger
    assert not errors


async def record(given: Settings, first: int = 1, count: int = 3) -> None:
    """Start, decide and stop in order."""
    async with recording(given) as ledger:
        await ledger.commit([commitment(number) for number in range(first, first + count)])
        await ledger.checkpoint()


async def refusal(given: Settings) -> str:
    before = files(given.data_dir)
    with pytest.raises(ConfigurationError) as refused:
        async with recording(given):
            pytest.fail("it started")
    assert files(given.data_dir) == before
    return str(refused.value)


async def new_trail(given: Settings) -> list[str]:
    errors: list[BaseException] = []
    found = await restart_trail(given, CLOCK, "ann", "the disk was lost", errors.append)
    assert not errors
    return [each.kind.value for each in found]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("placet.db-")}


def chain_heads(data_dir: Path) -> list[tuple[str, int]]:
    with contextlib.closing(sqlite3.connect(f"file:{data_dir}/placet.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT writer, head_sequence FROM audit_writers").fetchall()


def remove(database: Path) -> None:
    for path in database.parent.glob("placet.db*"):
        path.unlink()


def empty(database: Path) -> None:
    remove(database)
    database.touch()


def empty_schema(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("audit_records", "audit_parts", "audit_writers", "audit_checkpoints", "idempotency_keys"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own text
        connection.commit()


def directory(database: Path) -> None:
    remove(database)
    database.mkdir()


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return settings(tmp_path / "data")


async def test_a_fresh_installation_pins_its_first_checkpoint(given: Settings) -> None:
    keys = given.keys_dir
    async with recording(given):
        assert {path.name for path in keys.iterdir()} == {PRIVATE_NAME, PUBLIC_NAME, PIN, NOTE}
        pinned = json.loads((keys / PIN).read_bytes())["checkpoints"]
        assert [(each["checkpoint"]["writer"], each["checkpoint"]["sequence"]) for each in pinned] == [("placet", 1)]
        assert (keys / PIN).stat().st_mode & 0o077 == 0
    await record(given)
    assert PinnedCheckpoints(keys).read()[0][0].sequence == 5


async def test_a_commit_that_signs_pins(given: Settings) -> None:
    async with recording(given) as ledger:
        await ledger.commit([commitment(number) for number in range(1, CHECKPOINT_RECORDS_MAX + 1)])
        (pinned,) = PinnedCheckpoints(given.keys_dir).read()
        assert pinned[0].sequence == CHECKPOINT_RECORDS_MAX + 1


@pytest.mark.parametrize("lose", [remove, empty, empty_schema, directory])
async def test_a_lost_database(given: Settings, lose: Callable[[Path], None]) -> None:
    await record(given)
    database = given.data_dir / "placet.db"
    lose(database)
    said = await refusal(given)
    assert said.startswith(f"{database}: holds no record of placet, and {given.keys_dir / PIN} tells of record 4:")
    assert "Restore the newest backup; to go on without, run `placet db new-trail --reason TEXT`" in said
    if database.is_dir():
        database.rmdir()
    assert await new_trail(given) == ["lost"]
    await record(given)


async def test_a_database_lost_by_a_server_that_pinned_nothing_yet(given: Settings) -> None:
    await record(given)
    (given.keys_dir / PIN).unlink()
    (given.keys_dir / NOTE).unlink()
    remove(given.data_dir / "placet.db")
    said = await refusal(given)
    assert f"holds no trail, and {given.keys_dir / PRIVATE_NAME} has signed one, or was made elsewhere" in said
    assert await new_trail(given) == ["lost"]
    await record(given)


async def test_an_older_copy(given: Settings, tmp_path: Path) -> None:
    await record(given)
    shutil.copy(given.data_dir / "placet.db", tmp_path / "backup")
    await record(given, first=10)
    shutil.copy(tmp_path / "backup", given.data_dir / "placet.db")
    said = await refusal(given)
    assert "the chain of placet ends at record 4, and" in said
    assert "tells of record 8: an older copy was restored, or its -wal file is gone" in said
    assert await new_trail(given) == ["older"]
    await record(given, first=20)
    with pytest.raises(ConfigurationError, match="nothing that was signed is missing"):
        await new_trail(given)


async def test_another_database(given: Settings, tmp_path: Path) -> None:
    await record(given)
    other = settings(tmp_path / "other")
    shutil.copytree(given.keys_dir, other.keys_dir)
    (other.keys_dir / PIN).unlink()
    (other.keys_dir / NOTE).unlink()
    (other.keys_dir / MARKER_NAME).touch()
    await record(other, count=9)
    shutil.copy(other.data_dir / "placet.db", given.data_dir / "placet.db")
    assert "record 4 of placet is not the one that" in await refusal(given)
    assert await new_trail(given) == ["other"]
    await record(given, first=20)


async def test_a_log_that_was_removed_after_a_crash(given: Settings, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    async with recording(given) as ledger:
        with contextlib.closing(sqlite3.connect(given.data_dir / "placet.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM audit_records").fetchone()  # the log cannot be emptied
            await ledger.commit([commitment(number) for number in range(1, 50)])
            await ledger.checkpoint()
            shutil.copytree(given.data_dir, crashed)
    whole = settings(crashed)
    assert (crashed / "placet.db-wal").stat().st_size
    shutil.copytree(crashed, tmp_path / "kept")
    await record(whole, first=100)
    shutil.rmtree(crashed)
    shutil.copytree(tmp_path / "kept", crashed)
    (crashed / "placet.db-wal").unlink()
    (crashed / "placet.db-shm").unlink()
    assert "tells of record 50: an older copy was restored, or its -wal file is gone" in await refusal(whole)


@pytest.fixture
async def crashed(given: Settings, tmp_path: Path) -> Settings:
    """A server that was killed with records in the log alone, which no checkpoint covers."""
    async with recording(given) as ledger:
        await ledger.commit([commitment(number) for number in range(1, 10)])
        shutil.copytree(given.data_dir, tmp_path / "crashed")
    assert (tmp_path / "crashed" / "placet.db-wal").stat().st_size
    assert PinnedCheckpoints(tmp_path / "crashed" / "keys").read()[0][0].sequence == 1
    return settings(tmp_path / "crashed")


async def test_a_crash_loses_nothing(crashed: Settings) -> None:
    await record(crashed, first=20)
    assert chain_heads(crashed.data_dir) == [("placet", 14)]


@pytest.mark.parametrize("left", [None, 0, 32, -100])
async def test_the_end_of_the_log_was_lost_after_a_crash(crashed: Settings, left: int | None) -> None:
    log = crashed.data_dir / "placet.db-wal"
    if left is None:
        log.unlink()
    else:
        os.truncate(log, left if left >= 0 else log.stat().st_size + left)
    assert f"and {crashed.keys_dir / NOTE} tells of record 10: an older copy was restored, or its -wal" in (
        await refusal(crashed)
    )
    assert await new_trail(crashed) == ["older"]
    await record(crashed, first=20)


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b'{"writer": "placet", "sequence": 1'])
async def test_a_note_that_a_loss_of_power_left_behind_says_nothing(crashed: Settings, content: bytes) -> None:
    (crashed.keys_dir / NOTE).write_bytes(content)
    await record(crashed, first=20)
    assert json.loads((crashed.keys_dir / NOTE).read_bytes())["sequence"] == 14


async def test_a_note_that_cannot_be_read(given: Settings) -> None:
    await record(given)
    (given.keys_dir / NOTE).unlink()
    (given.keys_dir / NOTE).mkdir()
    assert (await refusal(given)).startswith(f"{given.keys_dir / NOTE}: cannot be read")


async def test_what_the_record_of_a_break_says(given: Settings) -> None:
    await record(given)
    [(before, _)] = PinnedCheckpoints(given.keys_dir).read()
    remove(given.data_dir / "placet.db")
    assert await new_trail(given) == ["lost"]
    [logged] = given.database.log(LogQuery(10, "", (RecordKind.TRAIL_RESTARTED,)))
    body = logged.body
    assert {name: body[name] for name in ("found", "lost_writer", "expected_sequence", "found_sequence")} == {
        "found": "lost",
        "lost_writer": "placet",
        "expected_sequence": 4,
        "found_sequence": 0,
    }
    assert body["expected_head"] == before.head
    names = {path.name for path in given.keys_dir.iterdir()}
    assert names == {PRIVATE_NAME, PUBLIC_NAME, PIN, NOTE, "lost-checkpoint.placet.4.json"}
    report = given.database.verify(load_public_key(given.keys_dir / PUBLIC_NAME), state=True)
    assert report.ok, report.problems


async def test_nothing_is_wrong(given: Settings) -> None:
    await record(given)
    with pytest.raises(ConfigurationError, match="nothing that was signed is missing"):
        await new_trail(given)
    assert chain_heads(given.data_dir) == [("placet", 4)]


async def test_a_chain_of_a_former_name_that_is_gone(given: Settings) -> None:
    await record(given)
    renamed = given.model_copy(update={"replica_id": "b"})
    await record(renamed, first=10)
    assert {each.writer for each, _ in PinnedCheckpoints(given.keys_dir).read()} == {"placet", "b"}
    remove(given.data_dir / "placet.db")
    await refusal(renamed)
    assert await new_trail(renamed) == ["lost", "lost"]
    await record(renamed, first=20)
    assert {each.writer for each, _ in PinnedCheckpoints(given.keys_dir).read()} == {"b"}


async def test_a_crash_before_the_first_record_is_no_loss(given: Settings) -> None:
    PinnedCheckpoints(given.keys_dir).prepare()
    load_or_create_signing_key(given.keys_dir)
    await record(given)
    assert not (given.keys_dir / MARKER_NAME).exists()


async def test_a_key_made_elsewhere_is_told_at_the_first_start(given: Settings) -> None:
    load_or_create_signing_key(given.keys_dir)
    assert "If this is the first start with a key that was made elsewhere, run `placet db new-trail" in await refusal(
        given
    )
    assert await new_trail(given) == ["lost"]
    await record(given)


async def test_an_installation_without_a_pinned_checkpoint_starts_and_gets_one(given: Settings) -> None:
    await record(given)
    (given.keys_dir / PIN).unlink()
    await record(given, first=10)
    assert PinnedCheckpoints(given.keys_dir).read()[0][0].sequence == 8


async def test_the_key_is_gone_and_the_database_too(given: Settings) -> None:
    await record(given)
    remove(given.data_dir / "placet.db")
    (given.keys_dir / PRIVATE_NAME).unlink()
    assert "is gone, and" in await refusal(given)
    with pytest.raises(ConfigurationError, match="is gone, and"):
        await new_trail(given)
    assert not (given.keys_dir / PRIVATE_NAME).exists()


@pytest.mark.parametrize("damage", ["", "{}", '{"checkpoints": [{"checkpoint": {}, "signature": ""}]}', None])
async def test_a_pinned_checkpoint_that_cannot_be_read(given: Settings, damage: str | None) -> None:
    await record(given)
    pin = given.keys_dir / PIN
    pin.unlink()
    if damage is None:
        pin.mkdir()
    else:
        pin.write_text(damage)
    said = await refusal(given)
    assert said.startswith(f"{pin}: cannot be read")
    assert "restore it from a backup" in said


async def test_a_checkpoint_that_cannot_be_pinned_is_told(given: Settings) -> None:
    errors: list[BaseException] = []
    async with contextlib.AsyncExitStack() as stack:
        ledger = (await open_recorded(stack, given, LedgerClock(CLOCK, 60), errors.append)).ledger
        (given.keys_dir / f".{PIN}.new").mkdir()
        await ledger.commit([commitment(1)])
        await ledger.checkpoint()
        assert [type(fault) for fault in errors] == [IsADirectoryError]
        await ledger.commit([commitment(2)])


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("UPDATE audit_records SET body = replace(body, 'jira.search', 'jira.delete') WHERE sequence = 3", "record 3"),
        ("UPDATE audit_records SET hash = zeroblob(32) WHERE sequence = 2", "record 2"),
        ("UPDATE audit_parts SET content = content || ' ' WHERE sequence = 3 AND name = 'input'", "record 3"),
        ("DELETE FROM audit_records WHERE sequence = 3", "record 3"),
        ("UPDATE audit_checkpoints SET signature = zeroblob(64) WHERE sequence = 4", "record 4"),
        ("DELETE FROM audit_checkpoints WHERE sequence = 1", "record 4"),
    ],
)
async def test_newest_records_that_were_changed(given: Settings, sql: str, where: str) -> None:
    await record(given)
    with contextlib.closing(sqlite3.connect(given.data_dir / "placet.db")) as database:
        assert database.execute(sql).rowcount > 0
        database.commit()
    said = await refusal(given)
    assert said.startswith(f"{given.data_dir / 'placet.db'}: {where} of placet was changed after it was written: ")
    assert "run `placet audit verify`" in said


async def test_a_long_chain_is_checked_at_its_end_alone(given: Settings) -> None:
    total = 3 * NEWEST_RECORDS
    async with recording(given) as ledger:
        for first in range(1, total, 100):
            await ledger.commit([commitment(number) for number in range(first, first + 100)])
    async with contextlib.AsyncExitStack() as stack:
        checked = (await open_recorded(stack, given, LedgerClock(CLOCK, 60), lambda _: None)).checked
    assert checked.ok
    assert NEWEST_RECORDS <= checked.records <= 2 * NEWEST_RECORDS + 100
    assert checked.checkpoints
    with contextlib.closing(sqlite3.connect(given.data_dir / "placet.db")) as database:
        database.execute("DELETE FROM audit_records WHERE sequence = ?", (total - NEWEST_RECORDS + 10,))
        database.commit()
    assert "are missing" in await refusal(given)


async def test_a_start_with_the_clock_set_back_goes_on_at_the_newest_record(tmp_path: Path) -> None:
    given = settings(tmp_path)
    await record(given)
    times = recorded_times(given.data_dir)
    errors: list[BaseException] = []
    async with contextlib.AsyncExitStack() as stack:
        clock = LedgerClock(FixedClock(times[-1] - 3_600_000_000), 60)
        opened = await open_recorded(stack, given, clock, errors.append)
        assert await opened.ledger.newest_times() == {given.replica_id: times[-1]}
        assert (clock.wall_us(), clock.skewed()) == (times[-1], True)
    assert recorded_times(given.data_dir) == [*times, times[-1]]
    assert not errors


async def test_a_clock_that_ran_ahead_and_was_corrected_is_accepted(tmp_path: Path) -> None:
    given = settings(tmp_path)
    await record(given)
    ahead = recorded_times(given.data_dir)[-1]
    corrected = FixedClock(ahead - 86_400_000_000)
    errors: list[BaseException] = []
    for actor, reason, told in (("ann", " ", "--reason"), ("ann", "x" * 1_025, "--reason"), ("a\u200bnn", "x", "--as")):
        with pytest.raises(ConfigurationError, match=told):
            await accept_clock(given, corrected, actor, reason, errors.append)
    assert await accept_clock(given, corrected, "ann", "NTP was off by a day", errors.append) == 86_400_000_000
    async with contextlib.AsyncExitStack() as stack:
        clock = LedgerClock(corrected, 60)
        await open_recorded(stack, given, clock, errors.append)
        assert (clock.wall_us(), clock.skewed()) == (corrected.wall_us(), False)
    [accepted] = given.database.log(LogQuery(10, "", (RecordKind.CLOCK_ACCEPTED,)))
    assert "NTP was off by a day" in str(accepted)
    with pytest.raises(ConfigurationError, match="the clock is not behind the newest record"):
        await accept_clock(given, corrected, "ann", "again", errors.append)
    assert not errors


def recorded_times(data_dir: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(f"file:{data_dir}/placet.db?mode=ro", uri=True)) as database:
        return [made for (made,) in database.execute("SELECT recorded_at_us FROM audit_records ORDER BY sequence")]
