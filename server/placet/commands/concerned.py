"""Keeps people from loosening a control that concerns them, and agents from loosening any control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.errors import PermissionDeniedError
from placet.kernel.reasons import AGENT_MAY_NOT_CHANGE, CONCERNED_MAY_NOT_CHANGE, REFUSALS
from placet.matching.person import same_person

if TYPE_CHECKING:
    from collections.abc import Iterable


def require_unconcerned(actor: str, concerned: Iterable[str], *, is_agent: bool) -> None:
    """Refuse a change that loosens a control when the actor is one of the people concerned, or an agent.

    Raises PermissionDeniedError with the reason CONCERNED_MAY_NOT_CHANGE or AGENT_MAY_NOT_CHANGE. Empty names are
    ignored.
    """
    if any(name and same_person(actor, name) for name in concerned):
        raise PermissionDeniedError(CONCERNED_MAY_NOT_CHANGE, REFUSALS[CONCERNED_MAY_NOT_CHANGE])
    if is_agent:
        raise PermissionDeniedError(AGENT_MAY_NOT_CHANGE, REFUSALS[AGENT_MAY_NOT_CHANGE])
