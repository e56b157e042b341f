"""Binds an approval to one exact action.

Agent, user, delegation and roles are names: another spelling of a name is still the same action. Everything else must
match exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import orjson
from msgspec import structs

from placet.actions.canonical_json import digest
from placet.actions.document import action_binding, action_fields, bound_identity_fields
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.kernel.model import Identity, Proposal

_PART_DIGEST_CHARS: Final = 16
"""Enough to tell two values apart. The binding itself compares whole digests."""
_FOLDED: Final = "folded"
"""The key of the whole digest of the action with all names folded. Approvals of older versions lack it."""


_CHAIN: Final = "delegation_chain"
"""The one part that an action may lack."""


class Bound(Protocol):
    """The part of an `Approval` that binds it to its action."""

    @property
    def action_digest(self) -> str:
        """The digest of the action, with names as the request spells them."""
        ...

    @property
    def parts(self) -> Mapping[str, str]:
        """The digests of `binding_parts`; empty once the approval has ended."""
        ...


def binding_parts(proposal: Proposal) -> dict[str, str]:
    """Return a short digest for each part of the action, and the whole digest with all names folded."""
    return {**_parts(proposal), _FOLDED: folded_digest(proposal)}


def folded_digest(proposal: Proposal) -> str:
    """Return the action_digest of the action with all names folded. It is the same for all spellings of the names."""
    identity = _folded(proposal.identity)
    if identity == proposal.identity:
        return proposal.action_digest
    return digest(action_binding(proposal.action, identity, proposal.run))


def is_bound_to(approval: Bound, proposal: Proposal) -> bool:
    """Return whether the approval is for this action.

    Once the approval has ended, names must be spelled as in its own request, because its parts are gone.
    """
    if approval.action_digest == proposal.action_digest:
        return True
    return folded_digest(proposal) in {approval.action_digest, approval.parts.get(_FOLDED)}


def differing_parts(approval: Bound, proposal: Proposal) -> tuple[str, ...]:
    """Return the names of the parts in which the action differs from the approved one.

    Empty once the approval has ended.
    """
    before, parts = dict(approval.parts), _parts(proposal)
    if before and (_CHAIN in before) != (_CHAIN in parts):
        before.setdefault(_CHAIN, "")
        parts.setdefault(_CHAIN, "")
    return tuple(name for name, part in parts.items() if before.get(name, part) != part)


def _parts(proposal: Proposal) -> dict[str, str]:
    parts = {
        **action_fields(proposal.action),
        **bound_identity_fields(proposal.identity),
        "run_id": proposal.run.run_id,
    }
    parts.setdefault("amount", None)
    return {
        name: digest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))[:_PART_DIGEST_CHARS]
        for name, value in sorted(parts.items())
    }


def _folded(identity: Identity) -> Identity:
    return structs.replace(
        identity,
        agent=folded(identity.agent),
        user=folded(identity.user),
        roles=tuple(sorted({folded(role) for role in identity.roles})),
        delegation=tuple(folded(agent) for agent in identity.delegation),
        delegation_chain=tuple(
            structs.replace(hop, principal=folded(hop.principal)) for hop in identity.delegation_chain
        ),
    )
