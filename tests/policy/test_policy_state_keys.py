"""Keys that become budgets, limits of runs, autonomy and approvals: what is taken, what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from placet.approvals.eligibility import may_act_as
from placet.kernel.limits import APPROVAL_TTL_SECONDS_DEFAULT, SAFE_INTEGER_MAX
from placet.tenants.diagnostics import document_diagnostics
from placet.tenants.policy import TenantPolicy
from tests.support.builders import budget, policy


def faults(**said: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as raised:
        policy(**said)
    return [(fault.place, fault.what) for fault in document_diagnostics(raised.value)]


def budget_fault(**said: Any) -> tuple[str, str]:
    [(place, what)] = faults(budgets=[budget(**said)])
    return place.removeprefix("budgets[0]").removeprefix("."), what


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ({"measure": "calls", "limit": 20}, 20),
        ({"measure": "calls", "limit": Decimal(20)}, 20),
        ({"measure": "tokens", "limit": Decimal("2E+4")}, 20_000),
        ({"measure": "cost", "limit": Decimal("2.00")}, 2_000_000),
        ({"measure": "cost", "limit": Decimal("0.000001")}, 1),
        ({"measure": "cost", "limit": 3}, 3_000_000),
        ({"measure": "amount", "currency": "USD", "limit": Decimal("100.01")}, 10_001),
        ({"measure": "amount", "currency": "USD", "limit": Decimal("0.010000")}, 1),
        ({"measure": "amount", "currency": "JPY", "limit": 100}, 100),
        ({"measure": "amount", "currency": "BHD", "limit": Decimal("1.234")}, 1_234),
        ({"measure": "calls", "limit": SAFE_INTEGER_MAX}, SAFE_INTEGER_MAX),
    ],
)
def test_limits_are_read_exactly(said: dict[str, Any], limit: int) -> None:
    [written] = policy(budgets=[budget(**said)]).all_budgets
    assert written.limit == limit


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"limit": 0}, "should be above 0"),
        ({"limit": -1}, "should be above 0"),
        ({"limit": Decimal("-0.5")}, "should be above 0"),
        ({"limit": Decimal("NaN")}, "should be above 0"),
        ({"limit": Decimal("sNaN")}, "should be above 0"),
        ({"limit": Decimal("Infinity")}, "should be above 0"),
        ({"limit": True}, "should be a number, such as 2.00"),
        ({"limit": "20"}, "should be a number, such as 2.00"),
        ({"limit": 2.5}, "should be a number, such as 2.00"),
        ({"limit": None}, "should be a number, such as 2.00"),
        ({"limit": Decimal("1.5")}, "should be a whole number"),
        ({"limit": Decimal("1.00000000000000000000000000000000000001")}, "should be a whole number"),
        ({"limit": SAFE_INTEGER_MAX + 1}, "is too large"),
        ({"limit": Decimal("1E+999999")}, "is too large"),
        ({"measure": "cost", "limit": Decimal("0.0000001")}, "has more than 6 decimal places"),
        ({"measure": "amount", "currency": "USD", "limit": Decimal("0.001")}, "has more than 2 decimal places"),
        ({"measure": "amount", "currency": "JPY", "limit": Decimal("0.5")}, "should be a whole number"),
    ],
)
def test_what_is_no_limit(said: dict[str, Any], what: str) -> None:
    assert budget_fault(**said) == ("limit", what)


@pytest.mark.parametrize(
    ("said", "place", "what"),
    [
        ({"window": "week"}, "window", '"week" is not known'),
        ({"scope": "usr"}, "scope", '"usr" is not known'),
        ({"measure": "money"}, "measure", '"money" is not known'),
        ({"on_exceed": "warn"}, "on_exceed", '"warn" is not known'),
        ({"unreported": "drop"}, "unreported", '"drop" is not known'),
        ({"limti": 1}, "limti", "unknown key"),
        ({"match": {"tool": ["pay"]}}, "match.tool", "unknown key"),
        (
            {"match": {"tools": []}},
            "match.tools",
            "should name at least one; leave the key out when there is no restriction",
        ),
        (
            {"match": {"tools": ["stripe.*"]}},
            "match.tools[0]",
            "stripe.* matches no tool of allowed_tools or write_tools",
        ),
        ({"measure": "amount"}, "currency", "is missing"),
        (
            {"measure": "amount", "currency": "USX"},
            "currency",
            "USX is not an ISO 4217 currency; write a code such as USD",
        ),
        ({"currency": "USD"}, "currency", "is not read: calls have no currency"),
        (
            {"measure": "cost", "currency": "EUR"},
            "currency",
            "EUR is not the tenant's currency, USD, in which all cost is counted",
        ),
        ({"scope": "customer"}, "customer", "is missing"),
        ({"customer": "/id"}, "customer", "is not read with the scope tenant"),
        (
            {"scope": "customer", "customer": "id"},
            "customer",
            'should be a JSON pointer into params, such as "/customer/email" or "/items/*/iban"',
        ),
        ({"scope": "customer", "customer": "/a/*"}, "customer", "should point to one value; * is not allowed here"),
        ({"scope": "run", "window": "day"}, "window", "day does not fit the scope run"),
        ({"scope": "run", "window": "lifetime"}, "window", "lifetime does not fit the scope run"),
        ({"scope": "user", "window": "run"}, "window", "run does not fit the scope user"),
        ({"scope": "tenant", "window": "run"}, "window", "run does not fit the scope tenant"),
        (
            {"window": "lifetime", "timezone": "Europe/Berlin"},
            "timezone",
            "is not read with the window lifetime, which does not end with time",
        ),
        (
            {"timezone": "Europe/Berln"},
            "timezone",
            "Europe/Berln is not an IANA time zone; did you mean Europe/Berlin?",
        ),
        (
            {"timezone": "localtime"},
            "timezone",
            "localtime is not an IANA time zone; write a name such as Europe/Berlin",
        ),
        ({"approval": {"quorum": 1}}, "approval", "is not read with on_exceed deny"),
        (
            {"on_exceed": "require_approval", "approval": {"quorum": 0}},
            "approval.quorum",
            "should be greater than or equal to 1, not the number 0",
        ),
        ({"warn_at": 1}, "warn_at", "should be below 1"),
        ({"warn_at": 0}, "warn_at", "should be above 0"),
        ({"warn_at": Decimal("1.1")}, "warn_at", "should be a share of 1, such as 0.8"),
        ({"warn_at": Decimal("0.8001")}, "warn_at", "has more than 3 decimal places"),
        *(
            ({"id": name}, "id", "should be an id: parts of a-z 0-9 _ joined by dots, at most 64 characters")
            for name in ("", "A", "a-b", "a..b", ".a", "a.", "a b", "x" * 65)
        ),
        *(
            ({"id": name}, "id", f"{name} is reserved for Placet; use another id")
            for name in ("currency", "customer_missing", "spend.mine", "limits.loop")
        ),
    ],
)
def test_what_is_no_budget(said: dict[str, Any], place: str, what: str) -> None:
    assert budget_fault(**said) == (place, what)


def test_budgets_have_ids_of_their_own() -> None:
    assert faults(budgets=[budget(), budget()]) == [("budgets[1].id", "b is used twice")]


def test_a_tenant_has_so_many_budgets_and_no_more() -> None:
    assert len(policy(budgets=[budget(id=f"b{n}") for n in range(64)]).all_budgets) == 64
    [(place, what)] = faults(budgets=[budget(id=f"b{n}") for n in range(65)])
    assert place == "budgets"
    assert "at most 64 items" in what


def test_spend_limits_are_in_usd() -> None:
    said = {"per_workspace_usd_per_month": Decimal("500.00")}
    assert faults(currency="EUR", spend_limits=said) == [
        ("spend_limits", "are in USD, but the tenant's currency is EUR")
    ]
    assert [b.limit for b in policy(spend_limits=said).all_budgets] == [500_000_000]


@pytest.mark.parametrize("limit", [0, Decimal(-1), Decimal("NaN"), 2.0, "2.00"])
def test_what_is_no_spend_limit(limit: object) -> None:
    [(place, _)] = faults(spend_limits={"per_user_usd_per_day": limit})
    assert place == "spend_limits.per_user_usd_per_day"


@pytest.mark.parametrize(
    ("said", "place", "what"),
    [
        ({"max_tool_calls": 0}, "max_tool_calls", "should be greater than or equal to 1, not the number 0"),
        ({"max_tokens": "9"}, "max_tokens", 'should be a whole number, not "9"'),
        ({"max_duration": 5}, "max_duration", "unknown key"),
        (
            {"max_duration_seconds": 604_801},
            "max_duration_seconds",
            "should be less than or equal to 604800, not the number 604801",
        ),
        ({"workflows": {"w": {"max_calls": 5}}}, "workflows.w.max_calls", "unknown key"),
        (
            {"workflows": {"w": {"max_same_action": -1}}},
            "workflows.w.max_same_action",
            "should be greater than or equal to 1, not the number -1",
        ),
        ({"breaker": {}}, "breaker", "would never open"),
        ({"breaker": {"failures_in_a_row": 3, "scopes": []}}, "breaker.scopes", None),
        ({"breaker": {"failures_in_a_row": 3, "scopes": ["agent"]}}, "breaker.scopes[0]", '"agent" is not known'),
        ({"breaker": {"error_rate": Decimal("1.5")}}, "breaker.error_rate", "should be a share of 1, such as 0.8"),
        ({"breaker": {"failures_in_a_row": 3, "effect": "allow"}}, "breaker.effect", '"allow" is not known'),
    ],
)
def test_what_are_no_limits(said: dict[str, Any], place: str, what: str | None) -> None:
    [(found, told)] = faults(limits=said)
    assert found == f"limits.{place}"
    assert what in {None, told}


@pytest.mark.parametrize(
    ("said", "place", "what"),
    [
        ({"default": "full"}, "default", '"full" is not known'),
        ({"rules": [{"level": "execute"}]}, "rules[0]", "names no workflow, tool or agent"),
        ({"rules": [{"tool": "pay"}]}, "rules[0].level", "is missing"),
        (
            {"rules": [{"tool": "py", "level": "execute"}]},
            "rules[0].tool",
            "py matches no tool of allowed_tools or write_tools",
        ),
        (
            {"rules": [{"tool": "pay", "level": "execute"}, {"tool": "pay", "level": "draft_only"}]},
            "rules[1]",
            "tool=pay has a level already",
        ),
        ({"observe": "hide"}, "observe", '"hide" is not known'),
        ({"approval": {"quorum": 17}}, "approval.quorum", "should be less than or equal to 16, not the number 17"),
    ],
)
def test_what_is_no_autonomy(said: dict[str, Any], place: str, what: str) -> None:
    assert faults(autonomy=said) == [(f"autonomy.{place}", what)]


def test_an_approval_expires_within_a_week() -> None:
    written = policy(approvals={"pay": {"expires_after_seconds": 60}, "mail": "required"})
    assert written.approval_seconds("pay") == 60
    assert written.approval_seconds("mail") == written.approval_seconds("look") == APPROVAL_TTL_SECONDS_DEFAULT
    for seconds in (0, -1, 604_801):
        [(place, _)] = faults(approvals={"pay": {"expires_after_seconds": seconds}})
        assert place == "approvals.pay.expires_after_seconds"


@pytest.mark.parametrize("key", ["expires_after", "ttl_seconds"])
def test_near_misses_of_the_expiry_are_refused(key: str) -> None:
    assert faults(approvals={"pay": {key: 60}}) == [(f"approvals.pay.{key}", "unknown key")]


def test_people_of_different_roles_need_as_many_roles() -> None:
    said = {"quorum": 2, "approver_roles": ["lead"], "distinct_roles": True}
    assert faults(approvals={"pay": said}) == [
        ("approvals.pay.quorum", "2 people of different roles must approve, but there are 1 approver_roles")
    ]
    policy(approvals={"pay": {**said, "approver_roles": ["lead", "finance"]}})


GROUPS = {"lead": ["u_1", "u_2"], "finance": ["u_2", "u_3"], "cfo": ["u_2"]}


@pytest.mark.parametrize(
    ("said", "place", "what"),
    [
        ({"quorum": 3, "approver_roles": ["lead"]}, "quorum", "3 people must approve, but only 2 may"),
        ({"quorum": 4, "approver_roles": ["lead", "finance"]}, "quorum", "4 people must approve, but only 3 may"),
        ({"quorum": 4}, "quorum", "4 people must approve, but only 3 may"),
        (
            {"quorum": 3, "approver_roles": ["lead", "finance", "cfo", "lead2"], "distinct_roles": True},
            "approver_roles[3]",
            "lead2 is not an approver group",
        ),
        ({"quorum": 1, "approver_roles": ["leads", "lead"]}, "approver_roles[0]", "leads is not an approver group"),
    ],
)
def test_a_quorum_that_nobody_could_reach_is_refused(said: dict[str, Any], place: str, what: str) -> None:
    assert faults(approver_groups=GROUPS, approvals={"pay": said}) == [(f"approvals.pay.{place}", what)]


def test_a_person_counts_for_one_role_alone() -> None:
    groups = {"lead": ["u_1", "u_2"], "finance": ["u_1"], "cfo": ["u_1"]}
    said = {"quorum": 3, "approver_roles": ["lead", "finance", "cfo"], "distinct_roles": True}
    assert faults(approver_groups={**groups, "lead": ["u_1", "u_2", "u_3"]}, approvals={"pay": said}) == [
        ("approvals.pay.quorum", "3 people of different roles must approve, but only 2 can")
    ]
    policy(approver_groups=GROUPS, approvals={"pay": said})


@pytest.mark.parametrize("other", ["Ann", " ann", "\uff41nn"])
def test_another_spelling_is_no_other_person(other: str) -> None:
    pair = {
        "approver_groups": {"boss": ["ann", other]},
        "approvals": {"pay": {"quorum": 2, "approver_roles": ["boss"]}},
    }
    assert faults(**pair) == [("approvals.pay.quorum", "2 people must approve, but only 1 may")]
    distinct = {"quorum": 2, "approver_roles": ["boss", "cfo"], "distinct_roles": True}
    groups = {"boss": ["ann"], "cfo": [other], "aside": ["bob"]}
    assert faults(approver_groups=groups, approvals={"pay": distinct}) == [
        ("approvals.pay.quorum", "2 people must approve, but only 1 may")
    ]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"autonomy": {"approval": {"quorum": 4}}}, "autonomy.approval.quorum"),
        (
            {"budgets": [budget(on_exceed="require_approval", approval={"quorum": 2, "approver_roles": ["cfo"]})]},
            "budgets[0].approval.quorum",
        ),
    ],
)
def test_every_quorum_is_looked_at(said: dict[str, Any], place: str) -> None:
    [(found, _)] = faults(approver_groups=GROUPS, **said)
    assert found == place


@pytest.mark.parametrize("persons", [[], ["u_1", "u_1"], [""], "u_1"])
def test_what_is_no_group(persons: object) -> None:
    [(place, _)] = faults(approver_groups={"lead": persons})
    assert place.startswith("approver_groups.lead")


def test_who_may_act_in_which_role() -> None:
    assert may_act_as(GROUPS, "u_1", ("lead", "finance", "other")) == ("lead",)
    assert may_act_as({}, "u_1", ("lead", "other")) == ("lead", "other")


@pytest.mark.parametrize("cost", [0, Decimal("0.0000001"), 0.5, "1"])
def test_what_is_no_fee(cost: object) -> None:
    [(place, _)] = faults(tools={"pay": {"cost": cost}})
    assert place == "tools.pay.cost"


def test_a_fee_is_read_exactly() -> None:
    written = TenantPolicy.model_validate({"write_tools": ["pay"], "tools": {"pay": {"cost": Decimal("0.002")}}})
    assert (written.tool_cost_micros("pay"), written.tool_cost_micros("look")) == (2_000, 0)
