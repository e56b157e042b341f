"""Changes of an approval: approve, reject, void votes, cancel, expire. All functions are pure.

Each function returns the approval after the change. It raises:

- PermissionDeniedError when this person may not do it,
- FailedPreconditionError when the approval's state does not allow it,
- InvalidRequestError when a required reason is missing.

`groups` are the approver_groups of the tenant's file as it is served now; empty when the file has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.approvals.counted_votes import counted_votes, satisfies
from placet.approvals.eligibility import eligible, may_act_as
from placet.approvals.model import OPEN, ApprovalState, Vote, close, requirement, state_at
from placet.kernel import reasons as refusals
from placet.kernel.errors import FailedPreconditionError, FieldViolation, InvalidRequestError, PermissionDeniedError
from placet.kernel.model import Caller
from placet.kernel.reasons import REFUSALS
from placet.matching.names import folded, same_name
from placet.matching.person import same_person
from placet.matching.role_matching import matched_roles
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.matching.person import Person

    Groups = Mapping[str, Sequence[str]]

_UNKNOWN_CALLER: Final = Caller().name
"""The caller's name when callers are not authenticated. It is not a person."""


def approve(
    approval: Approval, groups: Groups, person: Person, reason: str, now_us: int, seen_digest: str = ""
) -> Approval:
    """Return the approval with one more vote to approve; `approved` once the quorum is reached.

    `seen_digest` is the action_digest that the person was shown; "" skips the check. Only earlier votes that count now
    count for the quorum.
    """
    _require_pending(approval, now_us, person)
    if seen_digest and seen_digest != approval.action_digest:
        raise _failed_precondition(refusals.APPROVAL_DIFFERS)
    roles = _voting_roles(approval, groups, person)
    _require_first_vote(approval, person)
    if approval.override and not reason:
        raise _reason_missing("is required because the action exceeds a budget; say why it should happen anyway")
    counted = counted_votes(approval, groups)
    claims = [*(vote.roles for vote in counted), roles]
    matched = matched_roles(claims, approval.approver_roles, distinct=approval.distinct_roles)
    if matched[-1] is None:
        raise _failed_precondition(refusals.ROLE_VOTED_ALREADY)
    role_of = {vote.person: role for vote, role in zip(counted, matched[:-1], strict=True) if role is not None}
    earlier = (replace(vote, role=role_of.get(vote.person, vote.role)) for vote in approval.votes)
    vote = Vote(person.id, roles, matched[-1], approve=True, reason=redact_text(reason), at_us=now_us)
    votes = (*earlier, vote)
    if sum(role is not None for role in matched) < approval.quorum:
        return replace(approval, votes=votes)
    return replace(approval, votes=votes, state=ApprovalState.APPROVED, decided_at_us=now_us)


def reject(approval: Approval, groups: Groups, person: Person, reason: str, now_us: int) -> Approval:
    """Return the approval with a vote to reject, which ends it."""
    _require_pending(approval, now_us, person)
    roles = _voting_roles(approval, groups, person)
    _require_first_vote(approval, person)
    if not reason:
        raise _reason_missing("is required to reject; say why, so that the requester knows what to change")
    stored_reason = redact_text(reason)
    vote = Vote(person.id, roles, roles[0] if roles else "", approve=False, reason=stored_reason, at_us=now_us)
    voted = replace(approval, votes=(*approval.votes, vote), end_reason=stored_reason)
    return close(voted, ApprovalState.REJECTED, now_us)


def void_votes(approval: Approval, groups: Groups, person: str, reason: str, now_us: int) -> Approval | None:
    """Return the approval with the person's votes to approve voided.

    None when the person has no such vote, and when the approval ended without being used. An approved approval becomes
    pending again when too few votes are left. A used one stays used: a repeat of its allow is evaluated with the votes
    that are left. The person cannot vote on it again.
    """
    to_void = [vote for vote in approval.approvals if not vote.void_reason and same_person(vote.person, person)]
    if not to_void or state_at(approval, now_us) not in {*OPEN, ApprovalState.USED}:
        return None
    void_reason = redact_text(reason)
    votes = tuple(replace(vote, void_reason=void_reason) if vote in to_void else vote for vote in approval.votes)
    after = replace(approval, votes=votes)
    if approval.state is not ApprovalState.APPROVED or satisfies(after, requirement(approval), groups):
        return after
    return replace(after, state=ApprovalState.PENDING, decided_at_us=0, reopened=approval.reopened + 1)


