"""List every rule_id that a decision can have: those of the packs and Placet's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import PolicyInvalidError
from placet.kernel.model import Effect
from placet.kernel.rule_ids import REASONS
from placet.policy.checks.rule_checks import EFFECT_SETS, rule_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import read_tree
from placet.policy.rego.modules import parse_modules
from placet.policy.toolchain.compile import compile_problems

if TYPE_CHECKING:
    from pathlib import Path

PDP_PACK: Final = "pdp"
"""The pack that the catalogue gives for Placet's own ids."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule_id of the catalogue."""

    rule_id: str
    title: str
    effect: str
    pack: str
    where: str  # ``file:line`` of the rule; empty for Placet's own ids


def catalogue(rego_dir: Path, opa: Path) -> tuple[Entry, ...]:
    """Return the entries, sorted by rule_id.

    Raises PolicyInvalidError when the policy does not compile or a rule is invalid, and ConfigurationError when OPA
    cannot be run.
    """
    tree = read_tree(rego_dir)
    with staged(tree, tests=False) as stage:
        problems = list(compile_problems(tree, stage, opa))
        modules = () if problems else parse_modules(tree, stage, opa)
    problems = problems or list(rule_problems(tree, modules))
    if problems:
        raise PolicyInvalidError(problems)
    of_packs = [
        Entry(str(rule.rule_id), str(rule.title), rule.name, module.pack, tree.where(module.file, rule.line))
        for module in modules
        for rule in module.rules
        if module.pack and rule.name in EFFECT_SETS
    ]
    own = [Entry(rule_id, reason, Effect.DENY.value, PDP_PACK, "") for rule_id, reason in REASONS.items()]
    return tuple(sorted([*of_packs, *own], key=lambda entry: entry.rule_id))
