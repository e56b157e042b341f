"""A decision point with state to rest on, and people and agents that change it."""

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
from tests.support.fakes import ALLOWED, Bench, FullLedger, ScriptedPolicy, asked, verdict

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


def policies(**said: Any) -> dict[str, TenantPolicy]:
    """One tenant's file, with the usual tools."""
    return {"acme": TenantPolicy.model_validate({**TOOLS, **said})}


def budget(**said: Any) -> dict[str, Any]:
    """A budget of ten calls a day for the whole tenant, but for what is said."""
    return {"id": "b", "scope": "tenant", "measure": "calls", "limit": 10, "window": "day", **said}


def usd(minor_units: int) -> dict[str, Any]:
    """The amount of an action."""
    return {"currency_code": "USD", "minor_units": minor_units}


class DecisionEnv(Bench):
    """A bench whose tenant acme has the file that is said, with all the services round it."""

    def __init__(
        self,
        *budgets: dict[str, Any],
        say: Callable[[dict[str, Any]], Verdict | Indeterminate] = lambda _: verdict(ALLOWED),
        ledger: type[FullLedger] = FullLedger,
        **said: Any,
    ) -> None:
        kept = {"budgets": list(budgets)} if budgets else {}
        super().__init__(ScriptedPolicy(say, agent_policies=policies(**kept, **said)), ledger=ledger)
        self.approvals = Approvals(self.ledger, self.source, self.clock)
        self.outcomes = OutcomeService(self.ledger, self.source, self.clock)
        changes = ControlCommands(self.ledger, self.clock, self.controls)
        self.kill_switches = KillSwitches(changes, Revoker(self.ledger, self.clock, self.source, self.controls))
        self.autonomy = AutonomyAdmin(changes, self.source)

    async def decide(self, *requests: Request) -> list[Decision]:
        """The decisions, in order."""
        answers: list[Answer] = list(await self.point.decide(requests))
        assert not self.faults
        return [answer for answer in answers if isinstance(answer, Decision)]

    async def ask(self, tool: str = "pay", **changes: Any) -> Decision:
        """The decision on one request."""
        [decision] = await self.decide(asked(tool, **changes))
        return decision

    async def effects(self, requests: Iterable[Request]) -> list[str]:
        """The effects alone."""
        return [decision.effect.value for decision in await self.decide(*requests)]

    async def report(self, decision: Decision, status: str = "succeeded", **said: Any) -> OutcomeReceipt:
        """What an outcome came to."""
        outcome = Outcome(OutcomeStatus(status), **said)
        [receipt] = await self.outcomes.report([OutcomeReport("acme", decision.decision_id, Caller().name, outcome)])
        assert isinstance(receipt, OutcomeReceipt)
        return receipt

    def word(self, decision: Decision, person: Person = LEAD, reason: str = "it is right") -> VoteCommand:
        """What a person says of the approval that a decision asked for."""
        assert decision.approval is not None
        return VoteCommand("acme", decision.approval.approval_id, person, reason, Caller())

    async def approve(self, decision: Decision, *people: Person) -> str:
        """Votes for it by people, one lead unless said; the approval's id."""
        for person in people or (LEAD,):
            await self.approvals.approve(self.word(decision, person))
        return self.word(decision).approval_id

    async def approval(self, decision: Decision) -> Approval:
        """The approval that a decision asked for, as it is stored."""
        return await self.approvals.read("acme", self.word(decision).approval_id)

    async def kill(self, scope: str, value: str = "", tenant: str = "acme", seconds: int = 0) -> str:
        """Set a kill switch; its id."""
        wanted = NewSwitch(KillScope(scope), tenant, value, "ada", "it misbehaves", seconds)
        switch, _ = await self.kill_switches.set(wanted)
        return switch.switch_id

    async def level(self, level: AutonomyLevel | None, actor: str = "ada", **selector: str) -> LevelSet:
        """Set a level of autonomy, for all of the tenant unless said."""
        chosen = {"workflow": "", "tool": "", "agent": "", **selector}
        named = (chosen["workflow"], chosen["tool"], chosen["agent"])
        return await self.autonomy.set(NewLevel("acme", *named, level, actor, "because"))

    async def recorded(self) -> list[RecordedDecision]:
        """What the trail holds, oldest first; it verifies."""
        page = await self.ledger.query_decisions(DecisionQuery(tenant="acme", page_size=500))
        assert (await self.ledger.verify()).ok
        return sorted(page.decisions, key=lambda each: each.sequence)


def effects_of(*decisions: Decision) -> list[tuple[str, str]]:
    """Effect and rule_id of each."""
    return [(decision.effect.value, decision.rule_id) for decision in decisions]


def left(decision: Decision, budget_id: str = "b") -> int:
    """What a decision says is left of a budget."""
    return state_of(decision, budget_id).remaining


def state_of(decision: Decision, budget_id: str = "b") -> BudgetState:
    """What a decision says of a budget."""
    [found] = [each for each in decision.budgets if each.id == budget_id]
    return found
