"""Form and style of the policy: ``opa fmt`` and ``regal lint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from placet.kernel.errors import Diagnostic
from placet.policy.toolchain.compile import first_line
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree


def format_problems(tree: PolicyTree, stage: Path, opa: Path) -> Iterator[Diagnostic]:
    """Which files ``opa fmt`` would change."""
    ended = run(opa, ["fmt", "--list", "--fail", "."], cwd=stage)
    names = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    for name in names:
        yield Diagnostic(tree.where(name), "is not formatted", f"opa fmt --write {tree.where(name)}")
    if ended.code != 0 and not names:
        yield Diagnostic(str(tree.root), f"opa fmt: {first_line(ended.stderr)}")


def lint_problems(tree: PolicyTree, regal: Path) -> Iterator[Diagnostic]:
    """What Regal finds, by the configuration that it finds above the policy folder (``.regal/config.yaml``)."""
    ended = run(regal, ["lint", "--format", "json", "."], cwd=tree.root)
    try:
        violations = orjson.loads(ended.stdout)["violations"] or []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        yield Diagnostic(
            str(tree.root), f"regal lint: {first_line(ended.stderr or ended.stdout)}", "see .regal/config.yaml"
        )
        return
    for violation in violations:
        location = violation["location"]
        where = tree.where(location["file"], location.get("row", 0))
        references = violation.get("related_resources") or [{}]
        yield Diagnostic(where, f"{violation['title']}: {violation['description']}", references[0].get("ref", ""))
