from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from placet.approvals.model import ApprovalState
from placet.approvals.records import voted_commitment
from placet.approvals.transitions import approve
from placet.audit.records import RecordKind
from placet.commands.execute import commit_with_retry
from placet.kernel import reasons as refusals
from placet.kernel import rule_ids
from placet.kernel.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
)
from placet.kernel.limits import COMMIT_TRIES_MAX
from placet.kernel.model import Caller, Decision, Effect, Finding
from placet.kernel.state import RowQuery, StateTable
from placet.matching.person import Person
from tests.support.approval_env import AGENT, DAY_US, LEAD, ONE_LEAD, OTHER_LEAD, REQUESTER, ApprovalEnv, vote_command
from tests.support.fakes import DENIED, FullLedger, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.approvals.service import VoteCommand
    from placet.audit.records import Commitment, CommitResult

PAY = {"action__params_json": '{"to":"DE02120300000000202051"}'}


async def refused(env: ApprovalEnv, of: VoteCommand, method: str = "approve") -> str:
    """Why a word does not count; it is recorded, and the approval is as it was."""
    before = [row for key, row in env.ledger.stored.items() if key.table is StateTable.APPROVALS]
    with pytest.raises((NotFoundError, PermissionDeniedError, FailedPreconditionError, InvalidRequestError)) as told:
        await getattr(env.approvals, method)(of)
    assert [row for key, row in env.ledger.stored.items() if key.table is StateTable.APPROVALS] == before
    record = env.ledger.log[-1].commitment
    assert record.kind is RecordKind.APPROVAL_REFUSED
    said = json.loads(record.parts["refusal"])
    assert said["person"] == of.person.id
    reason: str = record.fields["refusal"]
    if isinstance(told.value, PermissionDeniedError | FailedPreconditionError):
        assert told.value.reason == reason
        assert str(told.value) in said["text"] or told.value.reason == refusals.APPROVAL_ENDED
    return reason


async def test_an_approval_waits_until_its_quorum_agrees() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    first = await env.approvals.approve(vote_command(approval))
    assert first.state is ApprovalState.PENDING
    second = await env.approvals.approve(vote_command(approval, OTHER_LEAD))
    assert second.state is ApprovalState.APPROVED
    assert [vote.person for vote in second.approval.votes] == ["u_lead", "u_other"]
    assert env.kinds() == ["decision.made", "approval.voted", "approval.voted"]
    assert [record.commitment.subject for record in env.ledger.log] == [approval.approval_id] * 3


async def test_an_approved_action_is_allowed_once() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval(**PAY)
    await env.approvals.approve(vote_command(approval))
    decision = await env.ask(approval_id=approval.approval_id, **PAY)
    assert (decision.effect, decision.used_approval_id) == (Effect.ALLOW, approval.approval_id)
    used = await env.approvals.read("acme", approval.approval_id)
    assert (used.state, used.used_by) == (ApprovalState.USED, decision.decision_id)
    again = await env.ask(approval_id=approval.approval_id, **PAY)
    assert (again.effect, again.rule_id) == (Effect.DENY, rule_ids.APPROVAL_USED)


async def test_a_hundred_who_present_one_approval_at_once_get_one_allow() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    told = await asyncio.gather(*(env.ask(approval_id=approval.approval_id) for _ in range(100)))
    allowed = [decision for decision in told if decision.effect is Effect.ALLOW]
    assert [decision.used_approval_id for decision in allowed] == [approval.approval_id]
    together = await env.pending_approval(run__run_id="r_2")
    await env.approvals.approve(vote_command(together))
    use = {"run__run_id": "r_2", "approval_id": together.approval_id}
    answers = await env.point.decide([new_request("pay", **use) for _ in range(100)])
    assert [answer.effect for answer in answers if isinstance(answer, Decision)].count(Effect.ALLOW) == 1


async def test_policy_that_denies_by_now_wins_over_an_approval() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    env.policy.say = lambda _: verdict(DENIED)
    assert (await env.ask(approval_id=approval.approval_id)).rule_id == DENIED.rule_id