def cancel(approval: Approval, groups: Groups | None, person: Person, reason: str, now_us: int) -> Approval:
    """Return the cancelled approval.

    The user on whose behalf the request was made may cancel it, and everybody who may vote on it. `groups` None means
    that the approvers are unknown: then only the user may cancel.
    """
    state = state_at(approval, now_us)
    if state not in OPEN:
        raise _ended(state)
    user = str(approval.identity["user"])
    is_user = bool(user) and same_person(person.id, user)
    if not is_user and (groups is None or not may_vote(approval, groups, person)):
        raise _permission_denied(refusals.NOT_YOURS_TO_CANCEL)
    return close(replace(approval, end_reason=redact_text(reason)), ApprovalState.CANCELLED, now_us)


def expire(approval: Approval, now_us: int) -> Approval:
    """Return the expired approval. Raises AssertionError when it is not due, or has already ended."""
    if not approval.open or state_at(approval, now_us) is not ApprovalState.EXPIRED:
        raise AssertionError("only an open approval whose time has passed expires")
    return close(approval, ApprovalState.EXPIRED, approval.decided_at_us)


def may_vote(approval: Approval, groups: Groups, person: Person) -> bool:
    """Return whether the person is a possible voter. Votes that were cast, and the state, do not matter."""
    try:
        _voting_roles(approval, groups, person)
    except PermissionDeniedError:
        return False
    return True


def _voting_roles(approval: Approval, groups: Groups, person: Person) -> tuple[str, ...]:
    """Return the roles that the person can vote as. Raises PermissionDeniedError when the person may not vote."""
    identity = approval.identity
    agents = (identity["agent"], *identity["delegation"])
    if any(same_person(person.id, agent) for agent in agents):
        raise _permission_denied(refusals.AGENT_MAY_NOT_APPROVE)
    _require_not_requester(approval, person)
    required = approval.approver_roles
    claimed = may_act_as(groups, person.id, person.roles)
    roles = tuple(role for role in required if any(same_name(role, name) for name in claimed)) if required else claimed
    if required or approval.distinct_roles:
        is_approver = bool(roles)
    else:
        is_approver = not groups or folded(person.id) in eligible(groups, ())
    if not is_approver:
        raise PermissionDeniedError(refusals.ROLE_MAY_NOT_APPROVE, _missing_role(approval, groups, person))
    return roles


def _require_not_requester(approval: Approval, person: Person) -> None:
    """Raise PermissionDeniedError for the user on whose behalf the request was made, and for its caller."""
    user = approval.identity["user"]
    if user and same_person(person.id, user):
        why = f"because it was made on {person.id}'s behalf; cancel it with `placet approvals cancel`"
    elif approval.caller and approval.caller != _UNKNOWN_CALLER and same_person(person.id, approval.caller):
        why = f"because {person.id} sent it; another person must vote"
    else:
        return
    raise PermissionDeniedError(refusals.REQUESTER_MAY_NOT_APPROVE, f"{person.id} cannot vote on this request {why}")


def _missing_role(approval: Approval, groups: Groups, person: Person) -> str:
    """Return why the person may not vote: the roles that may, and the roles that the person named."""
    voters = f"{' or '.join(approval.approver_roles) or 'any role'} may"
    listed = ", if the tenant's approver_groups list the person" if groups else ""
    named = ", ".join(person.roles) or "no role"
    return f"{REFUSALS[refusals.ROLE_MAY_NOT_APPROVE]}: {voters}{listed}; {person.id} named {named}"


def _require_pending(approval: Approval, now_us: int, person: Person) -> None:
    state = state_at(approval, now_us)
    if state is ApprovalState.APPROVED:
        prefix = "you have voted, and it is " if _has_voted(approval, person) else ""
        raise FailedPreconditionError(refusals.APPROVAL_DECIDED, f"{prefix}{REFUSALS[refusals.APPROVAL_DECIDED]}")
    if state is not ApprovalState.PENDING:
        raise _ended(state)


def _require_first_vote(approval: Approval, person: Person) -> None:
    if _has_voted(approval, person):
        raise _failed_precondition(refusals.VOTED_ALREADY)


def _has_voted(approval: Approval, person: Person) -> bool:
    return any(same_person(person.id, vote.person) for vote in approval.votes)


def _ended(state: ApprovalState) -> FailedPreconditionError:
    return FailedPreconditionError(refusals.APPROVAL_ENDED, f"{REFUSALS[refusals.APPROVAL_ENDED]}; it is {state}")


def _failed_precondition(reason: str) -> FailedPreconditionError:
    return FailedPreconditionError(reason, REFUSALS[reason])


def _permission_denied(reason: str) -> PermissionDeniedError:
    return PermissionDeniedError(reason, REFUSALS[reason])


def _reason_missing(description: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation("reason", description)])
