"""The sections `agents` and `delegation` of a tenant's file: its agents, and how they delegate work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr

from placet.controls.agents.model import AgentEntry, AgentRegister
from placet.controls.autonomy.model import AutonomyLevel
from placet.identity.delegation import DelegationProof, DelegationRules
from placet.kernel.diagnostics import DocumentDiagnostic
from placet.kernel.limits import AGENTS_MAX, CONTROL_REASON_BYTES_MAX, DELEGATION_MAX
from placet.matching.globs import glob_error
from placet.matching.names import folded
from placet.tenants.fields import Principal, Section, at_least_one, distinct, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND_US: Final = 1_000_000
AgentsMode = Literal["open", "strict"]


def _pattern(value: str) -> str:
    if error := glob_error(value):
        raise ValueError(error)
    return value


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a day in UTC
        except ValueError:
            pass
    if type(value) is date:
        return value
    raise ValueError("should be a day such as 2027-01-31")


Pattern = Annotated[Principal, AfterValidator(_pattern)]
"""An agent or caller, in which ``*`` is any text and ``?`` one character."""
Day = Annotated[date, BeforeValidator(_day)]


class AgentSection(Section):
    """One registered agent, or all agents that the key matches as a pattern."""

    owner: Principal | None = None
    purpose: Annotated[StrictStr, text_of(CONTROL_REASON_BYTES_MAX)] | None = None
    runtimes: Annotated[tuple[Pattern, ...], AfterValidator(distinct), AfterValidator(at_least_one)] | None = None
    expires: Day | None = None
    autonomy: AutonomyLevel | None = None

    def entry(self, agent: str) -> AgentEntry:
        """Return the section as a value. The agent may not act from the beginning of the day `expires`, in UTC."""
        expires = self.expires
        starts = datetime(expires.year, expires.month, expires.day, tzinfo=UTC) if expires is not None else None
        return AgentEntry(
            agent,
            self.owner or "",
            self.purpose or "",
            self.runtimes or (),
            int(starts.timestamp()) * _SECOND_US if starts is not None else 0,
            self.autonomy,
        )

    def as_data(self) -> dict[str, Any]:
        """Return the keys that the file sets, as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


class DelegationSection(Section):
    """How work may be delegated from agent to agent."""

    depth_max: Annotated[StrictInt, Field(ge=0, le=DELEGATION_MAX)] = DELEGATION_MAX
    require: DelegationProof = DelegationProof.NONE

    def rules(self) -> DelegationRules:
        """Return the section as a value."""
        return DelegationRules(self.depth_max, self.require)

    def as_data(self) -> dict[str, Any]:
        """Return the section as JSON values."""
        return self.model_dump(mode="json")


Agents = Annotated[Mapping[Pattern, AgentSection], Field(max_length=AGENTS_MAX)]


def agent_register(agents: Mapping[str, AgentSection], mode: AgentsMode) -> AgentRegister | None:
    """Return the register; None for a tenant that registers no agents and demands none."""
    strict = mode == "strict"
    if not agents and not strict:
        return None
    return AgentRegister((section.entry(agent) for agent, section in agents.items()), strict=strict)


def agents_data(agents: Mapping[str, AgentSection], mode: AgentsMode) -> dict[str, Any]:
    """Return the keys for policy; none for a file without them, so that its data stays as it was."""
    data: dict[str, Any] = {"agents": {agent: section.as_data() for agent, section in agents.items()}} if agents else {}
    return {**data, "agents_mode": mode} if mode != "open" else data


def agent_diagnostics(agents: Mapping[str, AgentSection], mode: AgentsMode) -> Iterator[DocumentDiagnostic]:
    """Report agents that are listed in two spellings, and agents without an owner where each must have one."""
    seen: dict[str, str] = {}
    for agent, section in agents.items():
        earlier = seen.setdefault(folded(agent), agent)
        if earlier != agent:
            what = f"is another spelling of {earlier}"
            yield DocumentDiagnostic(("agents", agent), what, "keep one of the two")
        if mode == "strict" and not section.owner:
            what = "has no owner, which agents_mode: strict demands"
            yield DocumentDiagnostic(("agents", agent), what, "write who answers for it, such as owner: team-payments")
