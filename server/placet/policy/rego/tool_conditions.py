"""Read from the rules of packs which settings of a tool they need, so that OPA is not asked where they cannot fire.

A rule needs a setting when its body has a line of one of these forms. Other lines count as true.

    lib.tool.destinations                          the setting is present, and not false
    not lib.tool.class                             it is absent or false
    lib.tool.class == "read"                       it is this text, true or false
    not is_boolean(lib.tool.approval_required)     it is neither true nor false

The settings of a listed tool are compiled from the tenant's file, so each line has the same value at every request.
Placet reads the text; `placet.policy.checks.collection_checks` verifies the result on OPA's own syntax tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from placet.policy.rego.collection import expressions, finding_rules, pack_modules
from placet.policy.rego.syntax import path_of, walk
from placet.policy.rego.tokens import SOURCES_KEPT, tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from placet.policy.rego.collection import FindingSet
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node
    from placet.policy.rego.tokens import Token

LIB: Final = ("placet", "lib")
"""Package of the helpers of all packs."""
TOOL: Final = "tool"
"""Its rule with the settings of the action's tool."""
_LIB_TOOL: Final = ["lib", ".", TOOL, "."]
_CHECK: Final = "is_boolean"
_OPERATORS: Final = frozenset({"equal", "eq", _CHECK})
"""Names of the operators. A package that defines one of them changes what it means."""
_DEFINITION: Final = """
tool := settings if {
    settings := data.placet.compiled.tools[input.identity.tenant][input.action.tool]
} else := _tool_in_file
"""
"""How `placet.lib` has to define `tool`. Under another definition the compiled settings say nothing about a rule."""


