"""A check of the trail is run once for all who ask, and takes nothing from those who decide."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import VerifyReport
from placet.kernel.errors import LedgerUnavailableError, OverloadedError
from placet.kernel.state import ReadSet
from placet.storage import pace, shared_run
from placet.storage.pace import Pace
from placet.storage.shared_run import SharedRun
from placet.storage.sqlite import backend as sqlite
from placet.storage.sqlite.offline import verify_connection
from tests.storage.making import commitment, commitments
from tests.storage.state_making import counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.storage.sqlite.backend import SqliteLedger

SECONDS_MAX = 30


class Work:
    """Runs that end when they are told to; each gives its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self._ends: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def __call__(self) -> int:
        self.begun += 1
        self.at_once += 1
        assert self.at_once == 1
        number = self.begun
        try:
            if (fault := await self._ends.get()) is not None:
                raise fault
            return number
        finally:
            self.at_once -= 1

    def end(self, fault: BaseException | None = None) -> None:
        self._ends.put_nowait(fault)


async def settled() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_those_who_come_while_one_runs_share_the_next() -> None:
    work = Work()
    run = SharedRun(work)
    first = asyncio.create_task(run.result())
    await settled()
    others = [asyncio.create_task(run.result()) for _ in range(9)]
    await settled()
    assert work.begun == 1
    work.end()
    await settled()
    assert await first == 1
    assert work.begun == 2
    late = asyncio.create_task(run.result())
    await settled()
    work.end()
    assert await asyncio.gather(*others) == [2] * 9
    await settled()
    work.end()
    assert await late == 3, "the second began before it asked"
    await settled()
    last = asyncio.create_task(run.result())
    await settled()
    work.end()
    assert await last == 4


async def test_who_goes_away_ends_nothing_and_begins_nothing() -> None:
    work = Work()
    run = SharedRun(work)
    first, second = asyncio.create_task(run.result()), asyncio.create_task(run.result())
    await settled()
    first.cancel()
    second.cancel()
    await settled()
    assert (work.begun, work.at_once) == (1, 1)
    third = asyncio.create_task(run.result())
    await settled()
    assert work.begun == 1, "two never run at once"
    work.end()
    await settled()
    work.end()
    assert await third == 2
    await settled()
    assert work.begun == 2


async def test_a_run_that_fails_is_told_to_all_and_the_next_begins_anew() -> None:
    work = Work()
    run = SharedRun(work)
    asking = [asyncio.create_task(run.result()) for _ in range(3)]
    await settled()
    work.end(LedgerUnavailableError("gone"))
    await settled()
    work.end(LedgerUnavailableError("gone again"))
    for each in asking:
        with pytest.raises(LedgerUnavailableError):
            await each
    again = asyncio.create_task(run.result())
    await settled()
    work.end()
    assert await again == 3


async def test_too_many_are_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_run, "WAITING_MAX", 3)
    work = Work()
    run = SharedRun(work)
    asking = [asyncio.create_task(run.result()) for _ in range(3)]
    await settled()
    with pytest.raises(OverloadedError) as told:
        await run.result()
    assert told.value.retry_after_ms >= shared_run.RETRY_AFTER_MS_MIN
    work.end()
    await settled()
    work.end()
    assert sorted(await asyncio.gather(*asking)) == [1, 2, 2]


class TestLedger:
    async def test_ten_at_once_take_two_runs(self, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        runs = counted(monkeypatch)
        await ledger.commit(commitments(30))
        async with asyncio.timeout(SECONDS_MAX):
            reports = await asyncio.gather(*(ledger.verify() for _ in range(10)))
        assert {each.records for each in reports} == {30}
        assert len(runs) == 2

    async def test_what_was_committed_before_the_question_is_in_the_answer(self, ledger: SqliteLedger) -> None:
        await ledger.commit(commitments(30))
        earlier = asyncio.create_task(ledger.verify())
        await asyncio.sleep(0)
        await ledger.commit([commitment(77)])
        assert (await ledger.verify()).records == 31
        await earlier

    async def test_checks_that_hang_keep_nobody_from_reading(
        self, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Their callers are gone, one after the other, as a client with a deadline does it."""
        held, begun = threading.Event(), threading.Semaphore(0)

        def hang(*_: object, **__: object) -> VerifyReport:
            begun.release()
            assert held.wait(SECONDS_MAX)
            return VerifyReport(0, 0, 0, ())

        monkeypatch.setattr(sqlite, "verify_connection", hang)
        try:
            for number in range(4):
                asking = asyncio.create_task(ledger.verify())
                if number == 0:
                    await asyncio.to_thread(begun.acquire)
                await settled()
                asking.cancel()
            async with asyncio.timeout(SECONDS_MAX / 3):
                await asyncio.gather(*(ledger.load(ReadSet(counters=[counter()])) for _ in range(8)))
                await ledger.commit([commitment(1)])
        finally:
            held.set()

    async def test_closing_ends_a_check(self, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = threading.Event()

        def long(*_: object, pace: Callable[[], None], **__: object) -> VerifyReport:
            begun.set()
            until = time.monotonic() + SECONDS_MAX
            while time.monotonic() < until:
                pace()
            return VerifyReport(0, 0, 0, ())

        monkeypatch.setattr(sqlite, "verify_connection", long)
        asking = asyncio.create_task(ledger.verify())
        await asyncio.to_thread(begun.wait)
        async with asyncio.timeout(SECONDS_MAX / 3):
            await ledger.close()
            with pytest.raises(LedgerUnavailableError):
                await asking


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets a member for each check."""
    runs: list[int] = []

    def count(*given: object, **named: object) -> VerifyReport:
        runs.append(1)
        return verify_connection(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite, "verify_connection", count)
    return runs


def test_the_pace_leaves_half_of_the_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rested, checked = [0.0], [0.0], []

    def sleep(seconds: float) -> None:
        rested[0] += seconds
        now[0] += seconds

    monkeypatch.setattr("placet.storage.pace.time.monotonic", lambda: now[0])
    monkeypatch.setattr("placet.storage.pace.time.sleep", sleep)
    take_a_rest = Pace(lambda: checked.append(1))
    for _ in range(1_000):
        now[0] += 0.000_1
        take_a_rest()
    assert 0.08 < rested[0] <= 0.1
    assert len(checked) == round(rested[0] / pace.REST_SECONDS)
