"""Several processes of one server write to an SQLite file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError
from placet.storage.connections.file_guard import FileGuard, FilesLostError
from placet.storage.connections.file_lock import WriterLock, lock_file
from placet.storage.connections.sqlite import connect_writer, create, empty_log
from placet.storage.connections.write_turns import WriteTurns, turn_file

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from placet.storage.connections.write_turns import WriteTurns
with WriteTurns(Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "placet.db"
    create(path)
    return path


def test_only_one_has_the_turn_and_a_killed_process_gives_it_up(database: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(database)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds\n"
        entered = threading.Event()

        def enter() -> None:
            with WriteTurns(database):
                entered.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.3)
        os.kill(holder.pid, signal.SIGKILL)
        assert entered.wait(10)
        waiting.join()


def test_turns_are_taken_again_and_again(database: Path) -> None:
    turns = WriteTurns(database)
    for _ in range(3):
        with turns:
            pass
    turns.close()
    with turns:
        assert turn_file(database).stat().st_mode & 0o777 == 0o600
    turns.close()


def test_an_inherited_lock_is_held_until_the_last_process_releases_it(database: Path) -> None:
    lock = WriterLock.take(database)
    inherited = WriterLock.inherited(database, [os.dup(descriptor) for descriptor in lock.descriptors])
    lock.release()
    with pytest.raises(ConfigurationError, match="is in use by process"):
        WriterLock.take(database)
    inherited.release()
    WriterLock.take(database).release()


def test_a_lock_of_another_database_is_not_inherited(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "placet.db"
    other.parent.mkdir()
    lock = WriterLock.take(other)
    WriterLock.take(database).release()
    with pytest.raises(ConfigurationError, match="was replaced"):
        WriterLock.inherited(database, lock.descriptors)
    lock.release()
    with pytest.raises(ConfigurationError, match="not inherited"):
        WriterLock.inherited(database, lock.descriptors)


def test_the_guard_allows_what_other_processes_of_the_server_do(database: Path) -> None:
    lock_file(database).touch()
    with closing(connect_writer(database)) as own, closing(connect_writer(database)) as other:
        own.execute("CREATE TABLE t (x)")
        shared, alone = FileGuard(database, shared=True), FileGuard(database)
        for guard in (shared, alone):
            guard.opened(0)
        other.execute("INSERT INTO t VALUES (1)")
        assert empty_log(other)  # writes to the main file, and cuts the log
        shared.require()
        shared.require(after_write=True)
        with pytest.raises(FilesLostError):
            alone.require()
        for guard in (shared, alone):
            guard.closed()


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_the_guard_still_finds_removed_and_replaced_files(database: Path, ending: str) -> None:
    lock_file(database).touch()
    with closing(connect_writer(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
        guard = FileGuard(database, shared=True)
        guard.opened(0)
        file = database.with_name(database.name + ending)
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
        with pytest.raises(FilesLostError, match="was replaced"):
            guard.require()
        guard.closed()
