"""What Placet adds to a bundle at ``data.placet.compiled``, so that OPA looks up what would be the same at each query.

    built                    true
    tools[tenant][tool]      the settings of the tool from the tenant's file; empty when a rule replaces data
    packs[tenant][pack]      the settings of a pack, where the tenant overrides defaults that only data files define;
                             empty when a rule replaces data
    defaults[pack]           the settings of the pack for other tenants; absent where a rule may define them
    groups[tool]             the group of a tool that some set of findings is only about
    tenant_groups[tenant]    the group of each listed tool, without the sets that its settings rule out; empty when a
                             rule replaces data
    by_group[group]          the findings of the sets that concern the tools of the group
    findings                 the findings on the request, in the shape of ``placet.main.findings``

Without them `placet.lib` and `placet.main` compute the same from ``data.tenants`` and ``data.policy``. Settings are
left to them where rules can change what they compute: by ``with data.tenants as ...``, or by rules for defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from orjson import Fragment

from placet.kernel.exact_json import exact_json
from placet.policy.bundles.groups import groups_of, narrowed
from placet.policy.files.staging import COMPILED
from placet.policy.files.tenant_files import DEFAULTS, PACKS
from placet.policy.files.tree import merged
from placet.policy.rego.collection import finding_sets
from placet.policy.rego.tokens import may_define, replaces_data
from placet.policy.rego.tool_conditions import set_conditions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

MODULE: Final = f"{'/'.join(COMPILED)}/compiled.rego"
DATA: Final = f"{'/'.join(COMPILED)}/data.json"
_HEAD: Final = """# METADATA
# description: Written by Placet when it builds a bundle.
package placet.compiled

findings := found if {
	found := by_group[data.placet.compiled.tenant_groups[input.identity.tenant][input.action.tool]]
} else := found if {
	found := by_group[data.placet.compiled.groups[input.action.tool]]
} else := found if {
	not data.placet.compiled.groups[input.action.tool]
	found := by_group.other
} else := by_group.every
"""


def compiled_files(tree: PolicyTree, policies: Mapping[str, TenantPolicy]) -> dict[str, bytes]:
    """Return the files that Placet adds to the bundle of a tree, by name."""
    groups = groups_of(finding_sets(tree.modules))
    document: dict[str, Any] = {"built": True, "tools": {}, "packs": {}, "defaults": {}}
    if not any(replaces_data(_text(content)) for content in tree.modules.values()):
        document["tools"] = {tenant: Fragment(policy.tool_settings_json) for tenant, policy in policies.items()}
        document["defaults"] = _settled_defaults(tree)
        document["packs"] = _packs(document["defaults"], policies)
        tools = ((tenant, orjson.loads(policy.tool_settings_json)) for tenant, policy in policies.items())
        groups = narrowed(groups, set_conditions(tree.modules), tools)
    document |= {"groups": groups.of_tool, "tenant_groups": groups.of_tenant}
    return {MODULE: (_HEAD + groups.rules()).encode(), DATA: exact_json(document)}


def pack_settings(tree: PolicyTree, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings of each pack whose defaults are in data files, with the overrides of a tenant."""
    return {pack: merged(values, dict(overrides.get(pack, {}))) for pack, values in _data_defaults(tree).items()}


def _settled_defaults(tree: PolicyTree) -> dict[str, dict[str, Any]]:
    """Return the defaults of each pack.

    A pack of which a rule may define defaults is left out: its settings are known only when OPA evaluates the rule.
    """
    by_rule = {
        parts[1]
        for name, content in tree.modules.items()
        if (parts := name.split("/"))[0] == PACKS and may_define(_text(content), DEFAULTS)
    }
    return {pack: values for pack, values in _data_defaults(tree).items() if pack not in by_rule}


def _packs(
    defaults: Mapping[str, dict[str, Any]], policies: Mapping[str, TenantPolicy]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the settings of each pack that a tenant overrides; other tenants share the pack's defaults."""
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
