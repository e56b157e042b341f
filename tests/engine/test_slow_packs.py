"""The pack that makes an input slow is found by asking each pack alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.engine import slow_packs
from placet.engine.connections import Connections
from placet.engine.http import Address
from placet.engine.slow_packs import AGAIN_SECONDS, SlowPacks, packs_of
from tests.engine.lying_opa import LyingOpa, http

if TYPE_CHECKING:
    import pytest

    from placet.revisions.status import SlowPack

TIMEOUT_SECONDS: Final = 0.2
PACKS: Final = ("placet.baseline.quick", "policy.quick", "policy.slow")


def single(tool: str = "kb.search", pad: int = 0) -> bytes:
    return b'{"action":{"tool":"%b","pad":"%b"},"identity":{"tenant":"acme"}}' % (tool.encode(), b"x" * pad)


class Examined:
    """What was found, with a clock that the test sets."""

    def __init__(self, opa: LyingOpa, packs: tuple[str, ...] = PACKS, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.found: list[SlowPack] = []
        self.more = asyncio.Event()
        self.now = 100.0
        self.offset = asyncio.get_running_loop().time()
        self.packs = SlowPacks(packs, timeout_seconds, self._add, self._monotonic)
        self.connections = Connections(Address.parse(opa.url))

    def _monotonic(self) -> float:
        return self.now + asyncio.get_running_loop().time() - self.offset

    def _add(self, pack: SlowPack) -> None:
        self.found.append(pack)
        self.more.set()

    async def examine(self, document: bytes, *, timed_out: bool = False) -> None:
        """Examine an input, and wait until its pack is found."""
        self.more.clear()
        self.packs.examine(document, self.connections, timed_out=timed_out)
        async with asyncio.timeout(5):
            await self.more.wait()
        await self.packs.close()


async def slow_for(opa: LyingOpa, seconds: float) -> None:
    """Let the third of each three questions take so many seconds."""
    asked = 0

    async def script(_body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            await asyncio.sleep(seconds)
        return http(b'{"result":{}}')

    opa.script = script


def test_packs_are_the_packages_of_rules() -> None:
    modules = {
        "policy/refunds/refunds.rego": b"# METADATA\n# title: x\npackage policy.refunds\n\nimport data.x\n",
        "policy/refunds/more.rego": b"package policy.refunds\n",
        "placet/baseline/allowlist/allowlist.rego": b"package placet.baseline.allowlist\n",
        "placet/lib/lib.rego": b"package placet.lib\n",
        "placet/main/main.rego": b"package placet.main\n",
    }
    assert packs_of(modules) == ("placet.baseline.allowlist", "policy.refunds")


async def test_the_slowest_pack_is_found(lying_opa: LyingOpa) -> None:
    await slow_for(lying_opa, TIMEOUT_SECONDS / 2)
    examined = Examined(lying_opa)
    await examined.examine(single())
    [pack] = examined.found
    assert (pack.pack, pack.tool, pack.tenant, pack.ended) == ("policy.slow", "kb.search", "acme", True)
    assert TIMEOUT_SECONDS / 2 <= pack.seconds < TIMEOUT_SECONDS
    assert pack.input_bytes == len(single())
    assert lying_opa.bodies == [b'{"input":%b}' % single()] * 3
    assert examined.packs.found == (pack,)


async def test_a_pack_that_does_not_end_is_stopped_at_the_time_limit(lying_opa: LyingOpa) -> None:
    await slow_for(lying_opa, 60)
    examined = Examined(lying_opa)
    await examined.examine(single())
    [pack] = examined.found
    assert (pack.pack, pack.seconds, pack.ended) == ("policy.slow", TIMEOUT_SECONDS, False)


async def test_a_tool_is_examined_once_in_a_while(lying_opa: LyingOpa) -> None:
    await slow_for(lying_opa, TIMEOUT_SECONDS / 2)
    examined = Examined(lying_opa)
    await examined.examine(single())
    examined.packs.examine(single(), examined.connections)
    await examined.packs.close()
    assert len(examined.found) == 1
    await examined.examine(single("kb.answer"))
    examined.now += AGAIN_SECONDS + 1
    await examined.examine(single(pad=9))
    assert [pack.tool for pack in examined.found] == ["kb.search", "kb.answer", "kb.search"]
    assert len(examined.packs.found) == 1, "the slowest input of each pack"


async def test_an_input_that_is_worse_is_examined_soon(lying_opa: LyingOpa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_packs, "REST_SECONDS", 0.0)
    await slow_for(lying_opa, TIMEOUT_SECONDS / 2)
    examined = Examined(lying_opa)
    await examined.examine(single())
    await examined.examine(single(pad=len(single())))
    await examined.examine(single(), timed_out=True)
    examined.packs.examine(single(), examined.connections, timed_out=True)
    examined.packs.examine(single(pad=9_000), examined.connections)
    await examined.packs.close()
    assert [pack.input_bytes for pack in examined.found] == [len(single()), 2 * len(single()), len(single())]


async def test_the_worst_input_waits_while_another_is_examined(
    lying_opa: LyingOpa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_packs, "REST_SECONDS", 0.0)
    await slow_for(lying_opa, TIMEOUT_SECONDS / 2)
    examined = Examined(lying_opa)
    examined.packs.examine(single(), examined.connections)
    for size in (500, 900, 700):
        examined.packs.examine(single(pad=size), examined.connections, timed_out=size < 900)
    async with asyncio.timeout(5):
        await examined.more.wait()
        examined.more.clear()
        await examined.more.wait()
    await examined.packs.close()
    assert [pack.input_bytes for pack in examined.found] == [len(single()), len(single(pad=700))]


async def test_packs_are_not_slow_because_the_machine_is_busy(lying_opa: LyingOpa) -> None:
    await slow_for(lying_opa, 0)
    examined = Examined(lying_opa, timeout_seconds=60)
    examined.packs.examine(single(), examined.connections)
    for _ in range(500):
        if len(lying_opa.bodies) == len(PACKS):
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    await examined.packs.close()
    assert len(lying_opa.bodies) == len(PACKS)
    assert not examined.found
    assert not examined.packs.found


async def test_one_input_at_a_time(lying_opa: LyingOpa) -> None:
    await slow_for(lying_opa, TIMEOUT_SECONDS / 2)
    examined = Examined(lying_opa)
    examined.packs.examine(single(), examined.connections)
    await examined_other(examined)
    assert [pack.tool for pack in examined.found] == ["kb.search"]


async def examined_other(examined: Examined) -> None:
    """Ask for another tool while the first is under way, then wait for the first."""
    examined.packs.examine(single("kb.answer"), examined.connections)
    async with asyncio.timeout(5):
        await examined.more.wait()
    await examined.packs.close()


async def test_an_opa_that_ends_finds_nothing(lying_opa: LyingOpa) -> None:
    lying_opa.always(b"")
    examined = Examined(lying_opa)
    examined.packs.examine(single(), examined.connections)
    for _ in range(200):
        await asyncio.sleep(0.001)
    await examined.packs.close()
    assert not examined.found


async def test_without_packs_nothing_is_asked(lying_opa: LyingOpa) -> None:
    examined = Examined(lying_opa, ())
    examined.packs.examine(single(), examined.connections)
    await examined.packs.close()
    assert not lying_opa.bodies
