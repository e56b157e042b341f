"""Names of agents, users, workflows and tools, read from a tenant's newest decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.audit.recorded_proposal import recorded_proposal
from placet.audit.records import DecisionQuery
from placet.kernel import rule_ids
from placet.kernel.limits import STEP_BYTES
from placet.kernel.steps import mapped
from placet.matching.names import folded
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from placet.audit.ports import DecisionStore
    from placet.audit.records import RecordedDecision

AGENTS_READ_MAX: Final = 10_000
"""Agents of a tenant whose names are compared in every spelling. Beyond that only the exact spelling is looked up."""
DECISIONS_READ_MAX: Final = 200
"""Newest decisions of a tenant that are read: about 10 ms, and more agents than most tenants run at once."""
TENANTS_READ_MAX: Final = 100
"""Tenants whose decisions are read for a control over all tenants: one query each."""


@dataclass(frozen=True, slots=True)
class RecentNames:
    """Names in recent decisions, as the callers spelled them."""

    agents: frozenset[str]
    """Includes the agents that delegated work."""
    users: frozenset[str]
    workflows: frozenset[str]
    tools: frozenset[str]


async def recent_names(ledger: DecisionStore, tenants: Iterable[str], run_id: str = "") -> RecentNames:
    """Return the names in the newest decisions of each tenant, or in those of one run.

    A tool that was denied as unknown is left out: its name may be misspelt. Raises LedgerUnavailableError.
    """
    agents: set[str] = set()
    users: set[str] = set()
    workflows: set[str] = set()
    tools: set[str] = set()
    for tenant in list(tenants)[:TENANTS_READ_MAX]:
        page = await ledger.query_decisions(DecisionQuery(tenant, run_id=run_id, page_size=DECISIONS_READ_MAX))
        proposals = await in_slices(mapped(recorded_proposal, page.decisions, _is_large))
        for recorded, proposal in zip(page.decisions, proposals, strict=True):
            agents |= {proposal.identity.agent, *proposal.identity.delegation}
            users.add(proposal.identity.user)
            workflows.add(proposal.run.workflow)
            if recorded.decision.rule_id != rule_ids.UNKNOWN_TOOL:
                tools.add(proposal.action.tool)
    return RecentNames(*(frozenset(filter(None, names)) for names in (agents, users, workflows, tools)))


async def is_agent(ledger: DecisionStore, tenants: Collection[str], name: str) -> bool:
    """Return whether `name` ever was the agent of a decision, or delegated work recently, in one of the tenants.

    Other spellings count as the same name. Raises LedgerUnavailableError.
    """
    folded_name = folded(name)
    for tenant in tenants:
        agents = await ledger.agents(tenant, AGENTS_READ_MAX)
        if folded_name in await in_slices(mapped(folded, agents, lambda _: False)):
            return True
        exact = DecisionQuery(tenant, agent=name, page_size=1)
        if len(agents) == AGENTS_READ_MAX and (await ledger.query_decisions(exact)).decisions:
            return True
    return folded_name in {folded(agent) for agent in (await recent_names(ledger, tenants)).agents}


def _is_large(recorded: RecordedDecision) -> bool:
    return len(recorded.input_json) > STEP_BYTES
