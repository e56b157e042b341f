"""What people do to an approval: vote for it, vote against it, withdraw it. And what time does.

Each gives the approval as it is then, or raises why that cannot be: PermissionDeniedError for this person,
FailedPreconditionError as
things stand, InvalidRequestError for a reason that is missing. `groups` are the approver_groups of the tenant's file as
it is served now, empty where it names none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.approvals.eligibility import eligible, may_act_as
from placet.approvals.model import OPEN, ApprovalState, Vote, ended, requirement, state_at
from placet.approvals.standing_votes import covers, standing_votes
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

_NOBODY: Final = Caller().name
"""The caller's name where callers are not known: no person."""


def approved(
    approval: Approval, groups: Groups, person: Person, reason: str, now_us: int, seen_digest: str = ""
) -> Approval:
    """With a vote for it. `seen_digest` is the action_digest that the person was shown, "" when it is not said.

    Of the votes before, those count that count today.
    """
    _require_pending(approval, now_us, person)
    if seen_digest and seen_digest != approval.action_digest:
        raise _not_now(refusals.APPROVAL_DIFFERS)
    roles = _voting_roles(approval, groups, person)
    _require_first_vote(approval, person)
    if approval.override and not reason:
        raise _reason_missing("a budget is exceeded: say why the action shall happen all the same")
    standing = standing_votes(approval, groups)
    claims = [*(vote.roles for vote in standing), roles]
    counted = matched_roles(claims, approval.approver_roles, distinct=approval.distinct_roles)
    if counted[-1] is None:
        raise _not_now(refusals.ROLE_VOTED_ALREADY)
    as_role = {vote.person: role for vote, role in zip(standing, counted[:-1], strict=True) if role is not None}
    before = (replace(vote, role=as_role.get(vote.person, vote.role)) for vote in approval.votes)
    vote = Vote(person.id, roles, counted[-1], approve=True, reason=redact_text(reason), at_us=now_us)
    votes = (*before, vote)
    if sum(role is not None for role in counted) < approval.quorum:
        return replace(approval, votes=votes)
    return replace(approval, votes=votes, state=ApprovalState.APPROVED, decided_at_us=now_us)


def rejected(approval: Approval, groups: Groups, person: Person, reason: str, now_us: int) -> Approval:
    """With a vote against it, which ends it."""
    _require_pending(approval, now_us, person)
    roles = _voting_roles(approval, groups, person)
    _require_first_vote(approval, person)
    if not reason:
        raise _reason_missing("is required: say why not, so that whoever asked knows what to change")
    said = redact_text(reason)
    vote = Vote(person.id, roles, roles[0] if roles else "", approve=False, reason=said, at_us=now_us)
    voted = replace(approval, votes=(*approval.votes, vote), end_reason=said)
    return ended(voted, ApprovalState.REJECTED, now_us)


def voided(approval: Approval, groups: Groups, person: str, reason: str, now_us: int) -> Approval | None:
    """With the votes for it of a person counting no longer; None when no vote of that person counts, or it has ended.

    It waits again when those that are left are too few. The person does not vote on it again. One that was used stays
    so: an allow that is asked for again is judged by the votes that are left.
    """
    theirs = [vote for vote in approval.approvals if not vote.void_reason and same_person(vote.person, person)]
    if not theirs or state_at(approval, now_us) not in {*OPEN, ApprovalState.USED}:
        return None
    why = redact_text(reason)
    votes = tuple(replace(vote, void_reason=why) if vote in theirs else vote for vote in approval.votes)
    after = replace(approval, votes=votes)
    if approval.state is not ApprovalState.APPROVED or covers(after, requirement(approval), groups):
        return after
    return replace(after, state=ApprovalState.PENDING, decided_at_us=0, reopened=approval.reopened + 1)


