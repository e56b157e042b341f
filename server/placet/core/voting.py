"""What people do to an approval: vote for it, vote against it, withdraw it. And what time does.

Each gives the approval as it is then, or raises why that cannot be: NotPermittedError for this person, NotNowError as
things stand, InvalidRequestError for a reason that is missing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.core import refusals
from placet.core.approval import ApprovalState, Vote, ended, state_at
from placet.core.approver_groups import eligible, may_act_as
from placet.core.errors import FieldViolation, InvalidRequestError, NotNowError, NotPermittedError
from placet.core.model import Caller
from placet.core.person import same_person
from placet.core.redact import redact_text
from placet.core.refusals import REFUSALS
from placet.core.role_matching import matched_roles

if TYPE_CHECKING:
    from placet.core.approval import Approval
    from placet.core.person import Person

_NOBODY: Final = Caller().name
"""The caller's name where callers are not known: no person."""


def approved(approval: Approval, person: Person, reason: str, now_us: int, seen_digest: str = "") -> Approval:
    """With a vote for it. `seen_digest` is the action_digest that the person was shown, "" when it is not said."""
    _require_pending(approval, now_us)
    if seen_digest and seen_digest != approval.action_digest:
        raise _not_now(refusals.APPROVAL_DIFFERS)
    roles = _voting_roles(approval, person)
    _require_first_vote(approval, person)
    if approval.override and not reason:
        raise _reason_missing("a budget is exceeded: say why the action shall happen all the same")
    claims = [*(vote.roles for vote in approval.approvals), roles]
    counted = matched_roles(claims, approval.approver_roles, distinct=approval.distinct_roles)
    if None in counted:
        raise _not_now(refusals.ROLE_VOTED_ALREADY)
    vote = Vote(person.id, roles, "", approve=True, reason=redact_text(reason), at_us=now_us)
    votes = tuple(replace(each, role=role or "") for each, role in zip((*approval.votes, vote), counted, strict=True))
    if len(votes) < approval.quorum:
        return replace(approval, votes=votes)
    return replace(approval, votes=votes, state=ApprovalState.APPROVED, decided_at_us=now_us)


def rejected(approval: Approval, person: Person, reason: str, now_us: int) -> Approval:
    """With a vote against it, which ends it."""
    _require_pending(approval, now_us)
    roles = _voting_roles(approval, person)
    _require_first_vote(approval, person)
    if not reason:
        raise _reason_missing("is required: say why not, so that whoever asked knows what to change")
    said = redact_text(reason)
    vote = Vote(person.id, roles, roles[0] if roles else "", approve=False, reason=said, at_us=now_us)
    voted = replace(approval, votes=(*approval.votes, vote), end_reason=said)
    return ended(voted, ApprovalState.REJECTED, now_us)


def cancelled(approval: Approval, person: Person, reason: str, now_us: int) -> Approval:
    """Withdrawn, by the user on whose behalf it was asked or by somebody who may vote."""
    state = state_at(approval, now_us)
    if state not in {ApprovalState.PENDING, ApprovalState.APPROVED}:
        raise _ended(state)
    user = str(approval.identity["user"])
    if not (user and same_person(person.id, user)) and not may_vote(approval, person):
        raise _not_permitted(refusals.NOT_YOURS_TO_CANCEL)
    return ended(replace(approval, end_reason=redact_text(reason)), ApprovalState.CANCELLED, now_us)


def expired(approval: Approval, now_us: int) -> Approval:
    """Its time is over. AssertionError when it is not, or when it had ended before."""
    if not approval.open or state_at(approval, now_us) is not ApprovalState.EXPIRED:
        raise AssertionError("an open approval expires at its time")
    return ended(approval, ApprovalState.EXPIRED, approval.decided_at_us)


def may_vote(approval: Approval, person: Person) -> bool:
    """Whether the person is one of those who decide, whatever was voted so far."""
    try:
        _voting_roles(approval, person)
    except NotPermittedError:
        return False
    return True


def _voting_roles(approval: Approval, person: Person) -> tuple[str, ...]:
    """The roles that the person can vote as. NotPermittedError when it may not vote at all."""
    identity = approval.identity
    agents = (identity["agent"], *identity["delegation"])
    if any(same_person(person.id, agent) for agent in agents):
        raise _not_permitted(refusals.AGENT_MAY_NOT_APPROVE)
    askers = [identity["user"], *([] if approval.caller == _NOBODY else [approval.caller])]
    if any(asker and same_person(person.id, asker) for asker in askers):
        raise _not_permitted(refusals.REQUESTER_MAY_NOT_APPROVE)
    wanted, groups = approval.approver_roles, approval.approver_groups
    roles = tuple(role for role in may_act_as(groups, person.id, person.roles) if not wanted or role in wanted)
    by_role = bool(wanted) or approval.distinct_roles
    if not (roles if by_role else not groups or person.id in eligible(groups, ())):
        raise _not_permitted(refusals.ROLE_MAY_NOT_APPROVE)
    return roles


def _require_pending(approval: Approval, now_us: int) -> None:
    state = state_at(approval, now_us)
    if state is ApprovalState.APPROVED:
        raise _not_now(refusals.APPROVAL_DECIDED)
    if state is not ApprovalState.PENDING:
        raise _ended(state)


def _require_first_vote(approval: Approval, person: Person) -> None:
    if any(same_person(person.id, vote.person) for vote in approval.votes):
        raise _not_now(refusals.VOTED_ALREADY)


def _ended(state: ApprovalState) -> NotNowError:
    return NotNowError(refusals.APPROVAL_ENDED, f"{REFUSALS[refusals.APPROVAL_ENDED]}; it is {state}")


def _not_now(reason: str) -> NotNowError:
    return NotNowError(reason, REFUSALS[reason])


def _not_permitted(reason: str) -> NotPermittedError:
    return NotPermittedError(reason, REFUSALS[reason])


def _reason_missing(what: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation("reason", what)])
