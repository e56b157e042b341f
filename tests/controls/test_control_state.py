"""What a decision point holds of kill switches and autonomy: all of it, never newer than its version, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.controls import snapshot as control_state
from placet.controls.kill_switches.model import KillScope
from placet.controls.snapshot import ControlState
from placet.controls.versions import version_key
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import ReadSet, RequireVersion, RowQuery, StateTable
from placet.signing.keys import generate_signing_key
from tests.support.fakes import FixedClock
from tests.support.memory_ledger import MemoryLedger
from tests.support.operators import Operators, switch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.kernel.state import RowPage, Snapshot


class Watched(MemoryLedger):
    """Counts what is read, and lets a test do something in the middle of it."""

    def __init__(self) -> None:
        super().__init__(writer="w", signing_key=generate_signing_key(), clock=FixedClock())
        self.looks = 0
        self.between: Callable[[], Awaitable[object]] | None = None

    async def load(self, wanted: ReadSet) -> Snapshot:
        self.looks += 1
        return await super().load(wanted)

    async def list_rows(self, query: RowQuery) -> RowPage:
        self.looks += 1
        happens, self.between = self.between, None
        if happens is not None:
            await happens()
        return await super().list_rows(query)


async def test_what_is_held_is_not_read_again_until_it_is_forgotten() -> None:
    ledger = Watched()
    state = ControlState(ledger)
    await state.of({"acme", "globex"})
    looks = ledger.looks
    await state.of({"acme"})
    await state.of({"globex", "acme"})
    assert ledger.looks == looks
    state.forget({"acme"})
    await state.of({"acme"})
    assert looks < ledger.looks < 2 * looks


async def test_what_is_read_is_never_older_than_its_version() -> None:
    ledger = Watched()
    operators = Operators(ledger)
    state = ControlState(ledger)
    ledger.between = lambda: operators.kills.set(switch(KillScope.TENANT))
    seen = (await state.of({"acme"}))["acme"]
    assert RequireVersion(version_key("acme"), 0) in seen.expects
    assert len(seen.switches) == 1
    assert await fits(ledger, seen.expects) is False, "so a decision by it is made anew"


async def test_what_was_forgotten_while_it_was_read_is_not_held() -> None:
    ledger = Watched()
    state = ControlState(ledger)

    async def forget() -> None:
        state.forget({"acme"})

    ledger.between = forget
    await state.of({"acme"})
    looks = ledger.looks
    await state.of({"acme"})
    assert ledger.looks > looks


async def test_all_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.commands.row_pages.PAGE_SIZE_MAX", 7)
    operators = Operators()
    for number in range(50):
        await operators.kills.set(switch(KillScope.TOOL, f"tool.{number}"))
    assert len((await ControlState(operators.ledger).of({"acme"}))["acme"].switches) == 50
    page = await operators.ledger.list_rows(RowQuery(StateTable.KILL_SWITCHES, "acme", "set", PAGE_SIZE_MAX))
    assert len(page.rows) == 50


async def test_so_many_tenants_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_state, "CONTROL_TENANTS_HELD_MAX", 3)
    ledger = Watched()
    state = ControlState(ledger)
    for number in range(10):
        await state.of({f"tenant{number}"})
    assert len(state._cached) == 3
    assert state.tenants() == ("tenant7", "tenant8", "tenant9")
    found = await state.of({f"tenant{number}" for number in range(10)})
    assert len(found) == 10
    assert len(state._cached) == 3


async def test_a_ledger_that_cannot_be_read_is_told() -> None:
    ledger = Watched()
    await ledger.close()
    with pytest.raises(LedgerUnavailableError):
        await ControlState(ledger).of({"acme"})


async def fits(ledger: MemoryLedger, expects: tuple[RequireVersion, ...]) -> bool:
    known = await ledger.load(ReadSet([each.key for each in expects]))
    rows = {key: row.version for key, row in known.rows.items()}
    return all(rows.get(each.key, 0) == each.version for each in expects)
