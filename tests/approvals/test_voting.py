"""The life of an approval, by any sequence of what people and time do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from placet.approvals.counted_votes import approvers, counted_votes, document, satisfies
from placet.approvals.model import (
    Approval,
    ApprovalState,
    approval_id_of,
    consume,
    from_row,
    state_at,
    to_row,
    why_unusable,
)
from placet.approvals.transitions import approve, cancel, expire, may_vote, reject, void_votes
from placet.kernel.errors import FailedPreconditionError, InvalidRequestError, PermissionDeniedError
from placet.kernel.model import Action, ApprovalRequirement, Effect, Finding, Identity, Model, Proposal, Run
from placet.matching.person import Person, same_person
from placet.matching.role_matching import matched_roles

REFUSED = (InvalidRequestError, FailedPreconditionError, PermissionDeniedError)
ROLES = ("lead", "legal", "finance")
PEOPLE = ("u_1", "u_2", "u_3", "u_4", "asker", "bot", "planner")
NOBODYS = {"asker", "bot", "planner"}
SECOND_US = 1_000_000
ENDS_AT_US = 100 * SECOND_US

people = st.builds(
    lambda name, roles: Person(name, tuple(sorted(roles))), st.sampled_from(PEOPLE), st.sets(st.sampled_from(ROLES))
)


def opened(quorum: int, roles: tuple[str, ...], **more: Any) -> Approval:
    said: dict[str, Any] = {
        "approval_id": approval_id_of("dec_" + "0" * 32),
        "tenant": "acme",
        "decision_id": "dec_" + "0" * 32,
        "state": ApprovalState.PENDING,
        "rule_id": "pay.large",
        "reason": "Much",
        "findings": (Finding(Effect.REQUIRE_APPROVAL, "pay.large", "Much", {"quorum": quorum}),),
        "policy_revision": "rev1",
        "action_digest": "d" * 64,
        "parts": {"tool": "a"},
        "quorum": quorum,
        "approver_roles": roles,
        "distinct_roles": False,
        "caller": "unauthenticated",
        "idempotency_key": "k",
        "action": {"tool": "pay", "params": {}},
        "identity": {"agent": "bot", "user": "asker", "roles": [], "tenant": "acme", "delegation": ["planner"]},
        "run": {"run_id": ""},
        "model": {},
        "params": b"{}",
        "redacted": False,
        "budgets": (),
        "override": False,
        "created_at_us": 1,
        "expires_at_us": ENDS_AT_US,
    }
    return Approval(**{**said, **more})


files = st.dictionaries(st.sampled_from(ROLES), st.lists(st.sampled_from(PEOPLE), max_size=4).map(tuple))


def asked(approval: Approval) -> ApprovalRequirement:
    return ApprovalRequirement(approval.quorum, approval.approver_roles, distinct_roles=approval.distinct_roles)


class Life(RuleBasedStateMachine):
    """One approval, while the tenant's file changes; what cannot be done changes nothing."""

    approval: Approval
    groups: dict[str, tuple[str, ...]]
    now_us = 1

    @initialize(
        quorum=st.integers(1, 3),
        roles=st.sets(st.sampled_from(ROLES)),
        distinct=st.booleans(),
        override=st.booleans(),
        groups=files,
    )
    def open(
        self, quorum: int, roles: set[str], groups: dict[str, tuple[str, ...]], *, distinct: bool, override: bool
    ) -> None:
        wanted = tuple(sorted(roles))
        self.groups = groups
        self.approval = opened(quorum, wanted, distinct_roles=distinct, override=override)

    @rule(person=people, reason=st.sampled_from(["", "because"]), no=st.booleans())
    def vote(self, person: Person, reason: str, *, no: bool) -> None:
        before = self.approval
        try:
            self.approval = (reject if no else approve)(before, self.groups, person, reason, self.now_us)
        except REFUSED:
            return
        assert before.state is ApprovalState.PENDING
        assert self.now_us < ENDS_AT_US
        assert person.id not in NOBODYS
        assert not any(same_person(person.id, vote.person) for vote in before.votes)
        assert reason or not (no or before.override)
        assert may_vote(before, self.groups, person)
        assert len(self.approval.votes) == len(before.votes) + 1
        enough = satisfies(self.approval, asked(self.approval), self.groups)
        assert no or (self.approval.state is ApprovalState.APPROVED) == enough

    @rule(groups=files)
    def change_the_file(self, groups: dict[str, tuple[str, ...]]) -> None:
        self.groups = groups

    @rule(person=st.sampled_from(PEOPLE))
    def void(self, person: str) -> None:
        before = self.approval
        after = void_votes(before, self.groups, person.upper(), "stolen", self.now_us)
        theirs = [vote for vote in before.approvals if vote.person == person and not vote.void_reason]
        lapsed = state_at(before, self.now_us) is not before.state
        voidable = before.open or before.state is ApprovalState.USED
        assert (after is None) == (not theirs or lapsed or not voidable)
        if after is None:
            return
        self.approval = after
        assert person not in approvers(after, self.groups)
        waits = before.state is ApprovalState.APPROVED and not satisfies(after, asked(after), self.groups)
        assert after.reopened == before.reopened + waits
        assert (after.state is ApprovalState.PENDING) == (waits or before.state is ApprovalState.PENDING)

    @rule(person=people)
    def cancel(self, person: Person) -> None:
        before = self.approval
        try:
            self.approval = cancel(before, self.groups, person, "", self.now_us)
        except REFUSED:
            return
        assert before.open
        assert person.id == "asker" or may_vote(before, self.groups, person)

    @rule()
    @precondition(lambda self: self.approval.state is ApprovalState.APPROVED and self.now_us < ENDS_AT_US)
    def use(self) -> None:
        self.approval = consume(self.approval, "dec_1", self.now_us)

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now_us += seconds * SECOND_US

    @rule()
    @precondition(lambda self: self.approval.open and self.now_us >= ENDS_AT_US)
    def expire(self) -> None:
        self.approval = expire(self.approval, self.now_us)

    @invariant()
    def votes_that_count_are_of_distinct_people_who_have_the_right_roles_today(self) -> None:
        approval = self.approval
        votes = counted_votes(approval, self.groups)
        assert len({vote.person for vote in approval.votes}) == len(approval.votes)
        for vote in votes:
            assert not vote.void_reason
            wanted = approval.approver_roles or vote.roles or tuple(self.groups)
            lists = [self.groups.get(role, ()) for role in wanted]
            assert not self.groups or any(vote.person in persons for persons in lists)
        roles = approval.approver_roles
        assert not satisfies(approval, ApprovalRequirement(len(votes) + 1, roles), self.groups)
        counted = matched_roles([vote.roles for vote in votes], roles, distinct=approval.distinct_roles)
        enough = sum(role is not None for role in counted) >= approval.quorum
        assert satisfies(approval, asked(approval), self.groups) == enough

    @invariant()
    def what_has_ended_keeps_no_parameters_and_stays_as_it_is(self) -> None:
        assert (self.approval.params is None) == (not self.approval.open)
        assert (to_row(self.approval).due_at_us == 0) == (not self.approval.open)
        expires = self.approval.open and self.now_us >= ENDS_AT_US
        assert state_at(self.approval, self.now_us) is (ApprovalState.EXPIRED if expires else self.approval.state)

    @invariant()
    def it_comes_back_from_its_row(self) -> None:
        assert from_row(to_row(self.approval)) == self.approval


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
TestLife = Life.TestCase


