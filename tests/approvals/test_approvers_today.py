"""Who is an approver today decides: at each vote, and when the approval is used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.approvals.counted_votes import NO_LONGER_APPROVER
from placet.approvals.model import ApprovalState, approval_key, from_row
from placet.approvals.vote_voiding import Voiding, VoteVoiding
from placet.audit.records import RecordKind
from placet.kernel import reasons as refusals
from placet.kernel import rule_ids
from placet.kernel.errors import FailedPreconditionError, LedgerUnavailableError, NotFoundError, PermissionDeniedError
from placet.kernel.model import Caller, Effect, Finding
from placet.kernel.state import RowQuery, StateTable
from placet.matching.person import Person
from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub
from tests.support.decision_env import DecisionEnv, effects_of, policies
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, new_request, verdict

if TYPE_CHECKING:
    from placet.approvals.model import Approval
    from placet.approvals.vote_voiding import Voided
    from placet.kernel.model import Decision

GRANTED = ("allow", "approvals.granted")
ONE = Finding(Effect.REQUIRE_APPROVAL, "pay.one", "A person must agree", {"quorum": 1, "approver_roles": ["lead"]})
ANYBODY = Finding(Effect.REQUIRE_APPROVAL, "pay.any", "Anybody must agree", {"quorum": 1, "approver_roles": []})
LENA, LUIS, NORA = (Person(name, ("lead",)) for name in ("lena", "luis", "nora"))
ADA = Person("ada")


def env(*finding: Finding, **groups: list[str]) -> DecisionEnv:
    made = DecisionEnv(say=lambda _: verdict(ALLOWED, *(finding or (ONE,))), approver_groups=groups)
    made.approvals = type(made.approvals)(made.ledger, made.source, made.clock, notify=True)
    return made


def name(made: DecisionEnv, **groups: list[str]) -> None:
    """From now on the tenant's file says so."""
    made.policy.agent_policies = policies(approver_groups=groups)


async def void(made: DecisionEnv, person: str, tenant: str = "acme") -> Voided:
    return await VoteVoiding(made.approvals).void(Voiding(tenant, person, ADA, "account stolen", Caller()))


async def kept(made: DecisionEnv, approval_id: str) -> Approval:
    return await made.approvals.read("acme", approval_id)


async def use(made: DecisionEnv, approval_id: str) -> Decision:
    return await made.ask(approval_id=approval_id)


@pytest.mark.parametrize("finding", [ONE, ANYBODY])
async def test_who_was_taken_out_does_not_vote_and_who_came_in_does(finding: Finding) -> None:
    made = env(finding, lead=["lena", "luis"])
    decision = await made.ask()
    name(made, lead=["luis", "nora"])
    for vote in (made.approvals.approve, made.approvals.reject, made.approvals.cancel):
        with pytest.raises(PermissionDeniedError):
            await vote(made.vote_command(decision, LENA))
    shown = await made.approvals.get("acme", made.vote_command(decision).approval_id, LENA)
    assert not shown.with_params
    assert (await made.approvals.approve(made.vote_command(decision, NORA))).state is ApprovalState.APPROVED


@pytest.mark.parametrize("finding", [ONE, ANYBODY])
async def test_a_vote_of_who_was_taken_out_since_allows_nothing(finding: Finding) -> None:
    made = env(finding, lead=["lena", "luis"])
    approval_id = await made.approve(await made.ask(), LENA)
    name(made, lead=["luis"])
    again = await use(made, approval_id)
    assert again.effect is Effect.REQUIRE_APPROVAL
    [vote] = (await made.approvals.get("acme", approval_id, None)).void
    assert vote == NO_LONGER_APPROVER
    name(made, lead=["lena"])
    assert effects_of(await use(made, approval_id)) == [GRANTED]


async def test_policy_sees_those_who_are_approvers_today() -> None:
    made = env(APPROVAL_REQUIRED, lead=["lena", "luis"])
    approval_id = await made.approve(await made.ask(), LENA, LUIS)
    await use(made, approval_id)
    name(made, lead=["luis"])
    other_id = await made.approve(await made.ask(run__run_id="r"), LUIS)
    assert made.policy.seen[1]["facts"]["approval"]["approvers"] == ["lena", "luis"]
    assert (await kept(made, other_id)).state is ApprovalState.PENDING


