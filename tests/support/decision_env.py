"""A decision point with state: budgets, approvals, kill switches, autonomy and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.approvals.service import Approvals, VoteCommand
from placet.audit.records import DecisionQuery
from placet.commands.execute import ControlCommands
from placet.controls.autonomy.service import AutonomyAdmin, NewLevel
from placet.controls.kill_switches.model import KillScope
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches, NewSwitch
from placet.kernel.model import Caller, Decision
from placet.matching.person import Person
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import ALLOWED, Bench, FullLedger, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from placet.approvals.model import Approval
    from placet.audit.records import RecordedDecision
    from placet.controls.autonomy.model import AutonomyLevel
    from placet.controls.autonomy.service import LevelSet
    from placet.decision.attempt import Request
    from placet.decision.replies import Answer
    from placet.kernel.model import BudgetState, Indeterminate, Verdict

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
TOOLS = {"allowed_tools": ["look"], "write_tools": ["pay", "mail"]}
LEAD = Person("lena", ("lead",))
LEADS = (LEAD, Person("luis", ("lead",)))


def policies(**sections: Any) -> dict[str, TenantPolicy]:
    """Return the policy of tenant acme, with TOOLS and the given sections."""
    return {"acme": TenantPolicy.model_validate({**TOOLS, **sections})}


def budget(**fields: Any) -> dict[str, Any]:
    """Return a budget of ten calls a day for the whole tenant. Keyword arguments replace its fields."""
    return {"id": "b", "scope": "tenant", "measure": "calls", "limit": 10, "window": "day", **fields}


def usd(minor_units: int) -> dict[str, Any]:
    """Return the amount of an action in USD."""
    return {"currency_code": "USD", "minor_units": minor_units}


class DecisionEnv(Bench):
    """A decision point for tenant acme, with the services that change its state.

    `sections` are sections of the tenant's file; `say` answers for policy.
    """

    def __init__(
        self,
        *budgets: dict[str, Any],
        say: Callable[[dict[str, Any]], Verdict | Indeterminate] = lambda _: verdict(ALLOWED),
        ledger: type[FullLedger] = FullLedger,
        **sections: Any,
    ) -> None:
        listed = {"budgets": list(budgets)} if budgets else {}
        super().__init__(ScriptedPolicy(say, agent_policies=policies(**listed, **sections)), ledger=ledger)
        self.approvals = Approvals(self.ledger, self.source, self.clock)
        self.outcomes = OutcomeService(self.ledger, self.source, self.clock)
        changes = ControlCommands(self.ledger, self.clock, self.controls)
        self.kill_switches = KillSwitches(changes, Revoker(self.ledger, self.clock, self.source, self.controls))
        self.autonomy = AutonomyAdmin(changes, self.source)

    async def decide(self, *requests: Request) -> list[Decision]:
        """Decide the requests and return the decisions, in order."""
        answers: list[Answer] = list(await self.point.decide(requests))
        assert not self.errors
        return [answer for answer in answers if isinstance(answer, Decision)]

    async def ask(self, tool: str = "pay", **changes: Any) -> Decision:
        """Decide one request and return the decision."""
        [decision] = await self.decide(new_request(tool, **changes))
        return decision

    async def effects(self, requests: Iterable[Request]) -> list[str]:
        """Decide the requests and return the effects only."""
        return [decision.effect.value for decision in await self.decide(*requests)]

    async def report(self, decision: Decision, status: str = "succeeded", **fields: Any) -> OutcomeReceipt:
        """Report the outcome of a decision's call and return the receipt."""
        outcome = Outcome(OutcomeStatus(status), **fields)
        [receipt] = await self.outcomes.report([OutcomeReport("acme", decision.decision_id, Caller(), outcome)])
        assert isinstance(receipt, OutcomeReceipt)
        return receipt

    def vote_command(self, decision: Decision, person: Person = LEAD, reason: str = "it is right") -> VoteCommand:
        """Return the command by which a person votes on the approval of a decision."""
        assert decision.approval is not None
        return VoteCommand("acme", decision.approval.approval_id, person, reason, Caller())

    async def approve(self, decision: Decision, *people: Person) -> str:
        """Approve as each of the people, by default as LEAD, and return the approval's id."""
        for person in people or (LEAD,):
            await self.approvals.approve(self.vote_command(decision, person))
        return self.vote_command(decision).approval_id

    async def approval(self, decision: Decision) -> Approval:
        """Return the stored approval of a decision."""
        return await self.approvals.read("acme", self.vote_command(decision).approval_id)

    async def kill(self, scope: str, value: str = "", tenant: str = "acme", seconds: int = 0) -> str:
        """Set a kill switch and return its id."""
        command = NewSwitch(KillScope(scope), tenant, value, "ada", "it misbehaves", seconds)
        switch, _ = await self.kill_switches.set(command)
        return switch.switch_id

    async def level(self, level: AutonomyLevel | None, actor: str = "ada", **selector: str) -> LevelSet:
        """Set a level of autonomy, by default for the whole tenant."""
        fields = {"workflow": "", "tool": "", "agent": "", **selector}
        selected = (fields["workflow"], fields["tool"], fields["agent"])
        return await self.autonomy.set(NewLevel("acme", *selected, level, actor, "because"))

    async def recorded(self) -> list[RecordedDecision]:
        """Verify the trail and return its decisions, oldest first."""
        page = await self.ledger.query_decisions(DecisionQuery(tenant="acme", page_size=500))
        assert (await self.ledger.verify()).ok
        return sorted(page.decisions, key=lambda decision: decision.sequence)


def effects_of(*decisions: Decision) -> list[tuple[str, str]]:
    """Return the effect and rule_id of each decision."""
    return [(decision.effect.value, decision.rule_id) for decision in decisions]


def remaining(decision: Decision, budget_id: str = "b") -> int:
    """Return what is left of a budget, as the decision reports it."""
    return budget_state(decision, budget_id).remaining


def budget_state(decision: Decision, budget_id: str = "b") -> BudgetState:
    """Return the state of a budget, as the decision reports it."""
    [state] = [state for state in decision.budgets if state.id == budget_id]
    return state
