"""Whether what an operator names exists: a misspelled control would hold for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.audit.recent_names import RecentNames, recent_names
from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import FieldViolation, InvalidRequestError, LedgerUnavailableError
from placet.kernel.policy_files import files_of
from placet.matching.globs import glob_matches
from placet.matching.person import same_person

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from placet.audit.ports import DecisionStore
    from placet.kernel.policy_files import CurrentFiles
    from placet.tenants.agent_policy import AgentPolicy


@dataclass(frozen=True, slots=True)
class Named:
    """What a control names; "" for what it does not. `tenant` "" is every tenant, `tool` may be a pattern."""

    tenant: str = ""
    tool: str = ""
    agent: str = ""
    workflow: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that nothing known has. `field` is tenant, tool, agent, workflow or run_id."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Knows the tenants' files and the newest decisions; a name in neither may still be right."""

    ledger: DecisionStore
    policies: CurrentFiles[AgentPolicy]

    async def unknown(self, named: Named) -> Sequence[UnknownName]:
        """Name each part that matches nothing known, with what was probably meant. Raises LedgerUnavailableError."""
        files = files_of(self.policies)
        if named.tenant and named.tenant not in files:
            return [_unknown("tenant", named.tenant, "has no policy file", files)]
        tenants = [named.tenant] if named.tenant else sorted(files)
        recent = await recent_names(self.ledger, tenants)
        found = list(_unknown_names(named, [files[tenant] for tenant in tenants], recent))
        if named.run_id and not (await recent_names(self.ledger, tenants, named.run_id)).tools:
            found.append(UnknownName("run_id", f"{named.run_id!r} is not a recorded run; check the id"))
        return found

    async def require(self, named: Named, prefix: str = "") -> None:
        """Raise InvalidRequestError for names that match nothing known; `prefix` leads to their fields."""
        found = await self.unknown(named)
        if found:
            raise InvalidRequestError([FieldViolation(prefix + each.field, each.description) for each in found])

    async def warnings(self, named: Named) -> Sequence[str]:
        """Describe names that match nothing known. Never raises for the ledger: the control is in force already."""
        try:
            return [f"{each.field} {each.description}" for each in await self.unknown(named)]
        except LedgerUnavailableError:
            return ["the names could not be checked: the ledger cannot be read"]


def _unknown_names(named: Named, files: Sequence[AgentPolicy], recent: RecentNames) -> Iterator[UnknownName]:
    rules = [rule for file in files for rule in file.autonomy_levels.rules]
    tools = {tool for file in files for tool in file.derived.classes} | recent.tools
    agents = {rule.agent for rule in rules} | recent.agents
    workflows = {rule.workflow for rule in rules} | recent.workflows
    workflows |= {name for file in files for name in file.limits.workflows}
    workflows |= {name for file in files for budget in file.all_budgets for name in budget.match.workflows}
    checks: tuple[tuple[str, str, set[str], Callable[[str, str], bool]], ...] = (
        ("tool", named.tool, tools, glob_matches),
        ("agent", named.agent, agents, same_person),
        ("workflow", named.workflow, workflows, same_person),
    )
    for field, name, known, matches in checks:
        if name and not any(matches(name, each) for each in known if each):
            yield _unknown(field, name, f"matches no known {field}", known - {""})


def _unknown(field: str, name: str, what: str, known: Collection[str]) -> UnknownName:
    remedy = did_you_mean(name, known) if known else "nothing is known yet"
    return UnknownName(field, f"{name!r} {what}; {remedy}")
