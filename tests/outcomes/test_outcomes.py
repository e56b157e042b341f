"""Reports of outcomes: settled once, by the caller of the decision alone, in one commit with the record."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from placet.actions.outcome import OutcomeStatus, from_row, outcome_key
from placet.audit.records import RecordKind
from placet.audit.tool_call_event import tool_call_event
from placet.kernel.errors import (
    AbortedError,
    FailedPreconditionError,
    LedgerUnavailableError,
    NotFoundError,
    OutcomeConflictError,
)
from placet.kernel.model import Decision
from placet.kernel.reasons import NOTHING_WAS_ALLOWED
from placet.kernel.state import ReadSet, RowQuery, StateTable
from placet.outcomes.expiry import expire_due
from placet.outcomes.service import OutcomeReceipt
from tests.support.fakes import APPROVAL_REQUIRED, DENIED, verdict
from tests.support.outcome_env import CALLS, MONEY, SECOND_US, OutcomeEnv, report

OK = OutcomeStatus.SUCCEEDED
FAILED = OutcomeStatus.FAILED
NEW = OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=())


async def sound(env: OutcomeEnv) -> bool:
    return (await env.ledger.verify()).ok


async def test_what_was_reserved_is_used_when_the_call_succeeded() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    assert await env.usage("money") == (0, 40)
    assert await env.report(decision_id, OK, latency_ms=942) == NEW
    assert await env.usage("money") == (40, 0)
    [said] = env.bodies(RecordKind.OUTCOME_REPORTED)
    assert (said["decision_id"], said["status"], said["latency_ms"]) == (decision_id, "succeeded", 942)
    assert said["settled"] == [{"budget_id": "money", "unit": "amount:USD", "reserved": -40, "used": 40}]
    assert "subject" not in said
    assert await sound(env)


@pytest.mark.parametrize("status", [OutcomeStatus.NOT_EXECUTED, FAILED])
async def test_an_amount_that_did_not_move_is_free_again(status: OutcomeStatus) -> None:
    env = OutcomeEnv(budgets=[MONEY])
    await env.report(await env.pay(100), status)
    assert await env.usage("money") == (0, 0)
    await env.pay(100)


async def test_more_used_than_reserved_is_told_recorded_and_stops_the_next_call() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    told = await env.report(await env.pay(90), OK, amount_minor_units=130)
    assert told == OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=("money",))
    assert await env.usage("money") == (130, 0)
    assert env.bodies(RecordKind.OUTCOME_REPORTED)[0]["overspent"] == ["money"]
    denied = await env.ask("pay", action__amount={"currency_code": "USD", "minor_units": 1})
    assert isinstance(denied, Decision)
    assert (denied.effect.value, denied.rule_id) == ("deny", "budgets.money")


async def test_two_reports_of_one_batch_see_each_others_overspend() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    ids = [await env.pay(40), await env.pay(40)]
    told = await env.service.report([report(each, OK, amount_minor_units=60) for each in ids])
    assert [each.exceeded_budget_ids for each in told if isinstance(each, OutcomeReceipt)] == [(), ("money",)]


async def test_the_same_report_again_changes_nothing_and_another_is_an_error() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(90)
    await env.report(decision_id, OK, amount_minor_units=130)
    records = len(list(env.ledger.records("w")))
    again = OutcomeReceipt(repeated=True, late=False, exceeded_budget_ids=("money",))
    assert await env.report(decision_id, OK, amount_minor_units=130) == again
    other = await env.report(decision_id, OK, amount_minor_units=131)
    assert isinstance(other, OutcomeConflictError)
    assert str(other) == "another outcome was already reported for this decision; this report is ignored"
    assert isinstance(await env.report(decision_id, FAILED, amount_minor_units=130), OutcomeConflictError)
    assert isinstance(await env.report(decision_id, OK), OutcomeConflictError)
    assert await env.usage("money") == (130, 0)
    assert len(list(env.ledger.records("w"))) == records


async def test_a_hundred_reports_of_one_decision_in_one_batch_are_one() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    told = await env.service.report([report(decision_id, OK)] * 99 + [report(decision_id, FAILED)])
    assert told[0] == NEW
    assert set(told[1:99]) == {OutcomeReceipt(repeated=True, late=False, exceeded_budget_ids=())}
    assert isinstance(told[99], OutcomeConflictError)
    assert await env.usage("money") == (40, 0)


@pytest.mark.parametrize("budgets", [[MONEY], []])
@pytest.mark.parametrize("changes", [{"caller": "other"}, {"tenant": "globex"}, {"tenant": "nobody"}])
async def test_nobody_learns_of_a_decision_of_others(budgets: list[Any], changes: dict[str, str]) -> None:
    env = OutcomeEnv(budgets=budgets)
    decision_id = await env.pay(40)
    strange, unknown = report(decision_id, OK, **changes), report("dec_none", OK, **changes)
    told = await env.service.report([strange, unknown])
    texts = [str(each).replace(decision_id, "dec_none") for each in told]
    assert all(isinstance(each, NotFoundError) for each in told)
    assert texts[0] == texts[1]
    await env.report(decision_id, OK)
    assert isinstance((await env.service.report([strange]))[0], NotFoundError)
    assert len(env.bodies(RecordKind.OUTCOME_REPORTED)) == 1


@pytest.mark.parametrize("finding", [DENIED, APPROVAL_REQUIRED])
async def test_what_allowed_nothing_has_no_outcome(finding: Any) -> None:
    env = OutcomeEnv(budgets=[CALLS])
    env.policy.say = lambda _: verdict(finding)
    decision = await env.ask("pay")
    assert isinstance(decision, Decision)
    refused = await env.report(decision.decision_id, OK)
    assert isinstance(refused, FailedPreconditionError)
    assert refused.reason == NOTHING_WAS_ALLOWED
    assert env.bodies(RecordKind.OUTCOME_REPORTED) == []


async def test_an_allow_without_budgets_is_reported_as_well() -> None:
    env = OutcomeEnv()
    decision_id = await env.allow()
    assert await env.report(decision_id, OK) == NEW
    assert (await env.report(decision_id, OK)) == OutcomeReceipt(repeated=True, late=False, exceeded_budget_ids=())
    assert env.bodies(RecordKind.OUTCOME_REPORTED)[0]["settled"] == []


async def test_a_refused_report_has_no_part_in_its_neighbours() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    told = await env.service.report([report("dec_none", OK), report(decision_id, OK), report("dec_none", OK)])
    assert [type(each) for each in told] == [NotFoundError, OutcomeReceipt, NotFoundError]


async def test_a_late_report_puts_right_what_expiry_did_and_is_called_late() -> None:
    env = OutcomeEnv(budgets=[MONEY, CALLS])
    decision_id = await env.pay(40)
    env.clock.wall += 900 * SECOND_US
    assert await expire_due(env.ledger, env.clock) == 1
    assert (await env.usage("money"), await env.usage("calls")) == ((40, 0), (0, 0))
    told = await env.report(decision_id, OK, amount_minor_units=30)
    assert told == OutcomeReceipt(repeated=False, late=True, exceeded_budget_ids=())
    assert (await env.usage("money"), await env.usage("calls")) == ((30, 0), (1, 0))
    assert env.bodies(RecordKind.OUTCOME_REPORTED)[0]["late"] is True
    assert await expire_due(env.ledger, env.clock) == 0


async def test_a_report_that_meets_expiry_is_settled_once() -> None:
    env = OutcomeEnv(budgets=[MONEY, CALLS])
    decision_id = await env.pay(40)
    env.clock.wall += 900 * SECOND_US
    env.raced.after_read = partial(expire_due, env.ledger, env.clock)
    assert await env.report(decision_id, OK) == OutcomeReceipt(repeated=False, late=True, exceeded_budget_ids=())
    assert (await env.usage("money"), await env.usage("calls")) == ((40, 0), (1, 0))


@pytest.mark.parametrize("moment", ["after_read", "between_tables"])
async def test_two_reports_that_race_are_settled_once(moment: str) -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    setattr(env.raced, moment, partial(env.report, decision_id, OK))
    assert await env.report(decision_id, OK) == OutcomeReceipt(repeated=True, late=False, exceeded_budget_ids=())
    assert await env.usage("money") == (40, 0)
    assert len(env.bodies(RecordKind.OUTCOME_REPORTED)) == 1


async def test_a_report_that_loses_every_race_is_an_error_and_changes_nothing() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    [row] = (await env.ledger.list_rows(RowQuery(StateTable.RESERVATIONS, "acme"))).rows

    async def touch() -> None:
        await env.touch(row.key)
        env.raced.after_read = touch

    env.raced.after_read = touch
    assert isinstance(await env.report(decision_id, OK), AbortedError)
    env.raced.after_read = None
    assert await env.usage("money") == (0, 40)
    assert await env.report(decision_id, OK) == NEW


async def test_a_store_that_cannot_take_it_settles_nothing() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.pay(40)
    env.ledger.full = True
    with pytest.raises(LedgerUnavailableError):
        await env.report(decision_id, OK)
    env.ledger.full = False
    assert await env.usage("money") == (0, 40)


async def test_what_a_caller_writes_in_words_is_kept_apart_and_without_personal_data() -> None:
    env = OutcomeEnv()
    decision_id = await env.allow()
    told = await env.report(decision_id, FAILED, error_class="No mail to jo@example.com")
    assert told == NEW
    assert await env.report(decision_id, FAILED, error_class="No mail to jo@example.com") != told
    key = outcome_key("acme", decision_id)
    row = (await env.ledger.load(ReadSet([key]))).rows[key]
    assert from_row(row).outcome.error_class == "No mail to [redacted:email]"
    assert "error_class" not in env.bodies(RecordKind.OUTCOME_REPORTED)[0]
    assert not any(b"jo@" in content for each in env.ledger.records("w") for _, content in each.parts.values())


@pytest.mark.parametrize(
    ("status", "word"),
    [(OK, "ok"), (FAILED, "error"), (OutcomeStatus.NOT_EXECUTED, "not_executed"), (OutcomeStatus.UNKNOWN, "unknown")],
)
async def test_the_tool_call_event_says_how_the_call_went(status: OutcomeStatus, word: str) -> None:
    env = OutcomeEnv(budgets=[MONEY])
    decision_id = await env.allow()
    await env.report(decision_id, status, latency_ms=942)
    recorded = await env.ledger.get_decision("acme", decision_id)
    assert recorded is not None
    assert tool_call_event(recorded)["result"] is None
    key = outcome_key("acme", decision_id)
    taken = from_row((await env.ledger.load(ReadSet([key]))).rows[key])
    assert tool_call_event(recorded, taken.outcome)["result"] == {"status": word, "latency_ms": 942}
