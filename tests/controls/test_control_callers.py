"""Who steers is named twice in the trail: the person, as the request has it, and the caller that sent it."""

from __future__ import annotations

import pytest

from placet.audit.records import RecordKind
from placet.budgets.service import Adjustment
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.autonomy.service import NewLevel
from placet.controls.kill_switches.model import KillScope
from placet.kernel.errors import NotFoundError
from placet.kernel.model import Caller
from tests.support.operators import Operators, switch

CONSOLE, CHAT = Caller("console"), Caller("chat")
CALLS = {"id": "calls", "scope": "tenant", "measure": "calls", "limit": 10, "window": "day"}


def callers(operators: Operators, kind: RecordKind) -> list[tuple[str, str]]:
    """Caller and person of each record of the kind."""
    return [(each["caller"], each["actor"]) for each in operators.records(kind)]


async def test_of_a_kill_switch() -> None:
    operators = Operators(acme={"allowed_tools": ["look"]})
    was, _ = await operators.kills.set(switch(KillScope.GLOBAL, tenant="", caller=CONSOLE))
    await operators.kills.clear(was.switch_id, "", "ann", "mended", CHAT)
    await operators.kills.clear(was.switch_id, "", "bob", "so it is", CONSOLE)
    assert callers(operators, RecordKind.KILL_SWITCH_SET) == [("console", "ann")]
    assert callers(operators, RecordKind.CONTROL_REQUESTED) == [("chat", "ann")]
    assert callers(operators, RecordKind.KILL_SWITCH_CLEARED) == [("console", "bob")]
    with pytest.raises(NotFoundError):
        await operators.kills.clear(was.switch_id, "", "eve", "again", CHAT)
    assert callers(operators, RecordKind.CONTROL_REFUSED) == [("chat", "eve")]


async def test_of_a_level_of_autonomy() -> None:
    operators = Operators(acme={"allowed_tools": ["look"]})
    await operators.autonomy.set(NewLevel("acme", "", "", "", AutonomyLevel.OBSERVE_ONLY, "ann", "careful", CONSOLE))
    assert callers(operators, RecordKind.AUTONOMY_SET) == [("console", "ann")]


async def test_of_a_corrected_counter() -> None:
    operators = Operators(acme={"allowed_tools": ["look"], "budgets": [CALLS]})
    await operators.budgets.adjust(Adjustment("acme", "calls", "tenant", 1, "ann", "counted twice", CONSOLE))
    assert callers(operators, RecordKind.BUDGET_ADJUSTED) == [("console", "ann")]
