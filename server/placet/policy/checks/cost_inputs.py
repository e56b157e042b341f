"""Large inputs that show what a rule pack costs at worst: params of several shapes, up to their largest size.

The values stand where the pack reads params, so that a rule that compares every item with every other one shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.actions.document import canonical_request
from placet.actions.params_validator import params_violations
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.limits import EVIDENCE_MAX, PARAMS_BYTES_MAX, ROLES_MAX
from placet.kernel.model import Action, Evidence, Identity, Model, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

TOOLS_MAX: Final = 4
"""Tools that one pack is asked about: those that it names, else the first ones of the first tenant."""
SIZES: Final = (PARAMS_BYTES_MAX // 16, PARAMS_BYTES_MAX // 4, PARAMS_BYTES_MAX - 1_024)
"""Bytes of the params. Linear rules take four times as long for the next size, quadratic ones sixteen times."""
_PACKAGE: Final = re.compile(r"^package (policy\.\w+|placet\.baseline\.\w+)$", re.ASCII | re.MULTILINE)
_READS: Final = re.compile(r"input\.action\.params((?:\.[a-z_]\w*)+)", re.ASCII | re.IGNORECASE)
_READS_BY_PATH: Final = re.compile(r'\["action", "params"((?:, "[^"]+")+)\]')
_QUOTED: Final = re.compile(r'"([^"\n]+)"')
_TEXT: Final = "text-{:08d}"


@dataclass(frozen=True, slots=True)
class CostInput:
    """An input that a pack is asked about."""

    tool: str
    tenant: str
    shape: str
    params_bytes: int
    document: bytes


def _texts(size: int) -> list[str]:
    return [_TEXT.format(number) for number in range(size // 16)]


def _members(size: int) -> dict[str, str]:
    return {_TEXT.format(number): "x" for number in range(size // 20)}


def _objects(size: int) -> list[dict[str, str]]:
    return [{"id": _TEXT.format(number), "name": "x"} for number in range(size // 36)]


def _text(size: int) -> str:
    return "a b." * (size // 4)


SHAPES: Final[Mapping[str, Callable[[int], Any]]] = {
    "many texts": _texts,
    "many members": _members,
    "many objects": _objects,
    "one text": _text,
}


def packs(tree: PolicyTree) -> Mapping[str, str]:
    """Return the source of each pack by its package, sorted: ``policy.refunds``."""
    sources: dict[str, str] = {}
    for content in tree.modules.values():
        text = content.decode(errors="replace")
        for match in _PACKAGE.finditer(text):
            sources[match.group(1)] = sources.get(match.group(1), "") + text
    return dict(sorted(sources.items()))


def cost_inputs(source: str, policies: Mapping[str, TenantPolicy], size: int) -> Iterator[CostInput]:
    """Yield inputs for a pack with this source, with params of about `size` bytes, in every shape."""
    places = _places(source)
    for tenant, tool in islice(_tools(source, policies), TOOLS_MAX):
        for shape, value_of in SHAPES.items():
            params: dict[str, Any] = {}
            for place in places:
                _put(params, place, value_of(size // len(places)))
            raw = orjson.dumps(params, option=orjson.OPT_SORT_KEYS)
            yield CostInput(tool, tenant, shape, len(raw), _document(tool, tenant, raw, policies[tenant]))


def _tools(source: str, policies: Mapping[str, TenantPolicy]) -> Iterator[tuple[str, str]]:
    """Yield tenant and tool: the tools that the source names, else those of the first tenant."""
    named = set(_QUOTED.findall(source))
    listed = [(tenant, tool) for tenant, policy in policies.items() for tool in _tools_of(policy)]
    found = {tool: (tenant, tool) for tenant, tool in reversed(listed) if tool in named}
    if found:
        yield from (found[tool] for tool in sorted(found))
    else:
        yield from listed


def _tools_of(policy: TenantPolicy) -> list[str]:
    """Return a read tool and a write tool first, then all others."""
    first = [*policy.allowed_tools[:1], *policy.write_tools[:1]]
    return [*first, *(tool for tool in (*policy.allowed_tools, *policy.write_tools) if tool not in first)]


def _places(source: str) -> list[tuple[str, ...]]:
    """Return the paths of params that the source reads, without those that lead to others. ("value",) when none."""
    found = {tuple(match.strip(".").split(".")) for match in _READS.findall(source)}
    found |= {tuple(_QUOTED.findall(match)) for match in _READS_BY_PATH.findall(source)}
    leaves = [path for path in found if not any(other != path and other[: len(path)] == path for other in found)]
    return sorted(leaves) or [("value",)]


def _put(params: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        params = params.setdefault(key, {})
    params[path[-1]] = value


def _document(tool: str, tenant: str, params: bytes, policy: TenantPolicy) -> bytes:
    """Return the policy input of an action with these params, and as many roles and citations as one may have.

    It has the facts about the tool that a decision has, so that the same rules are evaluated.
    """
    roles = tuple(f"role_{number}" for number in range(ROLES_MAX))
    evidence = tuple(Evidence(f"https://kb/{number}", f"{number:064x}") for number in range(EVIDENCE_MAX))
    identity = Identity(agent="placet", tenant=tenant, user="u_1", roles=roles)
    request = canonical_request(Action(tool=tool, params=params), identity, Run(), Model(), evidence)
    facts = base_facts(policy.tool_class(tool))
    schema = policy.params_schema(tool)
    if schema is not None:
        facts["params_schema"] = {"violations": params_violations(schema, params)}
    return policy_input(request, facts, rfc3339(0))
