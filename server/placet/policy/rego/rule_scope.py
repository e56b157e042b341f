"""What can be read from a rule without a request: which tools and tenants it is about, what its terms rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.policy.rego.syntax import bound_by, path_of, variables, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

_TOOL: Final = ("input", "action", "tool")
_TENANT: Final = ("input", "identity", "tenant")
_MEMBER: Final = ("internal", "member_2")
_EQUAL: Final = frozenset({("equal",), ("eq",)})


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the rules of a module; `modules` are all of the policy."""

    module: Module
    modules: Sequence[Module]

    def tools(self, rule: Rule) -> frozenset[str] | None:
        """The tools that the rule is about; None when its body does not tell."""
        return self._compared(rule, _TOOL, frozenset())

    def tenants(self, rule: Rule) -> frozenset[str] | None:
        """The tenants that the rule is about; None when its body does not tell."""
        return self._compared(rule, _TENANT, frozenset())

    def assigned(self, rule: Rule, variable: str) -> Node | None:
        """What the rule's body sets the variable to by ``:=``; None when it does not."""
        for expression in rule.syntax["body"]:
            terms = expression["terms"]
            if isinstance(terms, list) and path_of(terms[0]) == ("assign",) and path_of(terms[1]) == (variable,):
                return terms[2]
        return None

    def rests_on_tenant(self, rule: Rule, term: Node) -> bool:
        """Whether a term of the rule is made of data and the tenant's name alone."""
        local = bound_by(rule.syntax["body"], self._names(self.module))
        return not variables(term) & local and self._known(term, self.module, set())

    def _compared(self, rule: Rule, path: tuple[str, ...], seen: frozenset[str]) -> frozenset[str] | None:
        """The constants that the body compares what stands at the path with."""
        found: frozenset[str] | None = None
        for expression in rule.syntax["body"]:
            if expression.get("negated") or expression.get("with"):
                continue
            constants = self._constants(expression["terms"], path)
            if constants is None:
                constants = self._constants_of_helper(expression["terms"], path, seen)
            if constants is not None:
                found = constants if found is None else found & constants
        return found

    def _constants(self, terms: Node, path: tuple[str, ...]) -> frozenset[str] | None:
        if not isinstance(terms, list) or len(terms) != 3:  # noqa: PLR2004 # operator and two sides
            return None
        operator, left, right = terms
        if path_of(operator) in _EQUAL:
            for here, there in ((left, right), (right, left)):
                if path_of(here) == path and there["type"] == "string":
                    return frozenset({there["value"]})
        listed = path_of(operator) == _MEMBER and path_of(left) == path and right["type"] in {"set", "array"}
        if not listed or not all(each["type"] == "string" for each in right["value"]):
            return None
        return frozenset(each["value"] for each in right["value"])

    def _constants_of_helper(self, terms: Node, path: tuple[str, ...], seen: frozenset[str]) -> frozenset[str] | None:
        """The same of a rule of the package that the body names: all of its definitions must tell."""
        name = path_of(terms) if isinstance(terms, dict) and "type" in terms else ()
        if len(name) != 1 or name[0] in seen:
            return None
        definitions = [rule for rule in self._rules_of(self.module.package) if rule.name == name[0]]
        told = [self._compared(rule, path, seen | {name[0]}) for rule in definitions if not rule.is_default]
        known = [each for each in told if each is not None]
        return frozenset[str]().union(*known) if known and len(known) == len(told) else None

    def _known(self, node: Node, module: Module, seen: set[tuple[str, ...]]) -> bool:
        """Whether nothing in it reads what a caller says, but for the tenant; through rules and functions."""
        return all(self._known_path(path, seen) for path in self._paths(node, module))

    def _known_path(self, path: tuple[str, ...], seen: set[tuple[str, ...]]) -> bool:
        if path[0] == "input":
            return path[:3] == _TENANT
        if path[0] != "data" or path in seen:
            return True
        seen.add(path)
        return all(self._known(rule.syntax, module, seen) for module, rule in self._defining(path[1:]))

    def _paths(self, node: Node, module: Module) -> Iterator[tuple[str, ...]]:
        """Whole paths of what a node refers to, as far as they are constant: ``data.policy.refunds._config``."""
        names = self._names(module)
        nodes = list(walk(node))
        heads = {id(each["value"][0]) for each in nodes if each.get("type") == "ref"}
        for each in nodes:
            if id(each) in heads:
                continue
            parts = each["value"] if each.get("type") == "ref" else [each] if each.get("type") == "var" else []
            if not parts or parts[0].get("type") != "var":
                continue
            path = [parts[0]["value"]]
            for part in parts[1:]:
                if part["type"] != "string":
                    break
                path.append(part["value"])
            whole = module.resolved(tuple(path))
            if whole[0] in {"input", "data"}:
                yield whole
            elif whole[0] in names:
                yield ("data", *module.package, *whole)

    def _defining(self, path: tuple[str, ...]) -> Iterator[tuple[Module, Rule]]:
        """The rules whose values stand at a path, or below or above it."""
        for module in self.modules:
            for rule in module.rules:
                whole = (*module.package, rule.base)
                shared = min(len(whole), len(path))
                if whole[:shared] == path[:shared] and shared > len(module.package):
                    yield module, rule

    def _rules_of(self, package: tuple[str, ...]) -> list[Rule]:
        return [rule for module in self.modules if module.package == package for rule in module.rules]

    def _names(self, module: Module) -> frozenset[str]:
        return frozenset(module.imports) | {rule.base for rule in self._rules_of(module.package)}