def cancelled(approval: Approval, groups: Groups | None, person: Person, reason: str, now_us: int) -> Approval:
    """Withdrawn, by the user on whose behalf it was asked or by somebody who may vote.

    `groups` None: nobody can tell who may.
    """
    state = state_at(approval, now_us)
    if state not in OPEN:
        raise _ended(state)
    user = str(approval.identity["user"])
    theirs = bool(user) and same_person(person.id, user)
    if not theirs and (groups is None or not may_vote(approval, groups, person)):
        raise _not_permitted(refusals.NOT_YOURS_TO_CANCEL)
    return ended(replace(approval, end_reason=redact_text(reason)), ApprovalState.CANCELLED, now_us)


def expired(approval: Approval, now_us: int) -> Approval:
    """Its time is over. AssertionError when it is not, or when it had ended before."""
    if not approval.open or state_at(approval, now_us) is not ApprovalState.EXPIRED:
        raise AssertionError("an open approval expires at its time")
    return ended(approval, ApprovalState.EXPIRED, approval.decided_at_us)


def may_vote(approval: Approval, groups: Groups, person: Person) -> bool:
    """Whether the person is one of those who decide, whatever was voted so far."""
    try:
        _voting_roles(approval, groups, person)
    except PermissionDeniedError:
        return False
    return True


def _voting_roles(approval: Approval, groups: Groups, person: Person) -> tuple[str, ...]:
    """The roles that the person can vote as. PermissionDeniedError when it may not vote at all."""
    identity = approval.identity
    agents = (identity["agent"], *identity["delegation"])
    if any(same_person(person.id, agent) for agent in agents):
        raise _not_permitted(refusals.AGENT_MAY_NOT_APPROVE)
    askers = [identity["user"], *([] if approval.caller == _NOBODY else [approval.caller])]
    if any(asker and same_person(person.id, asker) for asker in askers):
        raise _not_permitted(refusals.REQUESTER_MAY_NOT_APPROVE)
    wanted = approval.approver_roles
    claimed = may_act_as(groups, person.id, person.roles)
    roles = tuple(role for role in wanted if any(same_name(role, each) for each in claimed)) if wanted else claimed
    by_role = bool(wanted) or approval.distinct_roles
    if not (roles if by_role else not groups or folded(person.id) in eligible(groups, ())):
        raise PermissionDeniedError(refusals.ROLE_MAY_NOT_APPROVE, _who_may(approval, groups, person))
    return roles


def _who_may(approval: Approval, groups: Groups, person: Person) -> str:
    """Why the person may not decide: which roles may, and which it named."""
    may = f"{' or '.join(approval.approver_roles) or 'any role'} may"
    listed = ", by the persons that the tenant's approver_groups list" if groups else ""
    named = ", ".join(person.roles) or "no role"
    return f"{REFUSALS[refusals.ROLE_MAY_NOT_APPROVE]}: {may}{listed}; {person.id} named {named}"


def _require_pending(approval: Approval, now_us: int, person: Person) -> None:
    state = state_at(approval, now_us)
    if state is ApprovalState.APPROVED:
        yours = "you have voted, and it is " if _has_voted(approval, person) else ""
        raise FailedPreconditionError(refusals.APPROVAL_DECIDED, f"{yours}{REFUSALS[refusals.APPROVAL_DECIDED]}")
    if state is not ApprovalState.PENDING:
        raise _ended(state)


def _require_first_vote(approval: Approval, person: Person) -> None:
    if _has_voted(approval, person):
        raise _not_now(refusals.VOTED_ALREADY)


def _has_voted(approval: Approval, person: Person) -> bool:
    return any(same_person(person.id, vote.person) for vote in approval.votes)


def _ended(state: ApprovalState) -> FailedPreconditionError:
    return FailedPreconditionError(refusals.APPROVAL_ENDED, f"{REFUSALS[refusals.APPROVAL_ENDED]}; it is {state}")


def _not_now(reason: str) -> FailedPreconditionError:
    return FailedPreconditionError(reason, REFUSALS[reason])


def _not_permitted(reason: str) -> PermissionDeniedError:
    return PermissionDeniedError(reason, REFUSALS[reason])


def _reason_missing(what: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation("reason", what)])