async def test_more_people_are_needed_when_policy_asks_for_more_by_now() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    env.finding = Finding(Effect.REQUIRE_APPROVAL, "pay.large", "Much", {"quorum": 2, "approver_roles": ["lead"]})
    assert (await env.ask(approval_id=approval.approval_id)).effect is Effect.REQUIRE_APPROVAL


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"action__params_json": '{"to":"other"}'}, "params"),
        ({"action__amount": {"currency_code": "USD", "minor_units": "5"}}, "amount"),
        ({"action__scope": "pay:write"}, "scope"),
        ({"action__environment": "production"}, "environment"),
        ({"action__destination": "bank"}, "destination"),
        ({"action__dry_run": True}, "dry_run"),
        ({"action__tool_schema_version": "2"}, "tool_schema_version"),
        ({"identity__agent": "other-agent"}, "agent"),
        ({"identity__user": "u_1"}, "user"),
        ({"identity__roles": ["admin"]}, "roles"),
        ({"identity__delegation": ["planner"]}, "delegation"),
        ({"identity__delegation_chain": [{"principal": "b", "scopes": ["*"]}]}, "delegation, delegation_chain"),
        ({"run__run_id": "r_2"}, "run_id"),
    ],
)
async def test_an_approval_is_for_one_exact_action(changes: dict[str, object], part: str) -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    decision = await env.ask(approval_id=approval.approval_id, **changes)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, rule_ids.APPROVAL_DIGEST_MISMATCH)
    assert decision.reason.endswith(f": {part} differ{'' if ',' in part else 's'}")
    assert (await env.approvals.read("acme", approval.approval_id)).state is ApprovalState.APPROVED


async def test_parts_that_differ_are_named_together() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    decision = await env.ask(approval_id=approval.approval_id, action__scope="pay:write", run__run_id="r_2")
    assert decision.reason.endswith(": run_id, scope differ")


async def test_one_no_ends_it() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    shown = await env.approvals.reject(vote_command(approval, OTHER_LEAD, "card 4111111111111111 is no reason"))
    assert shown.state is ApprovalState.REJECTED
    assert shown.approval.end_reason == "card [redacted:card] is no reason"
    assert (await env.ask(approval_id=approval.approval_id)).rule_id == rule_ids.APPROVAL_REJECTED
    assert await refused(env, vote_command(approval, Person("u_third", ("lead",)))) == refusals.APPROVAL_ENDED


async def test_those_who_ask_do_not_decide() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval(identity__delegation=["u_boss"])
    for person in (REQUESTER, " U_4812 ", "\uff55_4812"):
        assert (
            await refused(env, vote_command(approval, Person(person, ("lead",)))) == refusals.REQUESTER_MAY_NOT_APPROVE
        )
    for agent in (AGENT, "Support-Agent", "u_boss"):
        assert await refused(env, vote_command(approval, Person(agent, ("lead",)))) == refusals.AGENT_MAY_NOT_APPROVE


async def test_a_vote_that_cannot_count_changes_nothing_and_is_recorded() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    assert await refused(env, vote_command(approval, Person("u_2", ("staff",)))) == refusals.ROLE_MAY_NOT_APPROVE
    assert await refused(env, vote_command(approval, Person("u_2"))) == refusals.ROLE_MAY_NOT_APPROVE
    await env.approvals.approve(vote_command(approval))
    assert await refused(env, vote_command(approval)) == refusals.VOTED_ALREADY
    assert await refused(env, vote_command(approval, Person("U_LEAD", ("lead",)))) == refusals.VOTED_ALREADY
    assert await refused(env, vote_command(approval, reason="no"), "reject") == refusals.VOTED_ALREADY
    assert await refused(env, vote_command(approval, OTHER_LEAD), "reject") == "INVALID_REQUEST"
    await env.approvals.approve(vote_command(approval, OTHER_LEAD))
    assert await refused(env, vote_command(approval, Person("u_3", ("lead",)))) == refusals.APPROVAL_DECIDED


async def test_an_id_that_the_tenant_does_not_have_is_not_found_whoever_asks() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    elsewhere = vote_command(approval, tenant="open")
    for method in ("approve", "reject", "cancel"):
        assert await refused(env, elsewhere, method) == "NOT_FOUND"
        assert env.ledger.log[-1].commitment.tenant == "open"
    with pytest.raises(NotFoundError):
        await env.approvals.get("open", approval.approval_id, LEAD)
    assert (await env.approvals.listed(RowQuery(StateTable.APPROVALS, "open"))).approvals == ()


