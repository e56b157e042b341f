"""Killed at any instant: what was told to be stored is in the trail, and the chain verifies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.store.keys import load_or_create_signing_key
from placet.store.offline import verify_database
from placet.store.sqlite import SqliteLedger
from tests.store.making import TickingClock

if TYPE_CHECKING:
    from placet.store.keys import SigningKey

ROOT = Path(__file__).parents[2]
WRITE = """
import asyncio, sys
from pathlib import Path
from placet.store.keys import load_or_create_signing_key
from placet.store.sqlite import SqliteLedger
from tests.store.making import TickingClock, commitments

async def write(folder, start):
    key = load_or_create_signing_key(folder / "keys")
    ledger = SqliteLedger.open(folder / "placet.db", writer="w1", signing_key=key, clock=TickingClock())
    for first in range(start, 10**9, 7):
        await ledger.commit(commitments(7, first))
        if first % 3 == 0:
            await ledger.checkpoint()
        print(first + 6, flush=True)

asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
"""


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


async def check(folder: Path, key: SigningKey, told: int) -> None:
    report = verify_database(folder / "placet.db", key.public)
    assert report.problems == ()
    ledger = SqliteLedger.open(folder / "placet.db", writer="w1", signing_key=key, clock=TickingClock())
    assert await ledger.get_decision("acme", f"dec_{told:032x}") is not None
    await ledger.close()


async def kill(folder: Path, times: int) -> None:
    key = load_or_create_signing_key(folder / "keys")
    chance = random.Random(times)
    start = 1
    for _ in range(times):
        told = write_until_killed(folder, start, chance)
        await check(folder, key, told)
        start = told + 1_000


async def test_killed_five_times(tmp_path: Path) -> None:
    await kill(tmp_path, 5)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_killed_fifty_times(tmp_path: Path) -> None:
    await kill(tmp_path, 50)
