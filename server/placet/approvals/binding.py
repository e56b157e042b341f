"""What an approval is bound to: one exact action, whatever spelling the names in it have.

Agent, user, delegation and roles are names, so another spelling of them is no other action. All else is exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from placet.actions.canonical_json import digest
from placet.actions.document import action_binding, action_fields, identity_fields
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.kernel.model import Identity, Proposal

_PART_DIGEST_CHARS: Final = 16
"""Enough to tell two values apart; what an approval is bound to are whole digests."""
_FOLDED: Final = "folded"
"""Beside the parts: the whole digest of the action with all names folded. Approvals of before have none."""


class Bound(Protocol):
    """What is bound to an action: an `Approval`. `parts` are those of `binding_parts`, none once it has ended."""

    @property
    def action_digest(self) -> str:
        """The digest of the action in the spelling that it was asked for in."""
        ...

    @property
    def parts(self) -> Mapping[str, str]:
        """Part of the action -> short digest."""
        ...


def binding_parts(proposal: Proposal) -> dict[str, str]:
    """Part of what an approval is bound to -> short digest; and the whole one of all with the names folded."""
    return {**_parts(proposal), _FOLDED: folded_digest(proposal)}


def folded_digest(proposal: Proposal) -> str:
    """The action_digest that the action has in the one spelling that all spellings of its names have in common."""
    identity = _folded(proposal.identity)
    if identity == proposal.identity:
        return proposal.action_digest
    return digest(action_binding(proposal.action, identity, proposal.run))


def is_bound_to(approval: Bound, proposal: Proposal) -> bool:
    """Whether the approval is for this action. Once it has ended, for this action in the same spelling."""
    if approval.action_digest == proposal.action_digest:
        return True
    return folded_digest(proposal) in {approval.action_digest, approval.parts.get(_FOLDED)}


def differing(approval: Bound, proposal: Proposal) -> tuple[str, ...]:
    """Names of the parts in which the action is another than the approved one; empty once the approval has ended."""
    return tuple(name for name, part in _parts(proposal).items() if approval.parts.get(name, part) != part)


def _parts(proposal: Proposal) -> dict[str, str]:
    said = {
        **action_fields(proposal.action),
        **identity_fields(proposal.identity),
        "run_id": proposal.run.run_id,
    }
    said.setdefault("amount", None)
    return {
        name: digest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))[:_PART_DIGEST_CHARS]
        for name, value in sorted(said.items())
    }


def _folded(identity: Identity) -> Identity:
    return replace(
        identity,
        agent=folded(identity.agent),
        user=folded(identity.user),
        roles=tuple(sorted({folded(role) for role in identity.roles})),
        delegation=tuple(folded(agent) for agent in identity.delegation),
    )
