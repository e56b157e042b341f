"""Killed at any instant: what was told to be stored is in the trail, the chain verifies, state is what it says."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from tests.storage.making import START_US, TickingClock, commitment
from tests.storage.state_making import reserve, usage
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.signing.keys import SigningKey

ROOT = Path(__file__).parents[2]
WRITE = """
import asyncio, sys
from pathlib import Path
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sqlite import log_mover
from placet.storage.sqlite.backend import SqliteLedger
from tests.storage.making import TickingClock
from tests.storage.test_sqlite_kill import spending

log_mover.REST_SECONDS = 0.001  # the log is moved all the time

async def write(folder, start):
    key = load_or_create_signing_key(folder / "keys")
    ledger = SqliteLedger.open(folder / "placet.db", writer="w1", signing_key=key, clock=TickingClock())
    for first in range(start, 10**9, 7):
        await ledger.commit([spending(number) for number in range(first, first + 7)])
        if first % 3 == 0:
            await ledger.checkpoint()
        print(first + 6, flush=True)

asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
"""


def amount(number: int) -> int:
    return 1 + number % 3


def spending(number: int) -> Commitment:
    """A decision with what it reserves and the row of its reservation."""
    held = Row(RowKey(StateTable.RESERVATIONS, "acme", str(number)), "held", START_US, b"{}", due_at_us=START_US)
    return replace(commitment(number), changes=(reserve(amount(number), None), PutIfVersion(held)))


def write_until_killed(folder: Path, start: int, chance: random.Random) -> int:
    """The last decision that was told to be stored."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, folder, str(start)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT / 'server'}:{ROOT}"},
    )
    assert writer.stdout is not None
    for _ in range(chance.randint(1, 40)):
        assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = writer.communicate(timeout=10)[0].split()
    return int(told[-1]) if told else start


async def check_database(folder: Path, key: SigningKey, told: int) -> None:
    report = verify_database(folder / "placet.db", key.public)
    assert report.problems == ()
    ledger = SqliteLedger.open(folder / "placet.db", writer="w1", signing_key=key, clock=TickingClock())
    assert await ledger.get_decision("acme", f"dec_{told:032x}") is not None
    with contextlib.closing(sqlite3.connect(folder / "placet.db")) as connection:
        decided = {int(found[4:], 16) for (found,) in connection.execute("SELECT decision_id FROM audit_records")}
        reserved = {int(found) for (found,) in connection.execute("SELECT id FROM reservations")}
    assert await usage(ledger) == (0, sum(map(amount, decided)))
    assert reserved == decided
    await ledger.close()


async def check_kills(folder: Path, times: int) -> None:
    key = load_or_create_signing_key(folder / "keys")
    chance = random.Random(times)
    start = 1
    for _ in range(times):
        told = write_until_killed(folder, start, chance)
        await check_database(folder, key, told)
        start = told + 1_000


async def test_killed_five_times(tmp_path: Path) -> None:
    await check_kills(tmp_path, 5)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_killed_fifty_times(tmp_path: Path) -> None:
    await check_kills(tmp_path, 50)
