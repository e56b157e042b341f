"""Check the format and the style of a policy tree with ``opa fmt`` and ``regal lint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from placet.kernel.errors import Diagnostic
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree


def format_problems(tree: PolicyTree, stage: Path, opa: Path) -> Iterator[Diagnostic]:
    """Yield the staged files that ``opa fmt`` would change. Raises ConfigurationError when OPA cannot be run."""
    result = run(opa, ["fmt", "--list", "--fail", "."], cwd=stage)
    names = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    for name in names:
        yield Diagnostic(tree.where(name), "is not formatted", f"run `opa fmt --write {tree.where(name)}`")
    if result.exit_code != 0 and not names:
        yield Diagnostic(str(tree.root), f"opa fmt failed: {first_line(result.stderr)}")


def lint_problems(tree: PolicyTree, regal: Path) -> Iterator[Diagnostic]:
    """Yield the violations that Regal reports, by the ``.regal/config.yaml`` in or above the policy folder.

    Raises ConfigurationError when Regal cannot be run.
    """
    result = run(regal, ["lint", "--format", "json", "."], cwd=tree.root)
    try:
        violations = orjson.loads(result.stdout)["violations"] or []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        yield Diagnostic(str(tree.root), f"regal lint failed: {result.message}", "check .regal/config.yaml")
        return
    for violation in violations:
        location = violation["location"]
        where = tree.where(location["file"], location.get("row", 0))
        references = violation.get("related_resources") or [{}]
        yield Diagnostic(where, f"{violation['title']}: {violation['description']}", references[0].get("ref", ""))