async def test_the_action_digest_that_the_person_saw_must_be_the_one() -> None:
    env = ApprovalEnv(ONE_LEAD)
    approval = await env.pending_approval()
    with pytest.raises(FailedPreconditionError) as told:
        await env.approvals.approve(vote_command(approval), "0" * 64)
    assert told.value.reason == refusals.APPROVAL_DIFFERS
    assert (await env.approvals.approve(vote_command(approval), approval.action_digest)).state is ApprovalState.APPROVED


async def test_maker_and_checker_are_of_different_roles() -> None:
    roles = {"quorum": 2, "approver_roles": ["maker", "checker"], "distinct_roles": True}
    env = ApprovalEnv(Finding(Effect.REQUIRE_APPROVAL, "pay.two", "Two", roles))
    approval = await env.pending_approval()
    both = Person("u_both", ("checker", "maker"))
    await env.approvals.approve(vote_command(approval, both))
    await env.approvals.approve(vote_command(approval, Person("u_checker", ("checker",))))
    votes = (await env.approvals.read("acme", approval.approval_id)).votes
    assert {vote.person: vote.role for vote in votes} == {"u_both": "maker", "u_checker": "checker"}

    approval = await env.pending_approval(run__run_id="another")
    await env.approvals.approve(vote_command(approval, Person("u_checker", ("checker",))))
    another = vote_command(approval, Person("u_checker_2", ("checker",)))
    assert await refused(env, another) == refusals.ROLE_VOTED_ALREADY
    assert (await env.approvals.approve(vote_command(approval, both))).state is ApprovalState.APPROVED


async def test_where_the_tenants_file_names_the_approvers_claims_do_not_count() -> None:
    env = ApprovalEnv(ONE_LEAD, {"approver_groups": {"lead": ["u_lead"], "staff": ["u_staff"]}})
    approval = await env.pending_approval()
    assert await refused(env, vote_command(approval, Person("u_claims", ("lead",)))) == refusals.ROLE_MAY_NOT_APPROVE
    assert await refused(env, vote_command(approval, Person("u_staff", ("staff",)))) == refusals.ROLE_MAY_NOT_APPROVE
    assert (await env.approvals.approve(vote_command(approval))).state is ApprovalState.APPROVED


async def test_any_person_of_a_group_approves_where_no_role_is_named() -> None:
    anybody = Finding(Effect.REQUIRE_APPROVAL, "pay.any", "Any", {"quorum": 1, "approver_roles": []})
    env = ApprovalEnv(anybody, {"approver_groups": {"lead": ["u_lead"]}})
    approval = await env.pending_approval()
    assert await refused(env, vote_command(approval, Person("u_stranger", ("lead",)))) == refusals.ROLE_MAY_NOT_APPROVE
    assert (await env.approvals.approve(vote_command(approval, Person("u_lead")))).state is ApprovalState.APPROVED


async def test_an_override_of_a_budget_needs_a_reason() -> None:
    budget = {"id": "b", "scope": "tenant", "measure": "calls", "limit": 1, "window": "day"}
    fine = Finding(Effect.ALLOW, "pay.ok", "Fine")
    env = ApprovalEnv(fine, {"budgets": [{**budget, "on_exceed": "require_approval"}]})
    await env.ask()
    approval = await env.pending_approval()
    assert approval.override
    assert await refused(env, vote_command(approval)) == "INVALID_REQUEST"
    assert (
        await env.approvals.approve(vote_command(approval, reason="the customer waits"))
    ).state is ApprovalState.APPROVED


