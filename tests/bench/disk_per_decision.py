"""The bytes that a decision adds to the database: what docs/how-to/operations.md plans disks with.

The decision path of `calls_per_action` records refunds of two tenants. The size is that of the tables with their
indexes and free room, without the write-ahead log. `python -m tests.bench.disk_per_decision [POSTGRES_URL]` prints it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import uvloop

from tests.bench.calls_per_action import BATCH, LIMITED, PLAIN, authorizing, request_of

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHES: Final = 20
"""The first half is not counted: it fills pages that are begun once, and opens the counters."""
KEYS: Final = "idempotency_keys"
_POSTGRES_SIZE: Final = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables"


@dataclass(frozen=True)
class Size:
    """Bytes for each decision: those that stay, and those of its idempotency key, which is deleted after a while."""

    stays: float
    key: float


def sqlite_size(tenant: str) -> Size:
    """Measure in a temporary file."""
    with tempfile.TemporaryDirectory(prefix="placet-disk-") as folder:
        path = Path(folder) / "placet.db"

        def size(*, keys: bool) -> int:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
                if not keys:
                    database.execute(f"DELETE FROM {KEYS}")  # noqa: S608 - ours
                database.execute("VACUUM")
            return path.stat().st_size

        return _measure(Path(folder), "", tenant, size)


def postgres_size(tenant: str, url: str) -> Size:
    """Measure in an empty database."""

    def size(*, keys: bool) -> int:
        with psycopg.connect(url, autocommit=True) as session:
            if not keys:
                session.execute(f"TRUNCATE {KEYS}".encode())
            session.execute("VACUUM")
            row = session.execute(_POSTGRES_SIZE).fetchone()
            return int(row[0]) if row is not None else 0

    with tempfile.TemporaryDirectory(prefix="placet-disk-") as folder:
        return _measure(Path(folder), url, tenant, size)


def _measure(folder: Path, url: str, tenant: str, size: Callable[..., int]) -> Size:
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    uvloop.run(_record(folder / "first", url, folder, tenant, range(BATCHES // 2)))
    before = size(keys=True)
    uvloop.run(_record(folder / "second", url, folder, tenant, range(BATCHES // 2, BATCHES)))
    with_keys, without_keys = size(keys=True), size(keys=False)
    key = (with_keys - without_keys) / (BATCH * BATCHES)
    return Size((with_keys - before) / (BATCH * BATCHES / 2) - key, key)


async def _record(scratch: Path, url: str, folder: Path, tenant: str, numbers: range) -> None:
    async with authorizing(scratch, url, folder) as authorize:
        for number in numbers:
            await authorize(request_of(tenant, number, BATCH))


def main() -> None:
    """Print bytes for each decision, on SQLite and on the PostgreSQL that is named."""
    for tenant in (PLAIN, LIMITED):
        found = {"SQLite": sqlite_size(tenant)}
        if url := sys.argv[1:]:
            found["PostgreSQL"] = postgres_size(tenant, url[0])
        for engine, size in found.items():
            print(f"{tenant:8} {engine:10} {size.stays:7,.0f} bytes stay, its idempotency key takes {size.key:5,.0f}")


if __name__ == "__main__":
    main()
