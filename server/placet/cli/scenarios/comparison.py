"""Compares an answer with what a step's keys expect beside the effect and the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from placet.cli.scenarios.api import Answer
    from placet.cli.scenarios.steps import Call

ABSENT: Final = "<absent>"
"""In `audit`: the record has nothing at this path."""


def differences(step: Call, answer: Answer, recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence per key of the step that differs: the key, the expected value and the actual one."""
    return tuple(
        f"{key}: expected {expected!r}, got {actual!r}"
        for key, expected, actual in _compared(step, answer, recorded)
        if expected != actual
    )


def _compared(step: Call, answer: Answer, recorded: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """Each key that the step has, with the expected and the actual value."""
    for budget_id, left in step.remaining.items():
        yield f"remaining.{budget_id}", left, answer.remaining.get(budget_id)
    if step.reason is not None:
        yield "reason", step.reason, answer.reason
    if step.quorum is not None:
        yield "quorum", step.quorum, answer.approval and answer.approval.quorum
    if step.approver_roles is not None:
        yield "approver_roles", step.approver_roles, answer.approval and answer.approval.approver_roles
    if step.autonomy is not None:
        yield "autonomy", step.autonomy, answer.autonomy
    if step.shadow_effect is not None:
        yield "shadow_effect", step.shadow_effect, answer.shadow_effect
    for path, expected in step.audit.items():
        yield f"audit.{path}", expected, at(recorded, path)


def at(document: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """The value at a dotted path; ABSENT when there is none."""
    for part in path.split("."):
        if isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            return ABSENT
    return document
