"""A decision point whose policy asks for people, and what people say to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from placet.approvals.service import Approvals, VoteCommand
from placet.kernel.model import Caller, Effect, Finding
from placet.matching.person import Person
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import ASKED, Bench, FullLedger, ScriptedPolicy, asked, verdict

if TYPE_CHECKING:
    from placet.approvals.model import Approval
    from placet.kernel.model import Decision, Verdict

REQUESTER = "u_4812"
AGENT = "support-agent"
LEAD = Person("u_lead", ("lead",))
OTHER_LEAD = Person("u_other", ("lead", "staff"))
ONE_LEAD = Finding(Effect.REQUIRE_APPROVAL, "pay.some", "It is something", {"quorum": 1, "approver_roles": ["lead"]})
DAY_US = 86_400_000_000


class ApprovalEnv(Bench):
    """A bench with the approvals of its ledger. `finding` is what policy asks for."""

    def __init__(
        self,
        finding: Finding = ASKED,
        agent_policy: dict[str, Any] | None = None,
        *,
        notify: bool = False,
        ledger: type[FullLedger] = FullLedger,
    ) -> None:
        self.finding = finding
        policy = ScriptedPolicy(say=self._say)
        if agent_policy is not None:
            tools = {"allowed_tools": ["look"], "write_tools": ["pay"], **agent_policy}
            policy.agent_policies = {"acme": TenantPolicy.model_validate(tools)}
        super().__init__(policy, ledger=ledger)
        self.approvals = Approvals(self.ledger, self.source, self.clock, notify)

    def _say(self, _seen: dict[str, Any]) -> Verdict:
        return verdict(self.finding)

    async def ask(self, **changes: Any) -> Decision:
        """The decision about a payment."""
        [decision] = await self.point.decide([asked("pay", **changes)])
        assert not isinstance(decision, Exception)
        return decision

    async def asked(self, **changes: Any) -> Approval:
        """The approval that a payment waits for."""
        decision = await self.ask(**changes)
        assert decision.approval is not None
        return await self.approvals.read("acme", decision.approval.approval_id)

    def kinds(self) -> list[str]:
        """The kinds of all records."""
        return [record.commitment.kind.value for record in self.ledger.log]


def word(approval: Approval, person: Person = LEAD, reason: str = "", tenant: str = "acme") -> VoteCommand:
    return VoteCommand(tenant, approval.approval_id, person, reason, Caller())
