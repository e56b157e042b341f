"""Whether a change of autonomy lets any agent do more than before: that takes a second person."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from placet.core.autonomy import raises, resolve
from placet.core.globs import glob_matches, is_glob
from placet.core.model import Action, Identity, Model, Proposal, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from placet.core.autonomy import Autonomy, AutonomyRule

LOOKS_MAX: Final = 100_000
"""Looks of actions at rules, a tenth of a second; where more would be needed, the change counts as giving more."""
_ANY_CHAR: Final = "x"


def gives_more(
    autonomy: Autonomy, before: Sequence[AutonomyRule], after: Sequence[AutonomyRule], changed: AutonomyRule
) -> bool:
    """Whether an action that the changed rule is for is held to a higher level after than before.

    `before` and `after` are the overrides. Looks at one action for each combination of workflow, tool and agent that
    some rule tells apart from others, so that a rule which names more cannot lift the lower level of one that names
    less.
    """
    rules = (*autonomy.rules, *before, *after)
    workflows = _names(changed.workflow, (rule.workflow for rule in rules))
    agents = _names(changed.agent, (rule.agent for rule in rules))
    tools = {tool for tool in _tools(changed.tool, rules) if not changed.tool or glob_matches(changed.tool, tool)}
    if len(workflows) * len(agents) * len(tools) * len(rules) > LOOKS_MAX:
        return True
    return any(
        raises(resolve(autonomy, before, action).level, resolve(autonomy, after, action).level)
        for action in (_action(*names) for names in product(workflows, agents, tools))
    )


def _names(own: str, others: Iterable[str]) -> set[str]:
    """The name that the rule is for; or each that a rule names, and one that none does."""
    return {own} if own else {"", *others}


def _tools(own: str, rules: Iterable[AutonomyRule]) -> Iterator[str]:
    """Tools that the rules tell apart."""
    yield _shortest(own)
    for rule in rules:
        yield _shortest(rule.tool)
        if own and is_glob(own) and is_glob(rule.tool):  # a tool that both stand for
            yield _before(own) + _after(rule.tool)
            yield _before(rule.tool) + _after(own)
            yield _before(own) + _shortest(rule.tool)
            yield _shortest(rule.tool) + _after(own)


def _shortest(pattern: str) -> str:
    return pattern.replace("*", "").replace("?", _ANY_CHAR)


def _before(pattern: str) -> str:
    return _shortest(pattern.partition("*")[0])


def _after(pattern: str) -> str:
    return _shortest(pattern.rpartition("*")[2])


def _action(workflow: str, agent: str, tool: str) -> Proposal:
    return Proposal(
        idempotency_key="",
        action=Action(tool, b"{}"),
        identity=Identity(agent, ""),
        run=Run(workflow=workflow),
        model=Model(),
        evidence=(),
        document=b"{}",
        action_digest="",
        request_digest="",
    )
