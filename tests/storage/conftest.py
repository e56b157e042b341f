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
    """What the ledger under test told of."""
    return []


@pytest.fixture
async def open_ledger(
    database: Path, signing_key: SigningKey, errors: list[BaseException]
) -> AsyncIterator[Callable[[], SqliteLedger]]:
    """Opens the database; closes whatever was opened at the end."""
    opened: list[SqliteLedger] = []

    def open_it() -> SqliteLedger:
        ledger = SqliteLedger.open(
            database, writer="w1", signing_key=signing_key, clock=TickingClock(), on_error=errors.append
        )
        opened.append(ledger)
        return ledger

    yield open_it
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def ledger(open_ledger: Callable[[], SqliteLedger]) -> SqliteLedger:
    return open_ledger()


@pytest.fixture
async def replicas(
    postgres_server: Postgres, signing_key: SigningKey, errors: list[BaseException]
) -> AsyncIterator[Replicas]:
    """Opens ledgers on an empty PostgreSQL database; closes whatever was opened at the end."""
    made = Replicas(postgres_server, postgres_server.new_database(), signing_key, errors)
    yield made
    await made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, mounted for the test."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
    yield folder
    mount("-o", "remount,rw", folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[Path], Path]:
    """Copies a file to where nothing may be written."""

    def copy(file: Path) -> Path:
        copied = Path(shutil.copy(file, small_disk))
        mount("-o", "remount,ro", small_disk)
        return copied

    return copy
