"""Checks whether a change of autonomy lets any agent do more than before. Such a change takes a second person.

The check is a proof from the rules, not a test on examples. If a pattern could cover an action to which another rule
applies, it counts as covering one. So a change that widens nothing may take two people, but a change that widens
something never takes only one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.controls.autonomy.model import AutonomyLevel, AutonomyRule, closeness, is_higher, named
from placet.matching.globs import glob_matches, is_glob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.controls.autonomy.model import Autonomy

Key = tuple[str, str, str]
_FOR_ALL: Final = ("", "", "")
_NO_RULE: Final = AutonomyRule(AutonomyLevel.OBSERVE_ONLY)
"""The rule for actions that no rule matches."""


def widens(
    autonomy: Autonomy, before: Sequence[AutonomyRule], after: Sequence[AutonomyRule], changed: AutonomyRule
) -> bool:
    """Return whether an action that the changed rule matches may have a higher level after the change.

    `before` and `after` are the overrides. They differ only in the rule with the key of `changed`.
    """
    rules_before, rules_after = _effective(autonomy, before), _effective(autonomy, after)
    old, new = rules_before.get(changed.key), rules_after.get(changed.key)
    if old is not None and new is not None:
        return is_higher(old.level, new.level)
    others = [rule for key, rule in rules_before.items() if key != changed.key and _overlap(rule, changed)]
    if new is not None:
        return any(is_higher(rule.level, new.level) for rule in others if _is_more_specific(new, rule))
    return old is not None and any(
        is_higher(old.level, rule.level) for rule in others if not _is_more_specific(rule, old)
    )


def _effective(autonomy: Autonomy, overrides: Sequence[AutonomyRule]) -> Mapping[Key, AutonomyRule]:
    """Return the rules by key. An override replaces the file's rule; of several overrides the lowest applies."""
    rules = {_FOR_ALL: _NO_RULE} | {rule.key: rule for rule in autonomy.rules}
    return rules | {rule.key: rule for rule in sorted(overrides, key=lambda rule: rule.level.rank, reverse=True)}


def _is_more_specific(one: AutonomyRule, other: AutonomyRule) -> bool:
    """Return whether `one` is more specific than `other` for every action that both match."""
    if sum(named(one)) != sum(named(other)):
        return sum(named(one)) > sum(named(other))
    return named(one) == named(other) and closeness(one) > closeness(other)


def _overlap(one: AutonomyRule, other: AutonomyRule) -> bool:
    """Return whether both rules may match the same action."""
    (workflow, tool, agent), (other_workflow, other_tool, other_agent) = one.key, other.key
    return _same_or_any(workflow, other_workflow) and _same_or_any(agent, other_agent) and _tools_meet(tool, other_tool)


def _same_or_any(one: str, other: str) -> bool:
    return not one or not other or one == other


def _tools_meet(one: str, other: str) -> bool:
    """Return whether both patterns may cover the same tool; True when that is uncertain. "" covers every tool."""
    if not one or not other:
        return True
    if not is_glob(one):
        return glob_matches(other, one)
    if not is_glob(other):
        return glob_matches(one, other)
    if "*" not in one and "*" not in other and len(one) != len(other):
        return False
    (head, tail), (other_head, other_tail) = _ends(one), _ends(other)
    return _agree(head, other_head) and _agree(tail[::-1], other_tail[::-1])


def _ends(pattern: str) -> tuple[str, str]:
    """Return the text before the first ``*`` and after the last one. A pattern without ``*`` is returned twice."""
    return pattern.partition("*")[0], pattern.rpartition("*")[2]


def _agree(one: str, other: str) -> bool:
    """Return whether one text can start with both patterns, in which ``?`` is any character."""
    return all("?" in {a, b} or a == b for a, b in zip(one, other, strict=False))
