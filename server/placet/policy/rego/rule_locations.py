"""Map a line of a module to its rule, and a rule_id to its line, by reading the text of the modules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from placet.policy.rego.hardening import HARDENED_SETS

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = re.compile(r"(?:default\s+)?([A-Za-z_]\w*)[^\n]*", re.ASCII)
"""The head of a rule. It begins in the first column, as `opa fmt` writes it; lines of the body do not."""
_KEYWORDS: Final = frozenset({"package", "import", "else"})
"""Words that also begin in the first column."""
_RULE_ID: Final = re.compile(r"#\s*rule_id:\s*[\"']?([^\s\"']+)")


@dataclass(frozen=True)
class RuleLocations:
    """The locations of the rules of some modules."""

    modules: Mapping[str, bytes]  # path below the policy folder -> content

    def rule_at(self, file: str, line: int) -> dict[str, Any]:
        """Return ``file`` and ``line``, and when known the ``rule`` and ``rule_id`` that the line belongs to.

        `file` is the name that OPA reports, which begins with the path of the bundle.
        """
        name = next((name for name in self.modules if file == name or file.endswith("/" + name)), "")
        if not name:
            return {"file": file.rpartition(".tar.gz/")[2].lstrip("/"), "line": line}
        location: dict[str, Any] = {"file": name, "line": line}
        lines = self.modules[name].decode(errors="replace").split("\n")[:line]
        for index in range(len(lines) - 1, -1, -1):
            head = _HEAD.match(lines[index])
            if head is not None and head.group(1) not in _KEYWORDS:
                location["rule"] = head.group(1)
                rule_id = _rule_id_above(lines[:index])
                return {**location, "rule_id": rule_id} if rule_id else location
        return location

    def location_of(self, rule_id: str) -> str:
        """Return ``file:line`` of the METADATA that defines the rule_id; "" when none does."""
        return self._by_id.get(rule_id, "")

    @cached_property
    def restricting(self) -> Mapping[str, str]:
        """The ids of the rules of deny and require_approval, each with the file of its module."""
        files: dict[str, str] = {}
        for name, content in self.modules.items():
            lines = content.decode(errors="replace").split("\n")
            for index, line in enumerate(lines):
                head = _HEAD.match(line)
                rule_id = _rule_id_above(lines[:index]) if head is not None and head.group(1) in HARDENED_SETS else ""
                if rule_id:
                    files[rule_id] = name
        return files

    @cached_property
    def _by_id(self) -> Mapping[str, str]:
        return {
            match.group(1): f"{name}:{number}"
            for name, content in self.modules.items()
            for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1)
            if (match := _RULE_ID.match(line)) is not None
        }


def _rule_id_above(lines: list[str]) -> str:
    """Return the rule_id in the comment that ends with the last line; "" without one."""
    for line in reversed(lines):
        if not line.startswith("#"):
            break
        match = _RULE_ID.match(line)
        if match is not None:
            return match.group(1)
    return ""
