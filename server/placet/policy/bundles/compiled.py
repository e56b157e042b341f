"""What Placet adds to a bundle at ``data.placet.compiled``, so that OPA looks up what would be the same at each query.

    built                    true
    tools[tenant][tool]      the settings of the tool from the tenant's file; empty when a rule replaces data
    packs[tenant][pack]      the settings of a pack, where the tenant overrides defaults that only data files define;
                             empty when a rule replaces data
    groups[tool]             the group of a tool that some set of findings is only about
    by_group[group]          the findings of the sets that concern the tools of the group
    findings                 the findings on the request, in the shape of ``placet.main.findings``

Without them `placet.lib` and `placet.main` compute the same from ``data.tenants`` and ``data.policy``. Settings are
left to them where rules can change what they compute: by ``with data.tenants as ...``, or by rules for defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orjson import Fragment

from placet.kernel.exact_json import exact_json
from placet.kernel.model import Effect
from placet.policy.files.staging import COMPILED
from placet.policy.files.tenant_files import DEFAULTS, PACKS
from placet.policy.files.tree import merged
from placet.policy.rego.collection import finding_sets
from placet.policy.rego.tokens import may_define, replaces_data

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.collection import FindingSet, Tools
    from placet.tenants.policy import TenantPolicy

MODULE: Final = f"{'/'.join(COMPILED)}/compiled.rego"
DATA: Final = f"{'/'.join(COMPILED)}/data.json"
_HEAD: Final = """# METADATA
# description: Written by Placet when it builds a bundle.
package placet.compiled

findings := found if {
	found := by_group[data.placet.compiled.groups[input.action.tool]]
} else := found if {
	not data.placet.compiled.groups[input.action.tool]
	found := by_group.other
} else := by_group.every
"""


def compiled_files(tree: PolicyTree, policies: Mapping[str, TenantPolicy]) -> dict[str, bytes]:
    """Return the files that Placet adds to the bundle of a tree, by name."""
    sets = finding_sets(tree.modules)
    groups = _groups(sets)
    settled = not any(replaces_data(_text(content)) for content in tree.modules.values())
    document = {
        "built": True,
        "tools": _tools(policies) if settled else {},
        "packs": _packs(tree, policies) if settled else {},
        "groups": _group_of_tool(groups),
    }
    return {MODULE: _module(sets, groups).encode(), DATA: exact_json(document)}


def _tools(policies: Mapping[str, TenantPolicy]) -> dict[str, Fragment]:
    return {tenant: Fragment(policy.tool_settings_json) for tenant, policy in policies.items()}


def pack_settings(tree: PolicyTree, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings of each pack whose defaults are in data files, with the overrides of a tenant."""
    return {pack: merged(values, dict(overrides.get(pack, {}))) for pack, values in _data_defaults(tree).items()}


def _packs(tree: PolicyTree, policies: Mapping[str, TenantPolicy]) -> dict[str, Any]:
    """Return the settings of each pack that a tenant overrides; other tenants share the pack's defaults.

    A pack of which a rule may define defaults is left out: its settings are known only when OPA evaluates the rule.
    """
    by_rule = {
        parts[1]
        for name, content in tree.modules.items()
        if (parts := name.split("/"))[0] == PACKS and may_define(_text(content), DEFAULTS)
    }
    defaults = {pack: values for pack, values in _data_defaults(tree).items() if pack not in by_rule}
    return {
        tenant: {
            pack: merged(defaults[pack], dict(values)) for pack, values in policy.packs.items() if pack in defaults
        }
        for tenant, policy in policies.items()
        if policy.packs
    }


def _data_defaults(tree: PolicyTree) -> dict[str, dict[str, Any]]:
    """Return the defaults of each pack from the data files of all folders, as OPA merges them."""
    packs = tree.nested_data().get(PACKS)
    documents = packs.items() if isinstance(packs, dict) else ()
    found = {pack: document.get(DEFAULTS) for pack, document in documents if isinstance(document, dict)}
    return {pack: values for pack, values in found.items() if isinstance(values, dict) and values}


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _groups(sets: Mapping[FindingSet, Tools]) -> dict[frozenset[FindingSet], list[str]]:
    """Return the tools by the sets that are only about them and others."""
    by_tool: dict[str, set[FindingSet]] = {}
    for finding_set, tools in sets.items():
        for tool in tools or ():
            by_tool.setdefault(tool, set()).add(finding_set)
    groups: dict[frozenset[FindingSet], list[str]] = {}
    for tool, concerned in sorted(by_tool.items()):
        groups.setdefault(frozenset(concerned), []).append(tool)
    return groups


def _group_of_tool(groups: Mapping[frozenset[FindingSet], Collection[str]]) -> dict[str, str]:
    return {tool: f"group_{number}" for number, tools in enumerate(groups.values()) for tool in tools}


def _module(sets: Mapping[FindingSet, Tools], groups: Mapping[frozenset[FindingSet], Collection[str]]) -> str:
    """Return the module that collects the findings: one rule for each group, `other` for other tools, and `every`."""
    common = {finding_set for finding_set, tools in sets.items() if tools is None}
    selections = {f"group_{number}": common | concerned for number, concerned in enumerate(groups)}
    selections |= {"other": common, "every": set(sets)}
    rules = (f"\nby_group.{name} := {_findings(sets, chosen)}\n" for name, chosen in selections.items())
    return _HEAD + "".join(rules)


def _findings(sets: Mapping[FindingSet, Tools], chosen: Collection[FindingSet]) -> str:
    lists = (f'"{effect.value}": [{", ".join(_references(sets, chosen, effect))}]' for effect in Effect)
    return "{" + ", ".join(lists) + "}"


def _references(sets: Mapping[FindingSet, Tools], chosen: Collection[FindingSet], effect: Effect) -> Iterator[str]:
    for package, name in sets:
        if name == effect.value and (package, name) in chosen:
            yield f"data{''.join(f'[{_quoted(part)}]' for part in package)}.{name}"


def _quoted(text: str) -> str:
    return exact_json(text).decode()