async def test_a_key_that_stands_for_what_they_allowed_is_judged_by_todays_approvers() -> None:
    made = env(lead=["lena", "luis"])
    await made.approve(await made.ask(idempotency_key="k"), LENA)
    allowed = await made.ask(idempotency_key="k")
    assert effects_of(allowed) == [GRANTED]
    name(made, lead=["luis"])
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.REPEAT_NEEDS_APPROVAL)]


async def test_votes_before_a_removal_do_not_make_up_a_quorum() -> None:
    made = env(APPROVAL_REQUIRED, lead=["lena", "luis", "nora"])
    decision = await made.ask()
    await made.approve(decision, LENA)
    name(made, lead=["luis", "nora"])
    second = await made.approvals.approve(made.vote_command(decision, LUIS))
    assert second.state is ApprovalState.PENDING
    third = await made.approvals.approve(made.vote_command(decision, NORA))
    assert third.state is ApprovalState.APPROVED
    assert [vote.person for vote in third.approval.votes] == ["lena", "luis", "nora"]
    allowed = await use(made, made.vote_command(decision).approval_id)
    assert allowed.findings[-1].details["approvers"] == ["luis", "nora"]


async def test_one_who_has_another_role_today_counts_as_that_no_longer() -> None:
    made = env(lead=["lena"], staff=["luis"])
    approval_id = await made.approve(await made.ask(), LENA)
    name(made, lead=["luis"], staff=["lena"])
    assert (await use(made, approval_id)).effect is Effect.REQUIRE_APPROVAL


async def test_where_the_file_begins_to_name_people_claims_no_longer_count() -> None:
    made = env()
    approval_id = await made.approve(await made.ask(), LENA)
    name(made, lead=["luis"])
    assert (await use(made, approval_id)).effect is Effect.REQUIRE_APPROVAL


@pytest.mark.parametrize("gone", ["policy", "tenant"])
async def test_while_nobody_can_tell_who_may_vote_nobody_does(gone: str) -> None:
    made = env(lead=["lena"])
    decision = await made.ask()
    if gone == "policy":
        made.source.policy = None
    else:
        made.policy.agent_policies = {}
    with pytest.raises(FailedPreconditionError, match="approvers are unknown") as told_so:
        await made.approve(decision, LENA)
    assert told_so.value.reason == refusals.APPROVERS_UNKNOWN
    cancelled = await made.approvals.cancel(made.vote_command(decision, Person("u_4812")))
    assert cancelled.state is ApprovalState.CANCELLED


async def test_a_request_from_before_is_read_and_goes_by_todays_approvers() -> None:
    made = env(lead=["lena"])
    decision = await made.ask()
    key = approval_key("acme", made.vote_command(decision).approval_id)
    row = made.ledger.stored[key]
    body = json.loads(row.body) | {"approver_groups": {"lead": ["mallory"]}}
    made.ledger.stored[key] = type(row)(**{**_fields(row), "body": json.dumps(body).encode()})
    with pytest.raises(PermissionDeniedError):
        await made.approve(decision, Person("mallory", ("lead",)))
    await made.approve(decision, LENA)


def _fields(row: Any) -> dict[str, Any]:
    return {each: getattr(row, each) for each in row.__slots__}


@pytest.mark.parametrize(
    ("groups", "person", "said"),
    [
        ({}, Person("nora", ("staff", "temp")), "lead may; nora named staff, temp"),
        ({}, Person("nora"), "lead may; nora named no role"),
        ({"lead": ["lena"]}, NORA, "lead may, if the tenant's approver_groups list the person; nora named lead"),
    ],
)
async def test_a_refused_vote_says_which_roles_may_and_which_were_named(
    groups: dict[str, list[str]], person: Person, said: str
) -> None:
    made = env(**groups)
    decision = await made.ask()
    with pytest.raises(PermissionDeniedError) as refused:
        await made.approve(decision, person)
    assert str(refused.value) == f"none of your roles may vote on this approval: {said}"


