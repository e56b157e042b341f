"""Whether a change of autonomy may let any agent do more than before: that takes a second person.

Proven from the rules, not tried on examples: where a pattern could cover an action for which another rule holds, it
counts as covering one. So a change that lets nobody do more may take two people; one that does never takes one.
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
"""What holds where no rule does."""


def widens(
    autonomy: Autonomy, before: Sequence[AutonomyRule], after: Sequence[AutonomyRule], changed: AutonomyRule
) -> bool:
    """Whether an action that the changed rule is for may be held to a higher level after than before.

    `before` and `after` are the overrides; they differ in the rule for the same as `changed` alone.
    """
    rules_before, rules_after = _effective(autonomy, before), _effective(autonomy, after)
    was, will = rules_before.get(changed.key), rules_after.get(changed.key)
    if was is not None and will is not None:
        return is_higher(was.level, will.level)
    others = [rule for key, rule in rules_before.items() if key != changed.key and _overlap(rule, changed)]
    if will is not None:
        return any(is_higher(rule.level, will.level) for rule in others if _wins(will, rule))
    return was is not None and any(is_higher(was.level, rule.level) for rule in others if not _wins(rule, was))


def _effective(autonomy: Autonomy, overrides: Sequence[AutonomyRule]) -> Mapping[Key, AutonomyRule]:
    """The rules by what they are for: an override in place of the file's, the lowest of several."""
    rules = {_FOR_ALL: _NO_RULE} | {rule.key: rule for rule in autonomy.rules}
    return rules | {rule.key: rule for rule in sorted(overrides, key=lambda rule: rule.level.rank, reverse=True)}


def _wins(one: AutonomyRule, other: AutonomyRule) -> bool:
    """Whether `one` holds, and `other` does not, wherever both are for an action."""
    if sum(named(one)) != sum(named(other)):
        return sum(named(one)) > sum(named(other))
    return named(one) == named(other) and closeness(one) > closeness(other)


def _overlap(one: AutonomyRule, other: AutonomyRule) -> bool:
    """Whether both may be for one action."""
    (workflow, tool, agent), (other_workflow, other_tool, other_agent) = one.key, other.key
    return _same_or_any(workflow, other_workflow) and _same_or_any(agent, other_agent) and _tools_meet(tool, other_tool)


def _same_or_any(one: str, other: str) -> bool:
    return not one or not other or one == other


def _tools_meet(one: str, other: str) -> bool:
    """Whether both may cover one tool; True where that is not plain. "" covers every tool."""
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
    """What stands before the first ``*`` and after the last; twice all of a pattern that has none."""
    return pattern.partition("*")[0], pattern.rpartition("*")[2]


def _agree(one: str, other: str) -> bool:
    """Whether one text may begin as both say, ``?`` being any character."""
    return all("?" in {a, b} or a == b for a, b in zip(one, other, strict=False))
