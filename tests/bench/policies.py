"""Policy trees of many rules or many tenants, made from the shipped one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.bench.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RULES_PER_FILE = 500
"""OPA reads annotations of one file in quadratic time: 10,000 in one take 15 s."""
RULE = """
# METADATA
# title: Bench rule {number}
# custom:
#   rule_id: bench.rule_{number}
deny contains finding(rego.metadata.rule(), {{}}) if {{
	input.action.tool == "bench.tool_{number}"
	input.action.environment == "production"
}}
"""


def with_rules(folder: Path, count: int) -> Path:
    """The shipped tree with a pack of so many more rules."""
    tree = _copy(folder)
    pack = tree / "policy" / "bench"
    pack.mkdir()
    for first in range(0, count, RULES_PER_FILE):
        rules = "".join(RULE.format(number=number) for number in range(first, min(first + RULES_PER_FILE, count)))
        text = f"package policy.bench\n\nimport data.placet.lib.finding\n{rules}"
        (pack / f"bench_{first}.rego").write_text(text)
    return tree


def with_tenants(folder: Path, count: int) -> Path:
    """The shipped tree with so many tenants like acme."""
    tree = _copy(folder)
    acme = (tree / "config" / "acme.yaml").read_text()
    for number in range(count - 1):
        (tree / "config" / f"tenant-{number}.yaml").write_text(acme)
    return tree


def _copy(folder: Path) -> Path:
    tree = folder / "rego"
    shutil.copytree(ROOT / "rego", tree, ignore=shutil.ignore_patterns("*_test.rego"))
    return tree
