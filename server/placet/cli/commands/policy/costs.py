"""`placet policy check --bench`: what each rule pack costs at worst, and which of its rules."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placet.engine.pack_costs import pack_costs
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.cost_inputs import packs
from placet.policy.files.staging import staged, tenants_document
from placet.policy.files.tree import read_tree
from placet.policy.rego.rule_locations import RuleLocations
from placet.policy.toolchain.profile import slowest_line

if TYPE_CHECKING:
    from placet.engine.pack_costs import PackCost

COLUMNS = ("pack", "worst", "growth", "tool", "params", "slowest rule")


@dataclass(frozen=True, slots=True)
class RuleCost:
    """What a pack costs at worst, and the rule of it that takes most of the time; "" when it is unknown."""

    cost: PackCost
    rule: str

    def exceeds(self, microseconds_max: int) -> bool:
        """Return whether it takes longer than this."""
        return self.cost.microseconds > microseconds_max

    def row(self) -> tuple[str, ...]:
        """Return the cells of COLUMNS."""
        cost, slowest = self.cost, self.cost.slowest
        took = f"{'' if cost.ended else 'over '}{cost.microseconds:,.0f} us"
        growth = f"{cost.growth:.1f}x" if cost.growth else ""
        return cost.pack, took, growth, slowest.tool, f"{slowest.shape}, {slowest.params_bytes:,} bytes", self.rule

    def document(self) -> dict[str, Any]:
        """Return the values for JSON."""
        cost, slowest = self.cost, self.cost.slowest
        return {
            "pack": cost.pack,
            "microseconds": round(cost.microseconds, 1),
            "ended": cost.ended,
            "growth": round(cost.growth, 2),
            "tool": slowest.tool,
            "tenant": slowest.tenant,
            "shape": slowest.shape,
            "params_bytes": slowest.params_bytes,
            "rule": self.rule,
        }


def rule_costs(rego_dir: Path, opa: Path) -> list[RuleCost]:
    """Measure each pack of a valid policy folder, the most expensive first."""
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        cache, log = Path(folder, "bundles"), Path(folder, "opa.log")
        tree = read_tree(rego_dir)
        bundle = build_bundle(rego_dir, opa, cache)

        async def measure() -> list[PackCost]:
            return [cost async for cost in pack_costs(bundle, packs(tree), opa, log)]

        costs = sorted(asyncio.run(measure()), key=lambda cost: -cost.microseconds)
        rules = RuleLocations(tree.modules)
        with staged(tree, tests=False, tenants=tenants_document(bundle.agent_policies)) as stage:
            return [
                RuleCost(cost, _rule_at(slowest_line(opa, stage, cost.pack, cost.profiled.document), rules))
                for cost in costs
            ]


def _rule_at(line: tuple[str, int] | None, rules: RuleLocations) -> str:
    """Return ``rule (file:line)``; "" when there is no line."""
    if line is None:
        return ""
    found = rules.rule_at(*line)
    return f"{found.get('rule_id') or found.get('rule', '')} ({found['file']}:{found['line']})"