@given(claims=st.lists(st.sets(st.sampled_from(ROLES)).map(sorted), max_size=5), wanted=st.sets(st.sampled_from(ROLES)))
def test_as_many_votes_as_possible_get_a_role_of_their_own(claims: list[list[str]], wanted: set[str]) -> None:
    found = matched_roles(claims, tuple(wanted), distinct=True)
    given_roles = [role for role in found if role is not None]
    assert len(set(given_roles)) == len(given_roles) == best(claims, wanted or set(ROLES))
    for role, claim in zip(found, claims, strict=True):
        assert role is None or (role in claim and (not wanted or role in wanted))


def best(claims: list[list[str]], free: set[str]) -> int:
    """By trying everything."""
    if not claims:
        return 0
    tries = [best(claims[1:], free)]
    tries += [1 + best(claims[1:], free - {role}) for role in claims[0] if role in free]
    return max(tries)


def test_what_policy_sees_of_an_approval() -> None:
    approval = approve(opened(1, ()), {}, Person("u_2"), "", 5)
    assert document(approval, {}) == {
        "id": approval.approval_id,
        "approvers": ["u_2"],
        "quorum": 1,
        "created_at": "1970-01-01T00:00:00.000001Z",
    }


def test_an_approval_that_nobody_wrote_down_as_expired_is_of_no_use() -> None:
    approval = approve(opened(1, ()), {}, Person("u_2"), "", 5)
    proposal = Proposal("k", Action("pay", b"{}"), Identity("bot", "acme"), Run(), Model(), (), b"{}", "d" * 64, "")
    assert why_unusable(approval, proposal, ENDS_AT_US - 1) is None
    assert why_unusable(approval, proposal, ENDS_AT_US) == (
        "approvals.expired",
        "The approval expired before it was decided or used",
    )


def test_the_requirement_names_roles_that_the_votes_must_have() -> None:
    approval = approve(opened(1, ()), {}, Person("u_2", ("lead",)), "", 5)
    assert satisfies(approval, ApprovalRequirement(1, ("lead",)), {})
    assert not satisfies(approval, ApprovalRequirement(1, ("legal",)), {})


@pytest.mark.parametrize("name", ["Lena", " LENA", "\uff4cena", "l\u0435na", "le\u3164na"])
@pytest.mark.parametrize("role", ["Lead", "LEAD ", "l\u0435ad"])
def test_a_person_and_a_role_are_the_same_in_every_spelling(name: str, role: str) -> None:
    approval = opened(2, ("lead",))
    groups = {"Lead": ("LENA", "luis")}
    voted = approve(approval, groups, Person(name, (role,)), "", 2)
    assert [vote.role for vote in voted.votes] == ["lead"]
    with pytest.raises(FailedPreconditionError, match="you have already voted"):
        approve(voted, groups, Person("lena", ("lead",)), "", 3)
    assert satisfies(approve(voted, groups, Person("Luis", ("lead",)), "", 3), asked(approval), groups)
    with pytest.raises(PermissionDeniedError):
        approve(voted, groups, Person("lenard", ("lead",)), "", 3)


@pytest.mark.parametrize("name", ["Asker", "\uff41sker", "\u0430sker", "as\u034fker", "BOT", "b\u043et", "Planner "])
def test_who_asks_does_not_decide_in_any_spelling(name: str) -> None:
    with pytest.raises(PermissionDeniedError):
        approve(opened(1, ("lead",)), {}, Person(name, ("lead",)), "", 2)