async def test_voided_votes_send_what_is_open_back_to_wait() -> None:
    made = env(lead=["lena", "luis", "nora"])
    decision = await made.ask(idempotency_key="k")
    approval_id = await made.approve(decision, LENA)
    done = await void(made, "LENA ")
    assert (done.open_count, done.used_count) == (1, 0)
    [shown] = done.open
    assert (shown.state, shown.void, shown.approval.decided_at_us) == (ApprovalState.PENDING, ("account stolen",), 0)
    assert effects_of(await use(made, approval_id)) == [("deny", "approvals.pending")]
    assert await made.ask(idempotency_key="k") == decision
    with pytest.raises(FailedPreconditionError) as refused:
        await made.approve(decision, LENA)
    assert refused.value.reason == refusals.VOTED_ALREADY
    await made.approve(decision, LUIS)
    assert effects_of(await made.ask(idempotency_key="k")) == [GRANTED]
    kinds = [event.kind for event in await made.ledger.events_of("acme", approval_id)]
    assert kinds == ["decision.made", "approval.voted", "approval.votes_voided", "approval.voted", "decision.made"]
    assert (await made.ledger.verify()).ok


async def test_voided_votes_are_recorded_with_who_said_so() -> None:
    made = env(lead=["lena"])
    await made.approve(await made.ask(), LENA)
    await void(made, "lena")
    commitment = made.ledger.log[-1].commitment
    assert commitment.kind is RecordKind.APPROVAL_VOTES_VOIDED
    assert (commitment.fields["state"], commitment.fields["reopened"]) == ("pending", True)
    assert json.loads(commitment.parts["void"]) == {"person": "lena", "actor": "ada", "reason": "account stolen"}


async def test_webhooks_tell_of_each_round() -> None:
    made = env(lead=["lena", "luis"])
    decision = await made.ask()
    for person in (LENA, LUIS):
        await made.approve(decision, person)
        await void(made, person.id)
    page = await made.ledger.list_rows(RowQuery(StateTable.WEBHOOK_OUTBOX, "acme", page_size=100))
    names = sorted(row.key.id.split("_", 2)[2] for row in page.rows)
    assert names == ["approved", "approved_2", "reopened_2", "reopened_3"]


async def test_whoever_watches_learns_that_it_waits_again() -> None:
    made = env(lead=["lena", "luis"])
    decision = await made.ask()
    hub = Hub(made.ledger, made.errors.append)
    await made.approve(decision, LENA)
    await void(made, "lena")
    await made.approve(decision, LUIS)
    await use(made, made.vote_command(decision).approval_id)
    states = [
        each.state.value
        async for each in ChangeFeeds(made.ledger, hub, made.clock).decision("acme", decision.decision_id, {})
    ]
    assert states == ["pending", "approved", "pending", "approved", "used"]


async def test_a_vote_that_was_not_needed_sends_nothing_back() -> None:
    """Of a request that waits for two a vote goes; what is decided and used stays as it is and is listed."""
    made = env(APPROVAL_REQUIRED, lead=["lena", "luis", "nora"])
    waiting = await made.ask(run__run_id="r1")
    await made.approve(waiting, LENA)
    spent = await made.ask(run__run_id="r2")
    spent_id = await made.approve(spent, LENA, LUIS)
    allowed = await made.ask(run__run_id="r2", approval_id=spent_id)
    assert effects_of(allowed) == [GRANTED]
    rejected = await made.ask(run__run_id="r3")
    await made.approve(rejected, LENA)
    await made.approvals.reject(made.vote_command(rejected, LUIS, "no"))
    done = await void(made, "lena")
    assert [shown.approval.decision_id for shown in done.open] == [waiting.decision_id]
    assert [shown.approval.used_by for shown in done.used] == [allowed.decision_id]
    assert (await kept(made, spent_id)).state is ApprovalState.USED
    await made.approve(waiting, LUIS)
    assert (await made.approval(waiting)).state is ApprovalState.PENDING
    again = await void(made, "lena")
    assert (again.open_count, again.used_count) == (0, 1)


async def used_under(made: DecisionEnv, key: str) -> Decision:
    """The allow that used what lena approved."""
    await made.approve(await made.ask(idempotency_key=key), LENA)
    allowed = await made.ask(idempotency_key=key)
    assert effects_of(allowed) == [GRANTED]
    return allowed


async def revoked(made: DecisionEnv, decision: Decision) -> bool:
    events = await made.ledger.events_of("acme", decision.decision_id)
    return any(event.kind == RecordKind.PERMIT_REVOKED for event in events)


