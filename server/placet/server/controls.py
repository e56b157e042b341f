"""What operators steer with, put together: kill switches, autonomy, budgets, policies that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.budgets.service import BudgetAdmin
from placet.commands.execute import ControlCommands
from placet.controls.autonomy.service import AutonomyAdmin
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches
from placet.outcomes.excess_service import OutcomeExcesses
from placet.revisions.confirmations import PolicyConfirmations
from placet.tenants.known_names import KnownNames
from placet.transport.grpc.services.autonomy import AutonomyCalls
from placet.transport.grpc.services.budgets import BudgetCalls
from placet.transport.grpc.services.control import Steering
from placet.transport.grpc.services.excesses import ExcessCalls
from placet.transport.grpc.services.kill_switches import KillCalls
from placet.transport.grpc.services.policy import PolicyCalls

if TYPE_CHECKING:
    from placet.audit.ports import Ledger
    from placet.controls.snapshot import ControlState
    from placet.engine.external import ExternalPolicies
    from placet.engine.managed import ManagedPolicies
    from placet.kernel.clock import Clock
    from placet.transport.grpc.refused_requests import RefusalLog


def steering(
    clock: Clock,
    policies: ManagedPolicies | ExternalPolicies,
    ledger: Ledger,
    controls: ControlState,
    refusals: RefusalLog,
) -> Steering:
    """The calls that change how decisions are made; `controls` is what decisions see of it."""
    changes = ControlCommands(ledger, clock, controls)
    known = KnownNames(ledger, policies)
    return Steering(
        KillCalls(KillSwitches(changes, Revoker(ledger, clock, policies, controls)), known, refusals),
        AutonomyCalls(AutonomyAdmin(changes, policies), known, refusals),
        BudgetCalls(BudgetAdmin(changes, policies), refusals),
        PolicyCalls(PolicyConfirmations(changes, policies, policies.look_again), refusals),
        ExcessCalls(OutcomeExcesses(changes), refusals),
    )
