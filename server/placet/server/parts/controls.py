"""Builds the servicer of the control calls: kill switches, autonomy, agents, budgets, held policies and excesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.budgets.service import BudgetAdmin
from placet.commands.execute import ControlCommands
from placet.controls.agents.service import AgentListing
from placet.controls.autonomy.service import AutonomyAdmin
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches
from placet.outcomes.excess_service import OutcomeExcesses
from placet.revisions.confirmations import PolicyConfirmations
from placet.tenants.known_names import KnownNames
from placet.transport.grpc.services.control import ControlServicer

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.ports import Ledger
    from placet.controls.snapshot import ControlState
    from placet.kernel.clock import Clock
    from placet.revisions.status import ServerHealth
    from placet.server.parts.policies import RunningPolicies


def control_servicer(
    clock: Clock,
    policies: RunningPolicies,
    ledger: Ledger,
    controls: ControlState,
    health: Callable[[], ServerHealth],
    permit_keys: Callable[[], str],
) -> ControlServicer:
    """Return the servicer. `controls` is the state of kill switches and autonomy that decisions read."""
    changes = ControlCommands(ledger, clock, controls)
    return ControlServicer(
        policies,
        health,
        permit_keys,
        KillSwitches(changes, Revoker(ledger, clock, policies, controls)),
        AutonomyAdmin(changes, policies),
        AgentListing(ledger, policies, clock),
        BudgetAdmin(changes, policies),
        PolicyConfirmations(changes, policies, policies.check_now),
        OutcomeExcesses(changes),
        KnownNames(ledger, policies),
    )