@pytest.mark.parametrize("groups", [{}, {"lead": ["lena", "luis"]}])
async def test_an_allow_whose_votes_were_voided_is_not_given_again(groups: dict[str, list[str]]) -> None:
    """Its permit is revoked while it may be valid; its key stays denied whoever votes again, a fresh one is asked."""
    made = env(**groups)
    allowed = await used_under(made, "k")
    done = await void(made, "LENA")
    assert [(each.state, each.void) for each in done.used] == [(ApprovalState.USED, ("account stolen",))]
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]
    changes = ChangeFeeds(made.ledger, Hub(made.ledger, made.errors.append), made.clock)
    seen = [each async for each in changes.decision("acme", allowed.decision_id, {})]
    assert [each.state.value for each in seen] == ["allowed", "revoked"]
    assert seen[-1].reason == "Votes for the approval of this allow were voided"
    assert (done.revoked, done.revoked_count, done.used_voided_count) == ([allowed.decision_id], 1, 1)
    assert done.without_groups == ([] if groups else ["acme"])
    again = await void(made, "lena")
    assert (again.used_count, again.used_voided_count, again.revoked) == (1, 0, [allowed.decision_id])
    kinds = [event.kind for event in await made.ledger.events_of("acme", allowed.decision_id)]
    assert kinds.count("permit.revoked") == 1
    another = await made.ask(idempotency_key="another")
    assert another.effect is Effect.REQUIRE_APPROVAL
    await made.approve(another, LUIS)
    assert effects_of(await made.ask(idempotency_key="another")) == [GRANTED]
    await made.recorded()


async def test_a_tenant_without_a_file_is_refused_and_those_with_one_are_named() -> None:
    with pytest.raises(NotFoundError, match=r"tenant 'acmee' has no agent_policy; the tenants are .*acme"):
        await void(env(), "lena", "acmee")


@pytest.mark.parametrize(("seconds", "rule_id"), [(65, "pdp.permit_revoked"), (66, "pdp.repeat_needs_approval")])
async def test_a_permit_that_ran_out_is_not_revoked_and_its_allow_not_given_again(seconds: int, rule_id: str) -> None:
    made = env()
    allowed = await used_under(made, "k")
    made.clock.wall += seconds * 1_000_000
    await void(made, "lena")
    assert await revoked(made, allowed) == (rule_id == "pdp.permit_revoked")
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_id)]


async def test_the_votes_left_must_be_as_many_as_people_were_asked_for() -> None:
    """Two were, and one would do by now: one that is left is too few. Votes of others change nothing."""
    made = env(APPROVAL_REQUIRED)
    decision = await made.ask(idempotency_key="k")
    await made.approve(decision, LENA, LUIS)
    allowed = await made.ask(idempotency_key="k")
    made.policy.say = lambda _: verdict(ALLOWED, ONE)
    assert await made.ask(idempotency_key="k") == allowed
    await void(made, "nora")
    assert await made.ask(idempotency_key="k") == allowed
    await void(made, "lena")
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]


async def test_what_policy_allows_by_itself_is_judged_without_the_voided_votes() -> None:
    """Long after, nothing is revoked; policy no longer sees who was voided, and allows it all the same."""
    made = env()
    allowed = await used_under(made, "k")
    made.clock.wall += 3_600_000_000
    await void(made, "lena")
    made.policy.say = lambda _: verdict(ALLOWED)
    assert await made.ask(idempotency_key="k") == allowed
    assert made.policy.seen[-1]["facts"]["approval"]["approvers"] == []


async def test_votes_voided_while_an_allow_is_about_to_be_given_again() -> None:
    """No allow is told after VoidVotes has answered. The allow of a key is judged on the second try."""
    made = env()
    await used_under(made, "k")
    evaluate, before = made.policy.evaluate, len(made.policy.seen)

    async def meanwhile(inputs: Any) -> Any:
        said = await evaluate(inputs)
        if len(made.policy.seen) == before + 2:
            await void(made, "lena")
        return said

    made.policy.evaluate = meanwhile  # type: ignore[method-assign]
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]


async def test_a_revocation_that_failed_is_made_when_votes_are_voided_again() -> None:
    made = env()
    allowed = await used_under(made, "k")
    commit = made.ledger.commit

    async def full(commitments: Any) -> Any:
        if any(each.kind is RecordKind.PERMIT_REVOKED for each in commitments):
            raise LedgerUnavailableError("full")
        return await commit(commitments)

    made.ledger.commit = full  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailableError):
        await void(made, "lena")
    made.ledger.commit = commit  # type: ignore[method-assign]
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.REPEAT_NEEDS_APPROVAL)]
    assert not await revoked(made, allowed)
    assert (await void(made, "lena")).used_count == 1
    assert await revoked(made, allowed)


