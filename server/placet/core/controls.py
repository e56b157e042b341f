"""What Placet refuses before policy is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.core import rule_ids
from placet.core.bindings import binding_findings
from placet.core.combine import Outcome, by_precedence, denied_by_pdp
from placet.core.destinations import destination_fault
from placet.core.kill_switch import covering, kill_finding
from placet.core.model import Effect, Finding, ToolClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.kill_switch import KillSwitch
    from placet.core.model import Proposal


def stopped(proposal: Proposal, switches: Sequence[KillSwitch], now_us: int) -> Outcome | None:
    """Deny what a kill switch covers: before anything else, and whatever else is broken."""
    switch = covering(switches, proposal, now_us)
    return _denied(kill_finding(switch)) if switch is not None else None


def control(proposal: Proposal, agent_policy: AgentPolicy | None, refused: tuple[str, str] | None) -> Outcome | None:
    """Deny what the tenant's file does not know, an approval that is none, an ambiguous destination, differing params.

    `refused` is why the approval that is presented cannot be used: rule_id and reason. None when policy is to be asked.
    """
    if agent_policy is None:
        return denied_by_pdp(rule_ids.UNKNOWN_TENANT)
    if agent_policy.tool_class(proposal.action.tool) is ToolClass.UNKNOWN:
        return denied_by_pdp(rule_ids.UNKNOWN_TOOL)
    if refused is not None:
        rule_id, reason = refused
        return _denied(Finding(Effect.DENY, rule_id, reason))
    fault = destination_fault(proposal.action.destination)
    if fault:
        return _denied(_ambiguous(proposal.action.destination, fault))
    binding = agent_policy.binding(proposal.action.tool)
    differing = by_precedence(binding_findings(binding, proposal.action)) if binding is not None else ()
    return _denied(*differing) if differing else None


def _ambiguous(destination: str, fault: str) -> Finding:
    rule_id = rule_ids.DESTINATION_AMBIGUOUS
    details = {"destination": destination, "problem": fault}
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details)


def _denied(*findings: Finding) -> Outcome:
    return Outcome(Effect.DENY, findings[0].rule_id, findings[0].reason, findings)
