"""Fixtures of the storage tests: ledgers on SQLite and PostgreSQL, and small file systems."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.signing.keys import SigningKey, generate_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from tests.storage.making import TickingClock, fill
from tests.storage.mounting import mount
from tests.storage.replicas import Replicas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.postgres import Postgres


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    return generate_signing_key()


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, signing_key: SigningKey) -> Path:
    path = tmp_path_factory.mktemp("original") / "placet.db"
    asyncio.run(fill(path, signing_key))
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "placet.db"


@pytest.fixture
def errors() -> list[BaseException]:
    """The errors that the ledger under test reports."""
    return []


@pytest.fixture
async def open_ledger(
    database: Path, signing_key: SigningKey, errors: list[BaseException]
) -> AsyncIterator[Callable[[], SqliteLedger]]:
    """A function that opens the database. All ledgers are closed at the end."""
    opened: list[SqliteLedger] = []

    def open_database() -> SqliteLedger:
        ledger = SqliteLedger.open(
            database, writer="w1", signing_key=signing_key, clock=TickingClock(), on_error=errors.append
        )
        opened.append(ledger)
        return ledger

    yield open_database
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def ledger(open_ledger: Callable[[], SqliteLedger]) -> SqliteLedger:
    return open_ledger()


@pytest.fixture
async def replicas(
    postgres_server: Postgres, signing_key: SigningKey, errors: list[BaseException]
) -> AsyncIterator[Replicas]:
    """Replicas on an empty PostgreSQL database. All ledgers are closed at the end."""
    opened = Replicas(postgres_server, postgres_server.new_database(), signing_key, errors)
    yield opened
    await opened.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
    yield folder
    mount("-o", "remount,rw", folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[Path], Path]:
    """A function that copies a file to a read-only file system."""

    def copy(file: Path) -> Path:
        copied = Path(shutil.copy(file, small_disk))
        mount("-o", "remount,ro", small_disk)
        return copied

    return copy
