"""The decision point: no decision without a record, deny wins, an allow needs a finding, same request same answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.audit.records import DecisionQuery
from placet.decision.policy_input import base_facts
from placet.kernel import rule_ids
from placet.kernel.errors import IdempotencyConflictError, LedgerUnavailableError
from placet.kernel.limits import APPROVAL_TTL_SECONDS_DEFAULT, FINDINGS_MAX
from placet.kernel.model import ApprovalRequirement, Decision, Effect, Finding, Indeterminate, ToolClass, Verdict
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import (
    ALLOWED,
    APPROVAL_REQUIRED,
    DENIED,
    NOW_US,
    REVISION,
    Bench,
    ScriptedPolicy,
    new_request,
    verdict,
)
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.records import RecordedDecision
    from placet.decision.replies import Answer


async def recorded(bench: Bench, tenant: str = "acme") -> list[RecordedDecision]:
    """What the trail holds of a tenant, oldest first; it verifies."""
    page = await bench.ledger.query_decisions(DecisionQuery(tenant=tenant, page_size=500))
    assert (await bench.ledger.verify()).ok
    return sorted(page.decisions, key=lambda each: each.sequence)


def told(*answers: Answer) -> list[tuple[str, str]]:
    assert all(isinstance(answer, Decision) for answer in answers)
    return [(answer.effect.value, answer.rule_id) for answer in answers if isinstance(answer, Decision)]


async def test_an_allow_is_recorded_before_it_is_told() -> None:
    bench = Bench()
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert told(decision) == [("allow", "tools.listed")]
    [held] = await recorded(bench)
    assert held.decision == decision
    assert decision.policy_revision == REVISION
    assert (decision.received_at_us, decision.decided_at_us) == (NOW_US - 500, NOW_US)
    assert (held.caller, held.tenant, held.replayable, held.not_replayable_reason) == (
        "unauthenticated",
        "acme",
        True,
        "",
    )


async def test_what_policy_saw_is_what_is_recorded() -> None:
    bench = Bench()
    await bench.point.decide([new_request("pay", action__params_json='{"n":5}')])
    [held] = await recorded(bench)
    assert [json.loads(held.input_json)] == bench.policy.seen
    assert bench.policy.seen[0]["facts"] == base_facts(ToolClass.WRITE)
    assert bench.policy.seen[0]["now"] == "2026-04-24T18:33:01.123456Z"


async def test_a_store_that_cannot_take_it_gives_no_decision() -> None:
    bench = Bench()
    bench.ledger.full = True
    with pytest.raises(LedgerUnavailableError):
        await bench.point.decide([new_request(), new_request("pay")])
    assert await recorded(bench) == []
    bench.ledger.full = False
    assert told(*await bench.point.decide([new_request()])) == [("allow", "tools.listed")]


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ((ALLOWED,), ("allow", "tools.listed")),
        ((ALLOWED, APPROVAL_REQUIRED), ("require_approval", "pay.large")),
        ((ALLOWED, APPROVAL_REQUIRED, DENIED), ("deny", "pay.never")),
        ((DENIED, ALLOWED), ("deny", "pay.never")),
        ((), ("deny", rule_ids.NO_RULE_MATCHED)),
    ],
)
async def test_precedence(findings: tuple[Finding, ...], expected: tuple[str, str]) -> None:
    bench = Bench(ScriptedPolicy(lambda _: verdict(*findings)))
    [decision] = await bench.point.decide([new_request()])
    assert told(decision) == [expected]
    assert isinstance(decision, Decision)
    assert {finding.rule_id for finding in decision.findings} == {finding.rule_id for finding in findings}
    if expected[0] == "require_approval":
        approval_id = decision.decision_id.replace("dec_", "apr_")
        expires_at_us = NOW_US + APPROVAL_TTL_SECONDS_DEFAULT * 1_000_000
        assert decision.approval == ApprovalRequirement(2, ("lead",), approval_id, expires_at_us)
    else:
        assert decision.approval is None
    assert [held.decision for held in await recorded(bench)] == [decision]


@pytest.mark.parametrize(
    "lie",
    [
        Verdict(Effect.ALLOW, "tools.listed", (ALLOWED, DENIED), REVISION),
        Verdict(Effect.ALLOW, "tools.listed", (), REVISION),
        Verdict(Effect.ALLOW, "pay.never", (DENIED,), REVISION),
        Verdict(Effect.ALLOW, "tools.other", (ALLOWED,), REVISION),
        Verdict(Effect.DENY, "pay.never", (ALLOWED,), REVISION),
        Verdict(
            Effect.REQUIRE_APPROVAL,
            "pay.large",
            (replace(APPROVAL_REQUIRED, details={"quorum": "2"}),),
            REVISION,
        ),
        Verdict(
            Effect.REQUIRE_APPROVAL,
            "pay.large",
            (replace(APPROVAL_REQUIRED, details={"quorum": 0}),),
            REVISION,
        ),
    ],
)
async def test_a_verdict_that_contradicts_itself_is_a_deny(lie: Verdict) -> None:
    bench = Bench(ScriptedPolicy(lambda _: lie))
    assert told(*await bench.point.decide([new_request()])) == [("deny", rule_ids.ANSWER_INVALID)]
    assert told(*(held.decision for held in await recorded(bench))) == [("deny", rule_ids.ANSWER_INVALID)]


@pytest.mark.parametrize(
    "rule_id",
    [rule_ids.ENGINE_UNAVAILABLE, rule_ids.ENGINE_TIMEOUT, rule_ids.ENGINE_ERROR, rule_ids.UNDEFINED],
)
async def test_an_engine_that_cannot_say_is_a_recorded_deny(rule_id: str) -> None:
    bench = Bench(ScriptedPolicy(lambda _: Indeterminate(rule_id, "socket /run/opa.sock")))
    [decision] = await bench.point.decide([new_request()])
    assert told(decision) == [("deny", rule_id)]
    [held] = await recorded(bench)
    assert held.decision == decision
    assert "opa.sock" not in held.decision.reason + held.input_json.decode()


async def test_an_engine_that_raises_is_a_recorded_deny_of_the_batch() -> None:
    error = RuntimeError("a defect")
    bench = Bench(ScriptedPolicy(error=error))
    answers = await bench.point.decide([new_request(), new_request("nothing.such"), new_request("pay")])
    assert told(*answers) == [("deny", rule_ids.INTERNAL_ERROR)] * 3
    assert bench.errors == [error]
    assert len(await recorded(bench)) == 3


async def test_a_wrong_number_of_verdicts_is_a_recorded_deny() -> None:
    class Short(ScriptedPolicy):
        async def evaluate(self, inputs: Any) -> Any:
            return (await super().evaluate(inputs))[:-1]

    bench = Bench(Short())
    answers = await bench.point.decide([new_request(), new_request()])
    assert told(*answers) == [("deny", rule_ids.INTERNAL_ERROR)] * 2
    assert len(bench.errors) == 1


async def test_too_many_verdicts_are_a_recorded_deny() -> None:
    class Long(ScriptedPolicy):
        async def evaluate(self, inputs: Any) -> Any:
            return [verdict(ALLOWED), *(await super().evaluate(inputs))]

    bench = Bench(Long(lambda _: verdict(DENIED)))
    answers = await bench.point.decide([new_request(), new_request()])
    assert told(*answers) == [("deny", rule_ids.INTERNAL_ERROR)] * 2
    assert len(bench.errors) == 1


async def test_no_policy_yet() -> None:
    bench = Bench()
    bench.source.policy = None
    [decision] = await bench.point.decide([new_request()])
    assert told(decision) == [("deny", rule_ids.ENGINE_UNAVAILABLE)]
    [held] = await recorded(bench)
    assert held.decision.policy_revision == ""
    assert json.loads(held.input_json)["facts"] == base_facts(ToolClass.UNKNOWN)


@pytest.mark.parametrize(
    ("max_age", "age", "rule_id"),
    [
        (60.0, 60.0, "tools.listed"),
        (60.0, 60.001, rule_ids.POLICY_STALE),
        (60.0, 1e9, rule_ids.POLICY_STALE),
        (0.0, 1e9, "tools.listed"),
    ],
)
async def test_a_stale_policy_denies(max_age: float, age: float, rule_id: str) -> None:
    bench = Bench(max_age=max_age)
    bench.clock.seconds = bench.policy.confirmed_at + age
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert decision.rule_id == rule_id
    assert (decision.effect is Effect.ALLOW) == (rule_id == "tools.listed")
    assert bool(bench.policy.seen) == (rule_id == "tools.listed")
    assert len(await recorded(bench)) == 1


async def test_a_clock_that_goes_backwards_makes_nothing_stale_and_is_recorded() -> None:
    bench = Bench(max_age=60.0)
    bench.clock.wall = NOW_US - 10**12
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert decision.rule_id == "tools.listed"
    assert decision.decided_at_us < decision.received_at_us


async def test_a_mixed_batch_keeps_its_order_and_asks_only_what_is_open() -> None:
    by_tool: dict[str, Callable[[], Verdict | Indeterminate]] = {
        "look": lambda: verdict(ALLOWED),
        "pay": lambda: verdict(ALLOWED, DENIED),
    }
    bench = Bench(ScriptedPolicy(lambda seen: by_tool[seen["action"]["tool"]]()))
    batch = [
        new_request("look"),
        new_request("nothing.such"),
        new_request("pay"),
        new_request("look", identity__tenant="initech"),
        new_request("look", identity__tenant="open"),
    ]
    answers = await bench.point.decide(batch)
    assert told(*answers) == [
        ("allow", "tools.listed"),
        ("deny", rule_ids.UNKNOWN_TOOL),
        ("deny", "pay.never"),
        ("deny", rule_ids.UNKNOWN_TENANT),
        ("allow", "tools.listed"),
    ]
    assert bench.policy.batches == [3]
    assert [seen["action"]["tool"] for seen in bench.policy.seen] == ["look", "pay", "look"]
    assert [held.decision for held in await recorded(bench)] == [answers[0], answers[1], answers[2]]
    assert [held.decision for held in await recorded(bench, "initech")] == [answers[3]]
    assert [held.decision for held in await recorded(bench, "open")] == [answers[4]]


async def test_policy_is_not_asked_when_nothing_is_open() -> None:
    bench = Bench(ScriptedPolicy(error=AssertionError("was asked")))
    answers = await bench.point.decide([new_request("nothing.such"), new_request("look", identity__tenant="initech")])
    assert told(*answers) == [("deny", rule_ids.UNKNOWN_TOOL), ("deny", rule_ids.UNKNOWN_TENANT)]
    assert bench.errors == []


async def test_policy_sees_the_real_values_and_the_store_does_not() -> None:
    echo = Finding(Effect.ALLOW, "tools.listed", "It is listed", {"mail": "ada@example.com", "quorum": 3})
    bench = Bench(ScriptedPolicy(lambda _: verdict(echo)))
    params = '{"to":"DE75512108001245126199","note":"call ada@example.com"}'
    [decision] = await bench.point.decide([new_request("pay", action__params_json=params)])
    assert isinstance(decision, Decision)
    assert bench.policy.seen[0]["action"]["params"] == json.loads(params)
    assert decision.findings == (echo,)
    [held] = await recorded(bench)
    assert json.loads(held.input_json)["action"]["params"] == {
        "to": "[redacted:sensitive]",
        "note": "call [redacted:email]",
    }
    assert held.decision.findings[0].details == {"mail": "[redacted:email]", "quorum": 3}
    assert not held.replayable
    assert held.not_replayable_reason
    assert held.decision.action_digest == decision.action_digest


@pytest.mark.parametrize(
    ("told_details", "stored"),
    [
        ({"to": "Ada Lovelace"}, {"to": "[redacted:sensitive]"}),
        ({"why": "Ada Lovelace is blocked"}, {"why": "[redacted:sensitive] is blocked"}),
        ({"params": {"to": ["Ada Lovelace", 4711, "x"]}}, {"params": {"to": ["[redacted:sensitive]"] * 3}}),
        ({"pin": 4711, "quorum": 2, "ok": True}, {"pin": "[redacted:sensitive]", "quorum": 2, "ok": True}),
        ({"x-ray": "axb", "none": None}, {"x-ray": "axb", "none": None}),
    ],
)
async def test_a_rule_that_repeats_a_sensitive_value_does_not_store_it(told_details: Any, stored: Any) -> None:
    echo = Finding(Effect.ALLOW, "tools.listed", "It is listed", told_details)
    bench = Bench(ScriptedPolicy(lambda _: verdict(echo)))
    params = '{"to":{"name":"Ada Lovelace","pin":4711,"more":["x",null,true,""]},"from":"me"}'
    [decision] = await bench.point.decide([new_request("pay", action__params_json=params)])
    assert isinstance(decision, Decision)
    assert decision.findings == (echo,)
    [held] = await recorded(bench)
    assert held.decision.findings[0].details == stored


async def test_a_rule_that_repeats_a_value_under_a_secret_name_does_not_store_it() -> None:
    details = {"seen": ["hunter2", "uses hunter2", 737, 2, "kept"], "quorum": 2}
    echo = Finding(Effect.ALLOW, "tools.listed", "hunter2 is listed", details)
    bench = Bench(ScriptedPolicy(lambda _: verdict(echo)))
    params = '{"login":[{"dbPassword":"hunter2","cvv":737,"pin":2,"max_tokens":500}],"from":"me"}'
    [decision] = await bench.point.decide([new_request("pay", action__params_json=params)])
    assert isinstance(decision, Decision)
    assert decision.findings == (echo,)
    [held] = await recorded(bench)
    hidden = "[redacted:sensitive]"
    assert held.decision.findings[0].details == {"seen": [hidden, f"uses {hidden}", hidden, 2, "kept"], "quorum": 2}
    assert held.decision.findings[0].reason == f"{hidden} is listed"


async def test_sensitive_values_are_found_by_index_and_by_any_member() -> None:
    policy = TenantPolicy.model_validate(
        {"write_tools": ["pay"], "tools": {"pay": {"sensitive": ["/a/*/b~1c", "/l/1"]}}}
    )
    details = {"seen": ["first", "second", "third", "kept"]}
    echo = Finding(Effect.ALLOW, "tools.listed", "It is listed", details)
    bench = Bench(ScriptedPolicy(lambda _: verdict(echo), agent_policies={"acme": policy}))
    params = '{"a":[{"b/c":"first"},{"b/c":"second","d":"kept"}],"l":["kept","third"]}'
    await bench.point.decide([new_request("pay", action__params_json=params)])
    [held] = await recorded(bench)
    assert held.decision.findings[0].details == {"seen": [*["[redacted:sensitive]"] * 3, "kept"]}


async def test_who_did_it_is_never_redacted() -> None:
    bench = Bench()
    await bench.point.decide([new_request(identity__user="ada@example.com", identity__agent="bot+49 30 901820")])
    [held] = await recorded(bench)
    assert json.loads(held.input_json)["identity"]["user"] == "ada@example.com"
    found = await bench.ledger.query_decisions(DecisionQuery(tenant="acme", user="ada@example.com"))
    assert len(found.decisions) == 1


async def test_a_tenant_may_keep_real_values() -> None:
    echo = Finding(Effect.ALLOW, "tools.listed", "It is listed", {"mail": "ada@example.com"})
    bench = Bench(ScriptedPolicy(lambda _: verdict(echo)))
    params = '{"to":"ada@example.com"}'
    await bench.point.decide([new_request("pay", identity__tenant="open", action__params_json=params)])
    [held] = await recorded(bench, "open")
    assert json.loads(held.input_json)["action"]["params"] == json.loads(params)
    assert held.decision.findings == (echo,)
    assert held.replayable


async def test_a_tenant_without_a_file_is_redacted() -> None:
    bench = Bench()
    await bench.point.decide([new_request(identity__tenant="initech", action__params_json='{"to":"ada@example.com"}')])
    [held] = await recorded(bench, "initech")
    assert json.loads(held.input_json)["action"]["params"] == {"to": "[redacted:email]"}


@pytest.mark.parametrize("first", [ALLOWED, APPROVAL_REQUIRED, DENIED])
async def test_the_same_request_gets_the_same_answer_later(first: Finding) -> None:
    bench = Bench(ScriptedPolicy(lambda _: verdict(first)))
    [decision] = await bench.point.decide([new_request("pay", idempotency_key="k")])
    bench.clock.wall += 10**9
    assert await bench.point.decide([new_request("pay", idempotency_key="k")]) == [decision]
    assert [held.decision for held in await recorded(bench)] == [decision]


@pytest.mark.parametrize("first", [APPROVAL_REQUIRED, DENIED])
async def test_what_was_no_allow_is_told_again_whatever_policy_says_now(first: Finding) -> None:
    bench = Bench(ScriptedPolicy(lambda _: verdict(first)))
    [decision] = await bench.point.decide([new_request("pay", idempotency_key="k")])
    bench.policy.say = lambda _: verdict(ALLOWED)
    assert await bench.point.decide([new_request("pay", idempotency_key="k")]) == [decision]


async def test_the_same_key_twice_in_a_batch_is_decided_once() -> None:
    bench = Bench()
    first, second, other = (new_request("pay", idempotency_key=key) for key in ("k", "k", "l"))
    answers = await bench.point.decide([first, second, other])
    assert answers[0] == answers[1] != answers[2]
    assert len(await recorded(bench)) == 2


async def test_the_key_with_other_content_is_an_error_and_touches_nothing() -> None:
    bench = Bench()
    [decision] = await bench.point.decide([new_request("look", idempotency_key="k")])
    answers = await bench.point.decide([new_request("pay", idempotency_key="k"), new_request("pay")])
    assert isinstance(answers[0], IdempotencyConflictError)
    assert told(answers[1]) == [("allow", "tools.listed")]
    held = await recorded(bench)
    assert held[0].decision == decision
    assert len(held) == 2


async def test_an_empty_batch() -> None:
    bench = Bench()
    assert list(await bench.point.decide([])) == []
    assert await recorded(bench) == []


async def test_why_a_verdict_was_not_believed_is_told() -> None:
    finding = Finding(Effect.REQUIRE_APPROVAL, "refunds.over_limit", "why", {"quorm": 2, "approver_roles": []})
    bench = Bench(ScriptedPolicy(lambda _: Verdict(Effect.REQUIRE_APPROVAL, finding.rule_id, (finding,), "r1")))
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.answer_invalid")
    why = "refunds.over_limit: details.quorum must be an integer of 1 to 16"
    assert bench.invalid_verdicts == [("pdp.answer_invalid", why)]
    own, said = decision.findings
    assert (own.rule_id, own.effect, said) == ("pdp.answer_invalid", Effect.DENY, finding)
    assert own.details == {
        "why": why,
        "rules": ["refunds.over_limit"],
        "where": {"refunds.over_limit": "policy/refunds.rego:7"},
    }
    [held] = await recorded(bench)
    assert held.decision == decision
    assert held.replayable


async def test_where_evaluation_failed_is_on_record() -> None:
    where = {"code": "eval_builtin_error", "builtin": "time.parse_rfc3339_ns", "file": "policy/a/a.rego", "line": 7}
    bench = Bench(
        ScriptedPolicy(lambda _: Indeterminate(rule_ids.ENGINE_ERROR, 'parsing time "4111111111111111"', where))
    )
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert [(each.rule_id, each.details) for each in decision.findings] == [("pdp.engine_error", where)]
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.engine_error")
    assert [held.decision for held in await recorded(bench)] == [decision]


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW])
async def test_findings_that_are_too_many_are_left_out_and_counted(effect: Effect) -> None:
    details: dict[str, Any] = {} if effect is not Effect.REQUIRE_APPROVAL else {"quorum": 1, "approver_roles": ["lead"]}
    many = [Finding(effect, f"x.r{number:03}", "why", details) for number in range(300)]
    if effect is Effect.REQUIRE_APPROVAL:  # the strictest of all is asked for, kept or not
        many[-1] = replace(many[-1], details={"quorum": 2, "approver_roles": ["lead", "boss"]})
    else:
        many.append(Finding(Effect.ALLOW, "a.allow", "why"))
    many.reverse()
    winner = min(each.rule_id for each in many if each.effect is effect)
    bench = Bench(ScriptedPolicy(lambda _: Verdict(effect, winner, tuple(many), REVISION)))
    [decision] = await bench.point.decide([new_request()])
    assert isinstance(decision, Decision)
    assert (decision.effect, decision.rule_id) == (effect, winner)
    assert len(decision.findings) == FINDINGS_MAX
    assert decision.findings[0].rule_id == winner
    assert decision.findings[0].details == {**details, "findings_left_out": len(many) - FINDINGS_MAX}
    if effect is Effect.REQUIRE_APPROVAL:
        assert decision.approval is not None
        assert (decision.approval.quorum, decision.approval.approver_roles) == (2, ("lead",))
    assert [held.decision for held in await recorded(bench)] == [decision]


async def test_a_destination_that_can_be_read_in_two_ways_is_denied_without_asking_policy_and_recorded_as_said() -> (
    None
):
    bench = Bench()
    said = "https://acme.example/a/../b"
    [decision] = await bench.point.decide([new_request("look", action__destination=said)])
    assert isinstance(decision, Decision)
    assert told(decision) == [("deny", rule_ids.DESTINATION_AMBIGUOUS)]
    assert bench.policy.seen == []
    [finding] = decision.findings
    assert "in which it is https://acme.example/b" in finding.details["problem"]
    [held] = await recorded(bench)
    assert held.decision == decision
    assert json.loads(held.input_json)["action"]["destination"] == said


async def test_the_destination_that_policy_sees_is_the_callers_text() -> None:
    bench = Bench()
    assert told(*await bench.point.decide([new_request("look", action__destination="https://acme.example")])) == [
        ("allow", "tools.listed")
    ]
    assert bench.policy.seen[0]["action"]["destination"] == "https://acme.example"
