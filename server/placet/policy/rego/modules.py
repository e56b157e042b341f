"""Parse the modules of a policy tree with ``opa parse``, and reduce them to what the checks and the catalogue need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.rego.syntax import path_of, walk
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree

PACK_ROOTS: Final = (("policy",), ("placet", "baseline"))
"""Packages below which every package is a pack: ``policy.refunds``, ``placet.baseline.allowlist``."""
_PARALLEL_PARSERS: Final = 4
METADATA_RULE: Final = ("rego", "metadata", "rule")
"""Path of the builtin that returns the METADATA of the rule that calls it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it is written in a module."""

    name: str  # the whole reference of the head: ``deny``, ``deny[x]``
    base: str  # the first part of the name
    line: int  # of the head
    is_default: bool
    is_partial_set: bool
    reads_metadata: bool  # calls rego.metadata.rule()
    annotations: tuple[Mapping[str, Any], ...]  # METADATA blocks of scope rule
    syntax: Mapping[str, Any]  # OPA's syntax tree

    @property
    def rule_id(self) -> object:
        """The value of ``custom.rule_id`` in METADATA; None without."""
        custom = self._annotation.get("custom")
        return custom.get("rule_id") if isinstance(custom, Mapping) else None

    @property
    def title(self) -> object:
        """The value of ``title`` in METADATA; None without."""
        return self._annotation.get("title")

    @property
    def _annotation(self) -> Mapping[str, Any]:
        return self.annotations[-1] if self.annotations else {}


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a policy tree."""

    file: str  # path below the policy folder
    package: tuple[str, ...]
    package_line: int
    rules: tuple[Rule, ...]
    imports: Mapping[str, tuple[str, ...]]  # imported name -> whole path
    syntax: Mapping[str, Any]  # OPA's syntax tree

    def resolved(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Return the whole path of a name in the module: ``lib.finding`` -> ``data.placet.lib.finding``."""
        return (*self.imports.get(path[0], path[:1]), *path[1:]) if path else ()

    @property
    def pack(self) -> str:
        """The pack of the module; empty when it belongs to none."""
        for root in PACK_ROOTS:
            if self.package[: len(root)] == root and len(self.package) > len(root):
                return self.package[len(root)]
        return ""


def parse_modules(tree: PolicyTree, stage: Path, opa: Path) -> tuple[Module, ...]:
    """Parse every module of the staged tree except tests, sorted by file.

    Raises PolicyInvalidError when OPA cannot parse a module, and ConfigurationError when OPA cannot be run.
    """

    def parse(name: str) -> Module | Diagnostic:
        result = run(opa, ["parse", "--format", "json", "--json-include", "locations,-comments", name], cwd=stage)
        if result.exit_code != 0:
            return Diagnostic(tree.where(name), f"does not parse: {first_line(result.stderr)}")
        return _module(name, orjson.loads(result.stdout))

    with ThreadPoolExecutor(_PARALLEL_PARSERS) as pool:
        parsed = list(pool.map(parse, sorted(tree.modules)))
    problems = [item for item in parsed if isinstance(item, Diagnostic)]
    if problems:
        raise PolicyInvalidError(problems)
    return tuple(item for item in parsed if isinstance(item, Module))


def names_in(module: Module, modules: Iterable[Module]) -> frozenset[str]:
    """Return the names in a module that OPA parses as variables, although they are imports or rules of its package."""
    rules = (rule for other in modules if other.package == module.package for rule in other.rules)
    return frozenset(module.imports) | {rule.base for rule in rules}


def _module(name: str, syntax: Mapping[str, Any]) -> Module:
    package = syntax["package"]
    return Module(
        file=name,
        package=tuple(part["value"] for part in package["path"][1:]),
        package_line=package["location"]["row"],
        rules=tuple(_rule(rule) for rule in syntax.get("rules") or ()),
        imports=dict(_import(statement) for statement in syntax.get("imports") or ()),
        syntax=syntax,
    )


def _import(syntax: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    path = path_of(syntax["path"])
    return syntax.get("alias") or path[-1], path


def _rule(syntax: Mapping[str, Any]) -> Rule:
    head = syntax["head"]
    reference = head["ref"]
    annotations = tuple(note for note in syntax.get("annotations") or () if note.get("scope") == "rule")
    return Rule(
        name=reference[0]["value"] + "".join(map(_reference_part, reference[1:])),
        base=reference[0]["value"],
        line=syntax["location"]["row"],
        is_default=bool(syntax.get("default")),
        is_partial_set="key" in head and "value" not in head and "args" not in head,
        reads_metadata=any(_is_metadata_rule(term) for term in walk(syntax)),
        annotations=annotations,
        syntax=syntax,
    )


def _reference_part(part: Mapping[str, Any]) -> str:
    """Return a part of a reference after the first, as Rego writes it."""
    if part["type"] == "string":
        return f".{part['value']}"
    return f"[{part['value']}]" if part["type"] == "var" else "[...]"


def _is_metadata_rule(term: Mapping[str, Any]) -> bool:
    return term.get("type") == "ref" and path_of(term) == METADATA_RULE
