"""The services by which operators change controls and budgets, over a ledger in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from placet.budgets.service import BudgetAdmin
from placet.commands.execute import ControlCommands
from placet.controls.autonomy.service import AutonomyAdmin
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches, NewSwitch
from placet.controls.snapshot import ControlState
from placet.signing.keys import generate_signing_key
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import FixedClock, ScriptedPolicy, ScriptedSource
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from placet.audit.ports import Ledger
    from placet.audit.records import RecordKind
    from placet.controls.kill_switches.model import KillScope

HOUR_US = 3_600_000_000


class Operators:
    """Kill switches, autonomy and budgets. `state` is the state of controls as decisions of this server read it.

    Keyword arguments map tenants to their policies.
    """

    def __init__(self, ledger: Ledger | None = None, clock: FixedClock | None = None, **tenants: Any) -> None:
        self.clock = clock or FixedClock()
        self.ledger: Ledger = ledger or MemoryLedger(writer="w", signing_key=generate_signing_key(), clock=self.clock)
        self.state = ControlState(self.ledger)
        policies = {tenant: TenantPolicy.model_validate(document) for tenant, document in tenants.items()}
        self.source = ScriptedSource(ScriptedPolicy(agent_policies=policies))
        changes = ControlCommands(self.ledger, self.clock, self.state)
        self.kills = KillSwitches(changes, Revoker(self.ledger, self.clock, self.source, self.state))
        self.autonomy = AutonomyAdmin(changes, self.source)
        self.budgets = BudgetAdmin(changes, self.source)

    def records(self, kind: RecordKind) -> list[dict[str, Any]]:
        """Return body and parts of each record of the kind, merged into one. Requires a ledger in memory."""
        assert isinstance(self.ledger, MemoryLedger)
        return [
            {
                "tenant": record.commitment.tenant,
                **record.commitment.fields,
                **{name: value for part in record.commitment.parts.values() for name, value in _fields(part)},
            }
            for record in self.ledger.log
            if record.commitment.kind is kind
        ]


def _fields(content: bytes) -> Any:
    return orjson.loads(content).items()


def switch(scope: KillScope, value: str = "", tenant: str = "acme", **changes: Any) -> NewSwitch:
    """Return a kill switch that ann sets."""
    fields = {"actor": "ann", "reason": "it runs wild", **changes}
    return NewSwitch(scope, tenant, value, **fields)
