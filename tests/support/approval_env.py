"""A decision point whose policy requires approval, and the service that people vote with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from placet.approvals.service import Approvals, VoteCommand
from placet.kernel.model import Caller, Effect, Finding
from placet.matching.person import Person
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import APPROVAL_REQUIRED, Bench, FullLedger, ScriptedPolicy, new_request, verdict

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
    """A decision point with the service of its approvals. `finding` is the finding of its policy."""

    def __init__(
        self,
        finding: Finding = APPROVAL_REQUIRED,
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
        """Request a payment and return the decision."""
        [decision] = await self.point.decide([new_request("pay", **changes)])
        assert not isinstance(decision, Exception)
        return decision

    async def pending_approval(self, **changes: Any) -> Approval:
        """Request a payment and return the approval that its decision requires."""
        decision = await self.ask(**changes)
        assert decision.approval is not None
        return await self.approvals.read("acme", decision.approval.approval_id)

    def kinds(self) -> list[str]:
        """Return the kinds of all records."""
        return [record.commitment.kind.value for record in self.ledger.log]


def vote_command(approval: Approval, person: Person = LEAD, reason: str = "", tenant: str = "acme") -> VoteCommand:
    """Return the command by which a person votes on an approval."""
    return VoteCommand(tenant, approval.approval_id, person, reason, Caller())
