"""What operators steer with, put together: kill switches, autonomy, budgets, policies that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.rpc.autonomy import AutonomyCalls
from placet.rpc.budgets import BudgetCalls
from placet.rpc.control import Steering
from placet.rpc.excesses import ExcessCalls
from placet.rpc.kill import KillCalls
from placet.rpc.policy import PolicyCalls
from placet.service.autonomy_admin import AutonomyAdmin
from placet.service.budget_admin import BudgetAdmin
from placet.service.control_changes import ControlChanges
from placet.service.kill_switches import KillSwitches
from placet.service.known_names import KnownNames
from placet.service.outcome_excesses import OutcomeExcesses
from placet.service.policy_confirmations import PolicyConfirmations
from placet.service.revoking import Revoker

if TYPE_CHECKING:
    from placet.core.ports import Clock, Ledger
    from placet.opa.external import ExternalPolicies
    from placet.opa.managed import ManagedPolicies
    from placet.rpc.refusing import RefusalLog
    from placet.service.control_state import ControlState


def steering(
    clock: Clock,
    policies: ManagedPolicies | ExternalPolicies,
    ledger: Ledger,
    controls: ControlState,
    refusals: RefusalLog,
) -> Steering:
    """The calls that change how decisions are made; `controls` is what decisions see of it."""
    changes = ControlChanges(ledger, clock, controls)
    known = KnownNames(ledger, policies)
    return Steering(
        KillCalls(KillSwitches(changes, Revoker(ledger, clock, policies, controls)), known, refusals),
        AutonomyCalls(AutonomyAdmin(changes, policies), known, refusals),
        BudgetCalls(BudgetAdmin(changes, policies), refusals),
        PolicyCalls(PolicyConfirmations(changes, policies, policies.look_again), refusals),
        ExcessCalls(OutcomeExcesses(changes), refusals),
    )
