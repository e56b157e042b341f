"""Where rules stand: from a line of a module to its rule, and from a rule_id to its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from placet.policy.rego.hardening import HARDENED_SETS

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = re.compile(r"(?:default\s+)?([A-Za-z_]\w*)[^\n]*", re.ASCII)
"""A rule begins in the first column, as `opa fmt` writes it; its body is indented or closes a bracket."""
_NO_HEADS: Final = frozenset({"package", "import", "else"})
_RULE_ID: Final = re.compile(r"#\s*rule_id:\s*[\"']?([^\s\"']+)")


@dataclass(frozen=True)
class RuleLocations:
    """Places in these modules, by their path below the policy folder. Found by reading their lines."""

    modules: Mapping[str, bytes]

    def at(self, file: str, line: int) -> dict[str, Any]:
        """Return ``file``, ``line`` and, where they are known, ``rule`` and ``rule_id`` of what stands there.

        `file` is as OPA names it, with the path of its bundle before it.
        """
        name = next((name for name in self.modules if file == name or file.endswith("/" + name)), "")
        if not name:
            return {"file": file.rpartition(".tar.gz/")[2].lstrip("/"), "line": line}
        found: dict[str, Any] = {"file": name, "line": line}
        lines = self.modules[name].decode(errors="replace").split("\n")[:line]
        for index in range(len(lines) - 1, -1, -1):
            head = _HEAD.match(lines[index])
            if head is not None and head.group(1) not in _NO_HEADS:
                found["rule"] = head.group(1)
                rule_id = _annotated(lines[:index])
                return {**found, "rule_id": rule_id} if rule_id else found
        return found

    def of(self, rule_id: str) -> str:
        """Return ``file:line`` of the METADATA that gives the id; "" when none does."""
        return self._by_id.get(rule_id, "")

    @cached_property
    def restricting(self) -> Mapping[str, str]:
        """Ids of rules that deny or ask for approval, and the module of each."""
        found: dict[str, str] = {}
        for name, content in self.modules.items():
            lines = content.decode(errors="replace").split("\n")
            for index, line in enumerate(lines):
                head = _HEAD.match(line)
                rule_id = _annotated(lines[:index]) if head is not None and head.group(1) in HARDENED_SETS else ""
                if rule_id:
                    found[rule_id] = name
        return found

    @cached_property
    def _by_id(self) -> Mapping[str, str]:
        return {
            match.group(1): f"{name}:{number}"
            for name, content in self.modules.items()
            for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1)
            if (match := _RULE_ID.match(line)) is not None
        }


def _annotated(before: list[str]) -> str:
    """The rule_id of the comments right above a head; "" without."""
    for line in reversed(before):
        if not line.startswith("#"):
            break
        match = _RULE_ID.match(line)
        if match is not None:
            return match.group(1)
    return ""