@dataclass(frozen=True, slots=True)
class ToolCondition:
    """What a line of a rule needs of one setting of the tool."""

    key: str
    is_set: bool = True  # without `equals`: whether the setting has to be present and not false
    equals: str | bool | None = None  # None when any value will do
    no_boolean: bool = False  # the setting has to be absent, or neither true nor false

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the line is true for a tool with these settings."""
        value = settings.get(self.key, False)
        if self.no_boolean:
            return self.key not in settings or not isinstance(value, bool)
        if self.equals is not None:
            return self.key in settings and type(value) is type(self.equals) and value == self.equals
        return (value is not False) is self.is_set


Conditions = frozenset[ToolCondition]
"""Conditions of one rule, which must all hold."""


def set_conditions(modules: Mapping[str, bytes]) -> dict[FindingSet, list[Conditions]]:
    """Return for each set of findings the conditions of each rule that adds to it. `modules` are contents by path.

    Empty when `placet.lib` does not read the settings of tools as Placet compiles them.
    """
    found: dict[FindingSet, list[Conditions]] = {}
    for package, module in pack_modules(modules) if reads_compiled_tools(modules) else ():
        for _, effect, conditions in rule_conditions(module):
            found.setdefault((package, effect), []).append(conditions)
    return found


def may_fire(rules: Sequence[Conditions] | None, settings: Mapping[str, Any]) -> bool:
    """Return whether one of the rules can fire for a tool with these settings. None are rules of unknown conditions."""
    return rules is None or any(all(condition.holds(settings) for condition in rule) for rule in rules)


@lru_cache(maxsize=SOURCES_KEPT)
def rule_conditions(module: bytes) -> tuple[tuple[int, str, Conditions], ...]:
    """Return line, effect and conditions of each rule that adds to a set of findings, in the order of the text."""
    source = tokens(module.decode(errors="replace"))
    usable = _only_names_the_library(source)
    return tuple(
        (line, effect, _conditions(body) if usable else frozenset()) for line, effect, body in finding_rules(module)
    )


def reads_compiled_tools(modules: Mapping[str, bytes]) -> bool:
    """Return whether the text of `placet.lib` defines `tool` by what Placet compiles."""
    library = (content for name, content in modules.items() if PurePosixPath(name).parent.parts == LIB)
    return any(map(_defines_tool, library))


@lru_cache(maxsize=SOURCES_KEPT)
def _defines_tool(module: bytes) -> bool:
    texts = [token.text for token in tokens(module.decode(errors="replace"))]
    wanted = [token.text for token in tokens(_DEFINITION)]
    return any(texts[start : start + len(wanted)] == wanted for start, text in enumerate(texts) if text == TOOL)


def _only_names_the_library(source: Sequence[Token]) -> bool:
    """Return whether the module imports ``data.placet.lib`` by this name, and uses the name for nothing else."""
    texts = ["", *(token.text for token in source), ""]
    imported = ["import", "data", ".", "placet", ".", "lib"]
    whole = any(
        texts[start : start + len(imported)] == imported and texts[start + len(imported)] not in {".", "as"}
        for start in range(len(texts) - len(imported))
    )
    return whole and all(
        following == "."
        for before, (text, following) in zip(texts, pairwise(texts[1:]), strict=False)
        if text == "lib" and before != "."
    )


def _conditions(body: Sequence[Token]) -> Conditions:
    found = (_condition([token.text for token in line]) for line in expressions(body))
    return frozenset(condition for condition in found if condition is not None)


def _condition(line: Sequence[str]) -> ToolCondition | None:
    """Return what a line needs of a setting; None for a line of another form."""
    negated = line[:1] == ["not"]
    rest = list(line[negated:])
    no_boolean = negated and rest[:2] == [_CHECK, "("] and rest[-1] == ")"
    rest = rest[2:-1] if no_boolean else rest
    if rest[: len(_LIB_TOOL)] != _LIB_TOOL or len(rest) == len(_LIB_TOOL):
        return None
    key, compared = rest[len(_LIB_TOOL)], rest[len(_LIB_TOOL) + 1 :]
    if not key.isidentifier() or (compared and (negated or compared[:2] != ["=", "="])):
        return None
    if not compared:
        return ToolCondition(key, is_set=not negated, no_boolean=no_boolean)
    value = _constant(compared[2:])
    return None if value is None else ToolCondition(key, equals=value)


def _constant(texts: Sequence[str]) -> str | bool | None:
    """Return the value of ``true``, ``false`` or a text without escapes; None for other terms."""
    if len(texts) != 1:
        return None
    [text] = texts
    if text in {"true", "false"}:
        return text == "true"
    return text[1:-1] if text.startswith('"') and "\\" not in text else None


def conditions_of(module: Module, rule: Rule, defined: frozenset[str]) -> Conditions:
    """Return the conditions of a rule by OPA's syntax tree. `defined` are the names of all rules of its package."""
    libraries = {name for name, path in module.imports.items() if path == ("data", *LIB)}
    if defined & (_OPERATORS | libraries) or _uses_alone(rule, libraries):
        return frozenset()
    found = (_condition_of(module, line) for line in rule.syntax["body"] if not line.get("with"))
    return frozenset(condition for condition in found if condition is not None)


def _uses_alone(rule: Rule, names: Collection[str]) -> bool:
    """Return whether the rule uses a name other than as the begin of a reference, so perhaps for a variable."""
    nodes = list(walk(rule.syntax))
    begins = {id(term["value"][0]) for term in nodes if term.get("type") == "ref"}
    return any(term.get("type") == "var" and term["value"] in names and id(term) not in begins for term in nodes)


def _condition_of(module: Module, line: Node) -> ToolCondition | None:
    terms, negated = line["terms"], bool(line.get("negated"))
    if isinstance(terms, dict):
        key = _key(module, terms)
        return ToolCondition(key, is_set=not negated) if key else None
    operator, *sides = terms
    key = _key(module, sides[0]) if sides else ""
    if not key:
        return None
    if path_of(operator) == (_CHECK,) and negated and len(sides) == 1:
        return ToolCondition(key, is_set=False, no_boolean=True)
    is_comparison = path_of(operator) == ("equal",) and not negated and sides[1]["type"] in {"string", "boolean"}
    return ToolCondition(key, equals=sides[1]["value"]) if is_comparison else None


def _key(module: Module, term: Node) -> str:
    """Return the name of the setting of ``lib.tool.<name>``; "" for another term."""
    path = module.resolved(path_of(term)) if "type" in term else ()
    return path[-1] if path[:-1] == ("data", *LIB, TOOL) else ""
