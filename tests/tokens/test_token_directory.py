"""The tokens that a process accepts, and for how long it may do so without asking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import LedgerUnavailableError
from placet.tokens.directory import LEASE_SECONDS, RENEW_SECONDS, SETTLED_SECONDS, TokenDirectory
from placet.tokens.secret import digest_of
from tests.support.memory_ledger import MemoryLedger
from tests.tokens.token_env import TokenEnv, asked

if TYPE_CHECKING:
    from placet.kernel.state import ReadSet, RowPage, RowQuery, Snapshot


class CountingLedger:
    """Counts the reads of a ledger, holds them while `open` is not set, and fails while `fails`."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.loads = 0
        self.lists = 0
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()

    async def load(self, read_set: ReadSet) -> Snapshot:
        self.loads += 1
        if self.fails:
            raise LedgerUnavailableError("down")
        snapshot = await self._ledger.load(read_set)
        await self.open.wait()
        return snapshot

    async def list_rows(self, query: RowQuery) -> RowPage:
        self.lists += 1
        return await self._ledger.list_rows(query)


class Pair:
    """A process that changes tokens, and a directory of another process over the same ledger."""

    def __init__(self, *, alone: bool = False) -> None:
        self.env = TokenEnv()
        assert isinstance(self.env.ledger, MemoryLedger)
        self.reads = CountingLedger(self.env.ledger)
        self.other = TokenDirectory(self.reads, self.env.clock, alone=alone)

    async def created(self) -> tuple[str, str]:
        text, token = await self.env.tokens.create(asked(), "ann")
        return digest_of(text), token.token_id

    def pass_seconds(self, seconds: float) -> None:
        self.env.clock.seconds += seconds
        self.env.clock.wall += int(seconds * 1_000_000)


async def test_calls_within_a_lease_read_nothing() -> None:
    pair = Pair()
    digest, token_id = await pair.created()
    assert await pair.other.find(digest)
    reads = (pair.reads.loads, pair.reads.lists)
    pair.pass_seconds(LEASE_SECONDS * 0.99)
    for _ in range(100):
        assert await pair.other.find(digest)
        assert await pair.other.has(token_id)
    assert (pair.reads.loads, pair.reads.lists) == reads


async def test_no_revoked_token_is_accepted_after_the_lease() -> None:
    pair = Pair()
    digest, token_id = await pair.created()
    assert await pair.other.find(digest)
    await pair.env.tokens.revoke(token_id, "", "ann", "lost")
    assert await pair.other.find(digest)  # the answer to the revocation has not been sent yet
    pair.pass_seconds(LEASE_SECONDS)
    assert await pair.other.find(digest) is None
    assert SETTLED_SECONDS > LEASE_SECONDS > 2 * RENEW_SECONDS


@pytest.mark.parametrize("clock", ["monotonic", "wall"])
async def test_the_lease_ends_by_either_clock(clock: str) -> None:
    pair = Pair()
    digest, token_id = await pair.created()
    assert await pair.other.find(digest)
    await pair.env.tokens.revoke(token_id, "", "ann", "lost")
    if clock == "wall":
        pair.env.clock.wall += 2_000_000
    else:
        pair.env.clock.seconds += 2
    assert await pair.other.find(digest) is None


async def test_the_lease_counts_from_before_the_read() -> None:
    pair = Pair()
    digest, token_id = await pair.created()
    await pair.other.find(digest)
    pair.pass_seconds(LEASE_SECONDS)
    pair.reads.open.clear()
    renewing = asyncio.ensure_future(pair.other.renew())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await pair.env.tokens.revoke(token_id, "", "ann", "lost")
    pair.pass_seconds(LEASE_SECONDS)  # the answer of the database is slow
    pair.reads.open.set()
    await renewing
    assert await pair.other.find(digest) is None


async def test_unchanged_tokens_are_not_read_again() -> None:
    pair = Pair()
    digest, _ = await pair.created()
    await pair.other.find(digest)
    lists = pair.reads.lists
    for _ in range(5):
        pair.pass_seconds(LEASE_SECONDS)
        await pair.other.renew()
        assert await pair.other.find(digest)
    assert pair.reads.lists == lists
    assert pair.reads.loads == 6


async def test_waiting_calls_share_one_read() -> None:
    pair = Pair()
    digest, _ = await pair.created()
    pair.reads.open.clear()
    calls = [asyncio.ensure_future(pair.other.find(digest)) for _ in range(50)]
    await asyncio.sleep(0)
    calls[0].cancel()
    pair.reads.open.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(not isinstance(token, BaseException) and token is not None for token in found[1:])
    assert pair.reads.loads == 1


async def test_without_the_database_nothing_is_accepted() -> None:
    pair = Pair()
    digest, _ = await pair.created()
    await pair.other.find(digest)
    pair.reads.fails = True
    pair.pass_seconds(LEASE_SECONDS)
    await pair.other.renew()
    with pytest.raises(LedgerUnavailableError):
        await pair.other.find(digest)
    pair.reads.fails = False
    assert await pair.other.find(digest)


async def test_alone_it_reads_once_until_something_changes() -> None:
    pair = Pair(alone=True)
    digest, _ = await pair.created()
    await pair.other.find(digest)
    pair.pass_seconds(86_400)
    assert await pair.other.find(digest)
    assert pair.reads.loads == 1
    pair.other.forget()
    assert await pair.other.find(digest)
    assert pair.reads.loads == 2


async def test_a_read_that_began_before_a_change_is_not_kept() -> None:
    pair = Pair(alone=True)
    digest, token_id = await pair.created()
    pair.reads.open.clear()
    finding = asyncio.ensure_future(pair.other.find(digest))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await pair.env.tokens.revoke(token_id, "", "ann", "lost")
    pair.other.forget()
    pair.reads.open.set()
    assert await finding is None
