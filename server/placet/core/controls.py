"""What Placet refuses before policy is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.core import rule_ids
from placet.core.combine import Outcome, denied_by_pdp
from placet.core.model import ToolClass

if TYPE_CHECKING:
    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import Proposal


def control(proposal: Proposal, agent_policy: AgentPolicy | None) -> Outcome | None:
    """Deny what the tenant's file does not know at all; None when policy is to be asked."""
    if agent_policy is None:
        return denied_by_pdp(rule_ids.UNKNOWN_TENANT)
    if agent_policy.tool_class(proposal.action.tool) is ToolClass.UNKNOWN:
        return denied_by_pdp(rule_ids.UNKNOWN_TOOL)
    return None