async def test_an_approval_expires_which_is_no_rejection() -> None:
    env = ApprovalEnv()
    approval, agreed = await env.pending_approval(), await env.pending_approval(run__run_id="r_2")
    await env.approvals.approve(vote_command(agreed))
    await env.approvals.approve(vote_command(agreed, OTHER_LEAD))
    assert await env.approvals.expire_due() == 0
    env.clock.wall += DAY_US
    assert await refused(env, vote_command(approval)) == refusals.APPROVAL_ENDED
    assert (await env.approvals.get("acme", approval.approval_id, None)).state is ApprovalState.EXPIRED
    assert await env.approvals.expire_due() == 2
    assert env.kinds()[-2:] == ["approval.expired"] * 2
    for each in (approval, agreed):
        assert (await env.approvals.read("acme", each.approval_id)).state is ApprovalState.EXPIRED
    assert (await env.ask(approval_id=approval.approval_id)).rule_id == rule_ids.APPROVAL_EXPIRED
    assert await env.approvals.expire_due() == 0


async def test_who_asked_or_may_vote_withdraws_it() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    assert await refused(env, vote_command(approval, Person("u_2")), "cancel") == refusals.NOT_YOURS_TO_CANCEL
    assert await refused(env, vote_command(approval, Person(AGENT)), "cancel") == refusals.NOT_YOURS_TO_CANCEL
    shown = await env.approvals.cancel(vote_command(approval, Person(REQUESTER), "no longer needed"))
    assert (shown.state, shown.approval.end_reason) == (ApprovalState.CANCELLED, "no longer needed")
    assert (await env.ask(approval_id=approval.approval_id)).rule_id == rule_ids.APPROVAL_CANCELLED
    assert await refused(env, vote_command(approval, Person(REQUESTER)), "cancel") == refusals.APPROVAL_ENDED
    other = await env.pending_approval()
    assert (await env.approvals.cancel(vote_command(other))).state is ApprovalState.CANCELLED


async def test_exact_parameters_are_shown_to_those_who_may_vote_and_kept_no_longer_than_that() -> None:
    env = ApprovalEnv(ONE_LEAD, {"tools": {"pay": {"sensitive": ["/to"]}}})
    approval = await env.pending_approval(**PAY)
    seen = await env.approvals.get("acme", approval.approval_id, LEAD)
    assert (seen.with_params, seen.approval.params) == (True, b'{"to":"DE02120300000000202051"}')
    for viewer in (None, Person(REQUESTER, ("lead",)), Person("u_2")):
        assert not (await env.approvals.get("acme", approval.approval_id, viewer)).with_params
    assert seen.approval.action["params"] == {"to": "[redacted:sensitive]"}
    assert seen.similar == {"require_approval": 1}
    await env.approvals.approve(vote_command(approval))
    await env.ask(approval_id=approval.approval_id, **PAY)
    assert b"DE0212" not in b"".join(row.body for row in env.ledger.stored.values())


async def test_webhooks_are_told_in_the_same_commit_where_there_are_any() -> None:
    env = ApprovalEnv(notify=True)
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    assert not [key for key in env.ledger.stored if key.table is StateTable.WEBHOOK_OUTBOX]
    await env.approvals.approve(vote_command(approval, OTHER_LEAD))
    [told] = [key.id for key in env.ledger.stored if key.table is StateTable.WEBHOOK_OUTBOX]
    assert told == f"{approval.approval_id}_approved"


class OvertakenLedger(FullLedger):
    """A ledger in which somebody else is first: `overtake` runs before the next commit."""

    overtake: Callable[[], Awaitable[object]] | None = None

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            await overtake()
        return await super().commit(commitments)


async def test_two_votes_at_once_both_count() -> None:
    env = ApprovalEnv(ledger=OvertakenLedger)
    approval = await env.pending_approval()
    assert isinstance(env.ledger, OvertakenLedger)
    env.ledger.overtake = lambda: env.approvals.approve(vote_command(approval, OTHER_LEAD))
    shown = await env.approvals.approve(vote_command(approval))
    assert (shown.state, len(shown.approval.votes)) == (ApprovalState.APPROVED, 2)


async def test_a_change_that_loses_every_race_is_given_up() -> None:
    env = ApprovalEnv()
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    tries = 0

    async def from_what_was() -> tuple[Commitment, None]:
        nonlocal tries
        tries += 1
        after = approve(approval, {}, OTHER_LEAD, "", env.clock.wall_us())
        return voted_commitment(after, Caller(), env.clock.wall_us(), notify=False), None

    with pytest.raises(AbortedError):
        await commit_with_retry(env.ledger, from_what_was)
    assert tries == COMMIT_TRIES_MAX
