"""What stands in the modules: OPA's own parse of them, reduced to what the checks and the catalogue need."""

from __future__ import annotations

from collections.abc import Mapping
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
_PARSERS: Final = 4
_METADATA_RULE: Final = ("rego", "metadata", "rule")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as written.

    `name` is the whole reference of its head (``deny``, ``deny[x]``), `base` the first part of that. `annotations` are
    its METADATA blocks of scope rule. `line` is where the head begins, `syntax` what OPA parsed.
    """

    name: str
    base: str
    line: int
    is_default: bool
    is_partial_set: bool
    reads_metadata: bool
    annotations: tuple[Mapping[str, Any], ...]
    syntax: Mapping[str, Any]

    @property
    def rule_id(self) -> object:
        """What METADATA gives as ``custom.rule_id``; None without."""
        custom = self._annotation.get("custom")
        return custom.get("rule_id") if isinstance(custom, Mapping) else None

    @property
    def title(self) -> object:
        """What METADATA gives as ``title``; None without."""
        return self._annotation.get("title")

    @property
    def _annotation(self) -> Mapping[str, Any]:
        return self.annotations[-1] if self.annotations else {}


@dataclass(frozen=True, slots=True)
class Module:
    """One module. `file` is its path below the policy folder.

    `imports` are the names that it imports, with what they stand for; `syntax` is what OPA parsed.
    """

    file: str
    package: tuple[str, ...]
    package_line: int
    rules: tuple[Rule, ...]
    imports: Mapping[str, tuple[str, ...]]
    syntax: Mapping[str, Any]

    def resolved(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The whole path of a name as the module writes it: ``lib.finding`` -> ``data.placet.lib.finding``."""
        return (*self.imports.get(path[0], path[:1]), *path[1:]) if path else ()

    @property
    def pack(self) -> str:
        """The pack that it belongs to; empty when it is part of none."""
        for root in PACK_ROOTS:
            if self.package[: len(root)] == root and len(self.package) > len(root):
                return self.package[len(root)]
        return ""


def parse_modules(tree: PolicyTree, stage: Path, opa: Path) -> tuple[Module, ...]:
    """Parse every module (tests left out) of the staged tree. Raises PolicyInvalidError for what OPA cannot parse."""

    def parse(name: str) -> Module | Diagnostic:
        ended = run(opa, ["parse", "--format", "json", "--json-include", "locations,-comments", name], cwd=stage)
        if ended.exit_code != 0:
            return Diagnostic(tree.where(name), f"does not parse: {first_line(ended.stderr)}")
        return _module(name, orjson.loads(ended.stdout))

    with ThreadPoolExecutor(_PARSERS) as pool:
        parsed = list(pool.map(parse, sorted(tree.modules)))
    problems = [item for item in parsed if isinstance(item, Diagnostic)]
    if problems:
        raise PolicyInvalidError(problems)
    return tuple(item for item in parsed if isinstance(item, Module))


def _module(name: str, syntax: Mapping[str, Any]) -> Module:
    package = syntax["package"]
    return Module(
        file=name,
        package=tuple(part["value"] for part in package["path"][1:]),
        package_line=package["location"]["row"],
        rules=tuple(_rule(rule) for rule in syntax.get("rules") or ()),
        imports=dict(_imported(each) for each in syntax.get("imports") or ()),
        syntax=syntax,
    )


def _imported(syntax: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    path = path_of(syntax["path"])
    return syntax.get("alias") or path[-1], path


def _rule(syntax: Mapping[str, Any]) -> Rule:
    head = syntax["head"]
    reference = head["ref"]
    annotations = tuple(note for note in syntax.get("annotations") or () if note.get("scope") == "rule")
    return Rule(
        name=reference[0]["value"] + "".join(map(_written, reference[1:])),
        base=reference[0]["value"],
        line=syntax["location"]["row"],
        is_default=bool(syntax.get("default")),
        is_partial_set="key" in head and "value" not in head and "args" not in head,
        reads_metadata=any(_is_metadata_rule(term) for term in walk(syntax)),
        annotations=annotations,
        syntax=syntax,
    )


def _written(part: Mapping[str, Any]) -> str:
    """One part of a reference after the first, as Rego writes it."""
    if part["type"] == "string":
        return f".{part['value']}"
    return f"[{part['value']}]" if part["type"] == "var" else "[...]"


def _is_metadata_rule(term: Mapping[str, Any]) -> bool:
    return term.get("type") == "ref" and path_of(term) == _METADATA_RULE
