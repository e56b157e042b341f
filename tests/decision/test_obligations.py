"""Obligations: checked, merged, of the final effect only, recorded, replayed and redacted like details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.controls.autonomy.model import AutonomyLevel
from placet.decision.obligations import InvalidObligationsError, obligations_by_effect, parsed_obligations
from placet.kernel.limits import OBLIGATIONS_BYTES_MAX, OBLIGATIONS_MAX
from placet.kernel.model import Effect, Finding, Obligation, Verdict
from tests.support.decision_env import LEADS, DecisionEnv, budget, effects_of
from tests.support.fakes import DENIED, verdict
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable

REDACT = {"id": "redact_output", "fields": ["email"]}
NOTIFY = {"id": "notify_owner"}
REDACTED = Obligation("redact_output", {"fields": ["email"]})
NOTIFIED = Obligation("notify_owner")


def finding(effect: Effect, rule_id: str, *obligations: Any) -> Finding:
    asked = {"quorum": 2, "approver_roles": ["lead"]} if effect is Effect.REQUIRE_APPROVAL else {}
    return Finding(effect, rule_id, "Because", {**asked, "obligations": list(obligations)})


def saying(*findings: Finding) -> Callable[[dict[str, Any]], Verdict]:
    return lambda _: replace(verdict(*findings), obligations=obligations_by_effect(findings))


ALLOWED = finding(Effect.ALLOW, "tools.listed", REDACT)
ASKED = finding(Effect.REQUIRE_APPROVAL, "pay.large", NOTIFY)


# --- merging


def test_obligations_of_an_effect_are_distinct_and_sorted_by_id() -> None:
    other = {"id": "redact_output", "fields": ["iban"]}
    by_effect = obligations_by_effect(
        [
            finding(Effect.ALLOW, "a.two", REDACT, other),
            finding(Effect.ALLOW, "a.one", {"fields": ["email"], "id": "redact_output"}, NOTIFY),
            finding(Effect.DENY, "a.three", {"id": "open_ticket"}),
        ]
    )
    assert by_effect == {
        Effect.ALLOW: (NOTIFIED, REDACTED, Obligation("redact_output", {"fields": ["iban"]})),
        Effect.DENY: (Obligation("open_ticket"),),
    }


def test_findings_without_the_key_have_none() -> None:
    assert obligations_by_effect([DENIED, finding(Effect.DENY, "a.empty")]) == {Effect.DENY: ()}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "details.obligations must be a list"),
        ("redact_output", "details.obligations must be a list"),
        (REDACT, "details.obligations must be a list"),
        (["redact_output"], "details.obligations.0 must be an object"),
        ([REDACT, None], "details.obligations.1 must be an object"),
        ([[REDACT]], "details.obligations.0 must be an object"),
        ([{}], "details.obligations.0.id must be a name"),
        ([{"id": None}], "details.obligations.0.id must be a name"),
        ([{"id": 7}], "details.obligations.0.id must be a name"),
        ([{"id": ""}], "details.obligations.0.id must be a name"),
        ([{"id": "Redact"}], "details.obligations.0.id must be a name"),
        ([{"id": "redact output"}], "details.obligations.0.id must be a name"),
        ([{"id": "redact_output\n"}], "details.obligations.0.id must be a name"),
        ([{"id": "9lives"}], "details.obligations.0.id must be a name"),
        ([{"id": "a" * 65}], "details.obligations.0.id must be a name"),
        ([{"id": "rédact"}], "details.obligations.0.id must be a name"),
        ([{"id": "a", "x": orjson.loads("[" * 32 + "]" * 32)}], "levels of nesting"),
    ],
)
def test_what_is_no_obligation(value: Any, why: str) -> None:
    wrong = Finding(Effect.ALLOW, "a.b", "Because", {"obligations": value})
    with pytest.raises(InvalidObligationsError, match=why) as refused:
        obligations_by_effect([wrong])
    assert refused.value.rules == ("a.b",)


def test_the_number_is_limited_for_each_effect() -> None:
    many = [{"id": f"o{number}"} for number in range(OBLIGATIONS_MAX)]
    half = OBLIGATIONS_MAX // 2
    findings = [finding(Effect.ALLOW, "a.b", *many[:half]), finding(Effect.ALLOW, "a.c", *many[half:], many[0])]
    assert len(obligations_by_effect(findings)[Effect.ALLOW]) == OBLIGATIONS_MAX
    assert obligations_by_effect([*findings, finding(Effect.DENY, "a.d", NOTIFY)])[Effect.DENY] == (NOTIFIED,)
    with pytest.raises(InvalidObligationsError, match="a decision can have 16 obligations") as refused:
        obligations_by_effect([*findings, finding(Effect.ALLOW, "a.a", NOTIFY)])
    assert refused.value.rules == ("a.a", "a.b", "a.c")


def test_the_size_is_that_of_the_json_list() -> None:
    empty = len(orjson.dumps([{"id": "a", "x": ""}]))
    fits = {"id": "a", "x": "y" * (OBLIGATIONS_BYTES_MAX - empty)}
    assert obligations_by_effect([finding(Effect.ALLOW, "a.b", fits)])
    with pytest.raises(InvalidObligationsError, match="8192 bytes as JSON, and have 8193"):
        obligations_by_effect([finding(Effect.ALLOW, "a.b", {**fits, "x": fits["x"] + "y"})])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "x"]), inner, max_size=2),
    max_leaves=10,
)


@given(JSON | st.lists(st.fixed_dictionaries({"id": st.sampled_from(["a", "b"])}, optional={"x": JSON}), max_size=5))
def test_any_value_is_parsed_or_refused(value: Any) -> None:
    try:
        parsed = parsed_obligations(value)
    except ValueError:
        return
    assert [{"id": each.id, **each.details} for each in parsed] == value


# --- the decision


async def test_an_allow_has_the_obligations_of_its_allow_findings() -> None:
    env = DecisionEnv(say=saying(ALLOWED, finding(Effect.ALLOW, "pay.small", REDACT, NOTIFY)))
    decision = await env.ask()
    assert effects_of(decision) == [("allow", "pay.small")]
    assert decision.obligations == (NOTIFIED, REDACTED)
    [held] = await env.recorded()
    assert held.decision == decision


@pytest.mark.parametrize(
    ("findings", "obligations"),
    [
        ([ALLOWED, ASKED], (NOTIFIED,)),
        ([ALLOWED, DENIED, ASKED], ()),
        ([ALLOWED, finding(Effect.DENY, "a.b", {"id": "open_ticket"})], (Obligation("open_ticket"),)),
    ],
)
async def test_findings_of_other_effects_add_none(findings: list[Finding], obligations: tuple[Obligation, ...]) -> None:
    decision = await DecisionEnv(say=saying(*findings)).ask()
    assert decision.obligations == obligations


async def test_after_an_approval_those_of_the_allow_findings_hold() -> None:
    env = DecisionEnv(say=saying(ALLOWED, ASKED))
    asking = await env.ask(idempotency_key="k")
    assert asking.obligations == (NOTIFIED,)
    approval_id = await env.approve(asking, *LEADS)
    granted = await env.ask(approval_id=approval_id)
    assert effects_of(granted) == [("allow", "approvals.granted")]
    assert granted.obligations == (REDACTED,)


async def test_a_request_that_waits_for_an_open_approval_has_the_same() -> None:
    env = DecisionEnv(say=saying(ALLOWED, ASKED))
    first, again = await env.ask(), await env.ask()
    assert first.approval == again.approval
    assert first.obligations == again.obligations == (NOTIFIED,)


async def test_a_budget_that_denies_leaves_none() -> None:
    env = DecisionEnv(budget(limit=1), say=saying(ALLOWED))
    first, second = await env.ask(), await env.ask()
    assert (first.obligations, second.obligations) == ((REDACTED,), ())
    assert effects_of(second) == [("deny", "budgets.b")]


async def test_autonomy_that_asks_people_keeps_those_of_the_allow_for_later_and_one_that_denies_leaves_none() -> None:
    env = DecisionEnv(say=saying(ALLOWED))
    await env.level(AutonomyLevel.EXECUTE_WITH_APPROVAL)
    asking = await env.ask()
    assert (asking.effect, asking.obligations) == (Effect.REQUIRE_APPROVAL, ())
    granted = await env.ask(approval_id=await env.approve(asking))
    assert (granted.effect, granted.obligations) == (Effect.ALLOW, (REDACTED,))
    await env.level(AutonomyLevel.DRAFT_ONLY)
    denied = await env.ask()
    assert (denied.effect, denied.obligations) == (Effect.DENY, ())


async def test_a_kill_switch_leaves_none() -> None:
    env = DecisionEnv(say=saying(ALLOWED, finding(Effect.DENY, "a.b", NOTIFY)))
    await env.kill("tool", "pay")
    assert (await env.ask()).obligations == ()


async def test_a_verdict_that_is_not_believed_has_none() -> None:
    denying = finding(Effect.DENY, "a.b", NOTIFY)
    honest = saying(denying)
    env = DecisionEnv(say=lambda document: replace(honest(document), effect=Effect.ALLOW))
    decision = await env.ask()
    assert effects_of(decision) == [("deny", "pdp.answer_invalid")]
    assert decision.obligations == ()


async def test_the_idempotency_key_gives_the_same_ones_again() -> None:
    env = DecisionEnv(say=saying(ALLOWED))
    first = await env.ask(idempotency_key="k")
    env.policy.say = saying(finding(Effect.ALLOW, "tools.listed", NOTIFY))
    again = await env.ask(idempotency_key="k")
    assert again == first
    assert again.obligations == (REDACTED,)


async def test_what_details_lose_when_stored_obligations_lose_too() -> None:
    params = '{"password":"hunter2-long","to":"ada@example.com"}'
    obligation = {"id": "mask", "values": ["hunter2-long", "ada@example.com", "city"]}
    env = DecisionEnv(say=saying(finding(Effect.ALLOW, "tools.listed", obligation)))
    decision = await env.ask(action__params_json=params)
    assert decision.obligations == (Obligation("mask", {"values": obligation["values"]}),)
    [held] = await env.recorded()
    [kept] = held.decision.obligations
    assert kept == Obligation("mask", {"values": ["[redacted:sensitive]", "[redacted:email]", "city"]})
    assert held.decision.findings[0].details["obligations"] == [{"id": "mask", **kept.details}]


async def test_a_tenant_may_keep_real_values_of_them() -> None:
    env = DecisionEnv(say=saying(finding(Effect.ALLOW, "tools.listed", {"id": "mask", "to": "a@b.example"})),
                pii={"redact": False})  # fmt: skip
    decision = await env.ask()
    [held] = await env.recorded()
    assert held.decision.obligations == decision.obligations == (Obligation("mask", {"to": "a@b.example"}),)
