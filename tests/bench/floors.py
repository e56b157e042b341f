"""Floors of the parts: OPA queried directly over its socket, and SQLite committing one row."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from typing import TYPE_CHECKING

from placet.engine.served_revision import Engine, ServedRevision
from placet.policy.bundles.bundle import build_bundle
from placet.policy.toolchain.binary import find_opa
from tests.bench.opa_bench import refund_input
from tests.bench.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

INPUT = refund_input()


def opa_ms(folder: Path, batch: int, rounds: int) -> float:
    """Return the median milliseconds of one query with `batch` inputs, one query at a time."""

    async def measure() -> float:
        opa = find_opa().path
        bundle = await asyncio.to_thread(build_bundle, ROOT / "rego", opa, folder / "bundles")
        engine = Engine(opa, folder / "opa.log", 1.0, print)
        revision = await ServedRevision.start(bundle, engine, 0.0)
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            await revision.evaluate([INPUT] * batch)
            times.append(time.perf_counter() - started)
        await revision.stop()
        return statistics.median(times) * 1_000

    return asyncio.run(measure())


def sqlite_commit_ms(folder: Path, rounds: int) -> float:
    """Return the median milliseconds of one durable commit of one small row."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, body BLOB)")
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO floor (body) VALUES (?)", (INPUT,))
        connection.execute("COMMIT")
        times.append(time.perf_counter() - started)
    connection.close()
    return statistics.median(times) * 1_000
