"""Policy trees with many rules, many tenants or many limits, made from the shipped tree."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.bench.checkouts import HERE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.checkouts import Checkout

RULES_PER_FILE = 500
"""OPA reads the annotations of one file in quadratic time: 10,000 in one file take 15 s."""
VARIED = "maxLength: 500"
"""What differs between the files of tenants."""
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


LIMITS = {
    "limited": """
  spend_limits: {per_user_usd_per_day: 100000.00, per_workspace_usd_per_month: 10000000.00}
  budgets:
    - {id: refunds.per_charge, scope: customer, customer: /charge, measure: amount, currency: USD,
       limit: 100000000.00, window: day, timezone: America/Chicago, warn_at: 0.8}
    - {id: refunds.per_month, scope: tenant, measure: amount, currency: USD, limit: 1000000000.00, window: month}
    - {id: calls.per_agent, scope: agent, measure: calls, limit: 100000000, window: hour}
    - {id: tokens.per_workflow, scope: workflow, measure: tokens, limit: 100000000000, window: day}
  limits: {max_tool_calls: 1000000}
""",
    "hot": """
  budgets: [{id: calls, scope: tenant, measure: calls, limit: 100000000, window: day}]
""",
    "cold": """
  budgets: [{id: calls, scope: user, measure: calls, limit: 100000000, window: day}]
""",
}
"""Tenant -> what its file adds to acme's: six budgets and a run limit (`limited`), one budget for all users (`hot`), or
one budget for each user (`cold`). All limits are too high for the benchmark to reach."""


def with_rules(folder: Path, count: int) -> Path:
    """Return a copy of the shipped tree with a pack of `count` more rules."""
    tree = shipped(folder)
    pack = tree / "policy" / "bench"
    pack.mkdir()
    for first in range(0, count, RULES_PER_FILE):
        rules = "".join(RULE.format(number=number) for number in range(first, min(first + RULES_PER_FILE, count)))
        text = f"package policy.bench\n\nimport data.placet.lib.finding\n{rules}"
        (pack / f"bench_{first}.rego").write_text(text)
    return tree


def with_tenants(folder: Path, count: int) -> Path:
    """Return a copy of the shipped tree with `count` tenants like acme, whose files all differ."""
    tree = shipped(folder)
    acme = (tree / "config" / "acme.yaml").read_text()
    for number in range(count - 1):
        text = acme.replace(VARIED, f"maxLength: {500 + number}", 1)
        (tree / "config" / f"tenant-{number}.yaml").write_text(text)
    return tree


def with_neighbour(folder: Path, tenant: str) -> Path:
    """Return a copy of the shipped tree with one more tenant like acme."""
    tree = shipped(folder)
    shutil.copyfile(tree / "config" / "acme.yaml", tree / "config" / f"{tenant}.yaml")
    return tree


def with_limits(folder: Path, checkout: Checkout = HERE) -> Path:
    """Return a copy of the shipped tree of a checkout with the tenants of LIMITS."""
    tree = shipped(folder, checkout)
    acme = (tree / "config" / "acme.yaml").read_text()
    for tenant, limits in LIMITS.items():
        (tree / "config" / f"{tenant}.yaml").write_text(acme + limits)
    return tree


def shipped(folder: Path, checkout: Checkout = HERE) -> Path:
    """Return a copy of the shipped tree of a checkout, without its tests."""
    tree = folder / "rego"
    shutil.copytree(checkout.rego, tree, ignore=shutil.ignore_patterns("*_test.rego"))
    return tree