async def test_who_was_taken_out_after_the_use_denies_the_key_and_revokes_nothing() -> None:
    """Being named again, the same allow is told again: nobody said that the votes were not theirs."""
    made = env(lead=["lena", "luis"])
    allowed = await used_under(made, "k")
    name(made, lead=["luis"])
    assert effects_of(await made.ask(idempotency_key="k")) == [("deny", rule_ids.REPEAT_NEEDS_APPROVAL)]
    assert not await revoked(made, allowed)
    name(made, lead=["lena"])
    assert await made.ask(idempotency_key="k") == allowed


async def test_of_two_who_must_agree_one_voided_vote_sends_it_back_and_another_person_completes_it() -> None:
    made = env(APPROVAL_REQUIRED, lead=["lena", "luis", "nora"])
    decision = await made.ask(idempotency_key="k")
    await made.approve(decision, LENA, LUIS)
    [shown] = (await void(made, "lena")).open
    assert (shown.state, shown.void) == (ApprovalState.PENDING, ("account stolen", ""))
    assert await made.ask(idempotency_key="k") == decision
    with pytest.raises(FailedPreconditionError):
        await made.approve(decision, LENA)
    await made.approve(decision, NORA)
    allowed = await made.ask(idempotency_key="k")
    assert (effects_of(allowed), allowed.findings[-1].details["approvers"]) == ([GRANTED], ["luis", "nora"])


async def test_history_is_not_read_while_enough_votes_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made = env(APPROVAL_REQUIRED, lead=["lena", "luis", "nora"])
    decision = await made.ask(idempotency_key="k")
    await made.approve(decision, LENA, LUIS)
    await void(made, "lena")
    await made.approve(decision, NORA)
    assert effects_of(await made.ask(idempotency_key="k")) == [GRANTED]
    reads: list[str] = []
    monkeypatch.setattr(made.ledger, "events_of", lambda _, decision_id: reads.append(decision_id))
    result = await void(made, "lena")
    assert (result.used_count, result.revoked, reads) == (1, [], [])


async def test_every_tenant_that_is_served_is_looked_at() -> None:
    made = env(lead=["lena"])
    made.policy.agent_policies = dict.fromkeys(("acme", "beta"), made.policy.agent_policies["acme"])
    for tenant in ("acme", "beta"):
        [decision] = await made.decide(new_request("pay", identity__tenant=tenant))
        assert decision.approval is not None
        word = made.vote_command(decision, LENA)
        await made.approvals.approve(type(word)(tenant, *[getattr(word, each) for each in word.__slots__[1:]]))
    assert (await void(made, "lena", "beta")).open_count == 1
    assert (await void(made, "lena", "")).open_count == 1
    made.source.policy = None
    with pytest.raises(FailedPreconditionError):
        await void(made, "lena", "")
    assert (await void(made, "lena", "acme")).open_count == 0


async def test_a_used_approval_is_a_vote_of_its_tenant_too() -> None:
    made = env()
    await used_under(made, "k")
    assert (await void(made, "lena", "")).without_groups == ["acme"]


async def test_only_tenants_where_the_person_voted_are_named_as_without_groups() -> None:
    made = env()
    made.policy.agent_policies = dict.fromkeys(("acme", "beta"), made.policy.agent_policies["acme"])
    await made.approve(await made.ask(), LENA)
    assert (await void(made, "lena", "")).without_groups == ["acme"]
    assert (await void(made, "lena", "beta")).without_groups == ["beta"]  # asked for by name
    assert (await void(made, "nora", "")).without_groups == []


async def test_an_old_row_has_no_trace_of_what_never_happened() -> None:
    """Servers of before read it."""
    made = env(lead=["lena"])
    decision = await made.ask()
    await made.approve(decision, LENA)
    row = made.ledger.stored[approval_key("acme", made.vote_command(decision).approval_id)]
    assert b"void_reason" not in row.body
    assert b"reopened" not in row.body
    assert from_row(row).reopened == 0
