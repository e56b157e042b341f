"""Groups of tools: OPA evaluates the same sets of findings for all tools of a group.

OPA need not evaluate a set where it is always empty: when all its rules are about other tools, or when the settings of
the tool in the tenant's file rule out each of them. A request that has no group gets the findings of all sets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.exact_json import exact_json
from placet.kernel.model import Effect
from placet.policy.rego.tool_conditions import may_fire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from placet.policy.rego.collection import FindingSet, Tools
    from placet.policy.rego.tool_conditions import Conditions

REFERENCES_MAX: Final = 20_000
"""Sets that the groups of tenants name in all. Tools of rarer groups get the sets that are about the tool."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a policy, with the sets of each."""

    sets: Mapping[FindingSet, Tools]
    of_tool: Mapping[str, str]
    named: Mapping[str, frozenset[FindingSet]]
    """The sets of each group. `other` is for tools without a group, `every` has all sets."""
    of_tenant: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def concerning(self, tool: str) -> frozenset[FindingSet]:
        """Return the sets that are about a tool."""
        return self.named[self.of_tool.get(tool, "other")]

    def rules(self) -> str:
        """Return one Rego rule for each group, with its findings."""
        return "".join(f"\nby_group.{name} := {self._findings(chosen)}\n" for name, chosen in self.named.items())

    def _findings(self, chosen: Collection[FindingSet]) -> str:
        lists = (f'"{effect.value}": [{", ".join(self._references(chosen, effect))}]' for effect in Effect)
        return "{" + ", ".join(lists) + "}"

    def _references(self, chosen: Collection[FindingSet], effect: Effect) -> Iterator[str]:
        for package, name in self.sets:
            if name == effect.value and (package, name) in chosen:
                yield f"data{''.join(f'[{_quoted(part)}]' for part in package)}.{name}"


def groups_of(sets: Mapping[FindingSet, Tools]) -> Groups:
    """Return the groups by the tools that sets are about."""
    by_tool: dict[str, set[FindingSet]] = {}
    for finding_set, tools in sets.items():
        for tool in tools or ():
            by_tool.setdefault(tool, set()).add(finding_set)
    alike: dict[frozenset[FindingSet], list[str]] = {}
    for tool, concerned in sorted(by_tool.items()):
        alike.setdefault(frozenset(concerned), []).append(tool)
    common = frozenset(finding_set for finding_set, tools in sets.items() if tools is None)
    named = {f"group_{number}": common | concerned for number, concerned in enumerate(alike)}
    of_tool = {tool: f"group_{number}" for number, tools in enumerate(alike.values()) for tool in tools}
    return Groups(sets, of_tool, named | {"other": common, "every": frozenset(sets)})


def narrowed(
    groups: Groups,
    conditions: Mapping[FindingSet, Sequence[Conditions]],
    tools: Iterable[tuple[str, Mapping[str, Mapping[str, Any]]]],
) -> Groups:
    """Add a group for each listed tool whose settings rule out some sets. `tools` are the settings by tool and tenant.

    A set without `conditions` is not left out.
    """
    keys = sorted({each.key for rules in conditions.values() for rule in rules for each in rule})
    known: dict[object, frozenset[FindingSet]] = {}  # many tenants have tools of the same settings
    chosen: dict[str, dict[str, frozenset[FindingSet]]] = {}
    for tenant, listed in tools:
        chosen[tenant] = {}
        for tool, settings in listed.items():
            alike = (groups.of_tool.get(tool), *(_comparable(settings, key) for key in keys))
            if alike not in known:
                concerning = groups.concerning(tool)
                known[alike] = frozenset(each for each in concerning if may_fire(conditions.get(each), settings))
            chosen[tenant][tool] = known[alike]
    names: dict[frozenset[FindingSet], str] = {sets: name for name, sets in groups.named.items()}
    references = 0
    for sets, _ in Counter(sets for of in chosen.values() for sets in of.values()).most_common():
        references += len(sets)
        if sets not in names and references <= REFERENCES_MAX:
            names[sets] = f"settled_{len(names)}"
    of_tenant = {
        tenant: {tool: names[sets] for tool, sets in of.items() if sets in names} for tenant, of in chosen.items()
    }
    return replace(groups, named={**groups.named, **{name: sets for sets, name in names.items()}}, of_tenant=of_tenant)


def _comparable(settings: Mapping[str, Any], key: str) -> object:
    """Return a setting as conditions see it: whether it is present, and its value when it is a text or a boolean."""
    value = settings.get(key)
    return (key in settings, type(value), value if isinstance(value, str | bool) else None)


def _quoted(text: str) -> str:
    return exact_json(text).decode()
