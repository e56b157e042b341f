"""Checks whether the names in a control are known: a control with a misspelled name would match nothing."""

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
    from placet.tenants.policy import TenantPolicy


@dataclass(frozen=True, slots=True)
class Named:
    """The names in a control; "" for those that it does not set."""

    tenant: str = ""
    """"" means every tenant."""
    tool: str = ""
    """A tool or a pattern."""
    agent: str = ""
    workflow: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that is not known."""

    field: str
    """tenant, tool, agent, workflow or run_id."""
    description: str


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Knows the names in the tenants' files and in the newest decisions. Other names may still be right."""

    ledger: DecisionStore
    policies: CurrentFiles[TenantPolicy]

    async def unknown(self, named: Named) -> Sequence[UnknownName]:
        """Return the names that match nothing known, each with a suggestion. Raises LedgerUnavailableError."""
        files = files_of(self.policies)
        if named.tenant and named.tenant not in files:
            return [_unknown("tenant", named.tenant, "has no policy file", files)]
        tenants = [named.tenant] if named.tenant else sorted(files)
        recent = await recent_names(self.ledger, tenants)
        unknown = list(_unknown_names(named, [files[tenant] for tenant in tenants], recent))
        if named.run_id and not (await recent_names(self.ledger, tenants, named.run_id)).agents:
            unknown.append(UnknownName("run_id", f"{named.run_id!r} is not a recorded run; check the id"))
        return unknown

    async def require(self, named: Named, prefix: str = "") -> None:
        """Raise InvalidRequestError when names match nothing known. `prefix` is the path to their fields."""
        unknown = await self.unknown(named)
        if unknown:
            raise InvalidRequestError([FieldViolation(prefix + name.field, name.description) for name in unknown])

    async def warnings(self, named: Named) -> Sequence[str]:
        """Return a warning for each name that matches nothing known.

        Never raises LedgerUnavailableError, because the control is already in force.
        """
        try:
            return [f"{name.field} {name.description}" for name in await self.unknown(named)]
        except LedgerUnavailableError:
            return ["the names could not be checked: the ledger cannot be read"]


def _unknown_names(named: Named, files: Sequence[TenantPolicy], recent: RecentNames) -> Iterator[UnknownName]:
    rules = [rule for file in files for rule in file.autonomy_levels.rules]
    tools = {tool for file in files for tool in file.compiled.classes} | recent.tools
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
        if name and not any(matches(name, known_name) for known_name in known if known_name):
            yield _unknown(field, name, f"matches no known {field}", known - {""})


def _unknown(field: str, name: str, what: str, known: Collection[str]) -> UnknownName:
    remedy = did_you_mean(name, known) if known else "nothing is known yet"
    return UnknownName(field, f"{name!r} {what}; {remedy}")
