"""Read from a rule, without a request, which tools and tenants it applies to and what its terms depend on.

The tools are the constants that the body compares ``input.action.tool`` with, by ``==`` or ``in``; the tenants those
of ``input.identity.tenant``. The comparison may also be in a rule of the same package that the body names. Whatever is
not understood counts as unknown: a rule never applies to more than what is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from placet.policy.rego.modules import names_in
from placet.policy.rego.syntax import bound_variables, path_of, variables, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

_TOOL: Final = ("input", "action", "tool")
_TENANT: Final = ("input", "identity", "tenant")
_MEMBER: Final = ("internal", "member_2")
_EQUAL: Final = frozenset({("equal",), ("eq",)})
_OPERATORS: Final = frozenset({"equal", "eq", "internal"})
"""First parts of the names of the operators. A package that defines one of them changes what the operator means."""


@dataclass(frozen=True)
class RuleScope:
    """Answers questions about the rules of one module."""

    module: Module
    modules: Sequence[Module]  # all modules of the policy

    def tools(self, rule: Rule) -> frozenset[str] | None:
        """Return the tools that the rule applies to; None when they are unknown."""
        return self._compared(rule.syntax["body"], _TOOL, frozenset())

    def named_tools(self, rule: Rule) -> frozenset[str] | None:
        """Return the tools that the lines of the rule itself name; None when they are unknown."""
        return self._compared(rule.syntax["body"], _TOOL, None)

    def tenants(self, rule: Rule) -> frozenset[str] | None:
        """Return the tenants that the rule applies to; None when they are unknown."""
        return self._compared(rule.syntax["body"], _TENANT, frozenset())

    def assigned(self, rule: Rule, variable: str) -> Node | None:
        """Return the term that the rule's body assigns to the variable by ``:=``; None without."""
        for line in rule.syntax["body"]:
            terms = line["terms"]
            if isinstance(terms, list) and path_of(terms[0]) == ("assign",) and path_of(terms[1]) == (variable,):
                return terms[2]
        return None

    def depends_only_on_tenant(self, rule: Rule, term: Node) -> bool:
        """Return whether the term of the rule depends on nothing but data and the tenant."""
        local = bound_variables(rule.syntax["body"], names_in(self.module, self.modules))
        return not variables(term) & local and self._is_known(term, self.module, set())

    def _compared(
        self, body: Sequence[Node], path: tuple[str, ...], visited: frozenset[str] | None
    ) -> frozenset[str] | None:
        """Return the constants that the body compares the value at `path` with; None when it does not.

        Several comparisons must all hold, so their constants are intersected. Without `visited`, the names of other
        rules are not followed.
        """
        compared: frozenset[str] | None = None
        if self._redefines_operators:
            return None
        for line in body:
            if line.get("negated") or line.get("with"):
                continue
            constants = self._constants(line["terms"], path)
            if constants is None and visited is not None:
                others = [other["terms"] for other in body if other is not line]
                constants = self._constants_of_helper(line["terms"], others, path, visited)
            if constants is not None:
                compared = constants if compared is None else compared & constants
        return compared

    @cached_property
    def _redefines_operators(self) -> bool:
        """Whether the package has a rule or an import with the name of an operator."""
        package = [module for module in self.modules if module.package == self.module.package]
        return any(
            not _OPERATORS.isdisjoint(module.imports) or any(rule.base in _OPERATORS for rule in module.rules)
            for module in package
        )

    def _constants(self, terms: Node, path: tuple[str, ...]) -> frozenset[str] | None:
        """Return the constants of ``<path> == "..."`` or ``<path> in {...}``; None for another line."""
        if not isinstance(terms, list) or len(terms) != 3:  # noqa: PLR2004 # operator and two sides
            return None
        operator, left, right = terms
        if path_of(operator) in _EQUAL:
            for side, other in ((left, right), (right, left)):
                if path_of(side) == path and other["type"] == "string":
                    return frozenset({other["value"]})
        is_membership = path_of(operator) == _MEMBER and path_of(left) == path and right["type"] in {"set", "array"}
        if not is_membership or not all(item["type"] == "string" for item in right["value"]):
            return None
        return frozenset(item["value"] for item in right["value"])

    def _constants_of_helper(
        self, terms: Node, others: Sequence[Node], path: tuple[str, ...], visited: frozenset[str]
    ) -> frozenset[str] | None:
        """Return the constants of a line that is the name of another rule of the package.

        Returns None unless every definition of that rule, and every ``else`` of it, compares with constants; a default
        of false needs not. A name that `others`, the other lines, use may be a variable of theirs.
        """
        name = path_of(terms) if isinstance(terms, dict) and "type" in terms else ()
        if len(name) != 1 or name[0] in visited or name[0] in variables(others):
            return None
        definitions = [rule for rule in self._rules_of(self.module.package) if rule.base == name[0]]
        if not all(_is_plain(rule) for rule in definitions):
            return None
        bodies = [body for rule in definitions if not _is_false(rule) for body in _branches(rule.syntax)]
        by_body = [self._compared(body, path, visited | {name[0]}) for body in bodies]
        known = [constants for constants in by_body if constants is not None]
        return frozenset[str]().union(*known) if known and len(known) == len(by_body) else None

    def _is_known(self, node: Node, module: Module, visited: set[tuple[str, ...]]) -> bool:
        """Return whether the node, and the rules and functions that it uses, read no input except the tenant."""
        return all(self._is_known_path(path, visited) for path in self._paths(node, module))

    def _is_known_path(self, path: tuple[str, ...], visited: set[tuple[str, ...]]) -> bool:
        if path[0] == "input":
            return path[:3] == _TENANT
        if path[0] != "data" or path in visited:
            return True
        visited.add(path)
        return all(self._is_known(rule.syntax, module, visited) for module, rule in self._rules_at(path[1:]))

    def _paths(self, node: Node, module: Module) -> Iterator[tuple[str, ...]]:
        """Yield the whole paths of the references in a node, up to the first part that is not constant.

        An example is ``data.policy.refunds._config``.
        """
        names = names_in(module, self.modules)
        nodes = list(walk(node))
        heads = {id(term["value"][0]) for term in nodes if term.get("type") == "ref"}
        for term in nodes:
            if id(term) in heads:  # the first part of a reference, which is a term too
                continue
            path = _constant_path(term)
            if not path:
                continue
            whole = module.resolved(path)
            if whole[0] in {"input", "data"}:
                yield whole
            elif whole[0] in names:
                yield ("data", *module.package, *whole)

    def _rules_at(self, path: tuple[str, ...]) -> Iterator[tuple[Module, Rule]]:
        """Yield the rules whose values are at a path of `data`, or below or above it."""
        for module in self.modules:
            for rule in module.rules:
                whole = (*module.package, rule.base)
                shared = min(len(whole), len(path))
                if whole[:shared] == path[:shared] and shared > len(module.package):
                    yield module, rule

    def _rules_of(self, package: tuple[str, ...]) -> list[Rule]:
        return [rule for module in self.modules if module.package == package for rule in module.rules]


def _is_plain(rule: Rule) -> bool:
    """Return whether the rule has one value: it is no function, no set, and no part of an object."""
    head = rule.syntax["head"]
    return rule.name == rule.base and "args" not in head and "key" not in head


def _is_false(rule: Rule) -> bool:
    """Return whether the rule is ``default x := false``, which cannot make a line true that names it."""
    value = rule.syntax["head"].get("value", {})
    return rule.is_default and value.get("type") == "boolean" and value["value"] is False


def _branches(syntax: Node) -> Iterator[Sequence[Node]]:
    """Yield the body of a rule, and those of its ``else``."""
    while syntax is not None:
        yield syntax["body"]
        syntax = syntax.get("else")


def _constant_path(term: Node) -> tuple[str, ...]:
    """Return the path of a variable or reference up to its first part that is not constant; empty for other terms."""
    parts = term["value"] if term.get("type") == "ref" else [term] if term.get("type") == "var" else []
    if not parts or parts[0].get("type") != "var":
        return ()
    path = [parts[0]["value"]]
    for part in parts[1:]:
        if part["type"] != "string":
            break
        path.append(part["value"])
    return tuple(path)
