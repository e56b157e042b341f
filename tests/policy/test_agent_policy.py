from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from placet.kernel.model import ToolClass
from placet.tenants.diagnostics import document_diagnostics, hidden_diagnostics
from placet.tenants.policy import TenantPolicy

SAMPLE: dict[str, Any] = {
    "default_mode": "read_only",
    "allowed_tools": ["jira.search", "github.read_repo", "datadog.query", "confluence.read"],
    "write_tools": ["github.open_pull_request", "jira.create_ticket"],
    "approvals": {"github.open_pull_request": "required", "jira.create_ticket": "required"},
    "pii": {"redact": True, "log_retention_days": 30},
    "spend_limits": {"per_user_usd_per_day": Decimal("2.00"), "per_workspace_usd_per_month": Decimal("500.00")},
}


ONE_PERSON = {"quorum": 1, "approver_roles": [], "distinct_roles": False, "expires_after_seconds": 86_400}


def faults(document: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(ValidationError) as raised:
        TenantPolicy.model_validate(document)
    return [(fault.place, fault.what, fault.remedy) for fault in document_diagnostics(raised.value)]


def one_fault(document: Any) -> tuple[str, str, str]:
    found = faults(document)
    assert len(found) == 1, found
    return found[0]


def beside(document: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        TenantPolicy.model_validate(document)
    return [fault.place for fault in hidden_diagnostics(document, document_diagnostics(raised.value))]


MISTAKES: dict[str, Any] = {
    "write_tools": ["pay", "mail"],
    "approvals": {"pay": {"quorum": 0}, "mial": "required", "mail": {"quorum": 2}},
    "approver_groups": {"lead": ["ann"]},
    "pii": {"redact": "perhaps"},
    "dry_run": {"required": ["pya"]},
}


def test_wrong_values_do_not_hide_what_does_not_fit_together() -> None:
    assert {place for place, *_ in faults(MISTAKES)} == {"approvals.pay.quorum", "pii.redact"}
    assert beside(MISTAKES) == ["approvals.mial", "dry_run.required[0]", "approvals.mail.quorum"]


@pytest.mark.parametrize(
    "changed",
    [
        {"write_tools": "pay"},  # what are the tools?
        {"write_tool": ["pay"]},
        {"pii": {}, "approvals": {"mail": {"quorum": 2}}},  # nothing was hidden
    ],
)
def test_nothing_is_made_up_of_what_cannot_be_known(changed: dict[str, Any]) -> None:
    assert beside({**MISTAKES, **changed}) == []


def test_the_designs_sample_fails_for_what_is_not_enforced_yet_alone() -> None:
    remedy = "remove it: Placet accepts only keys that it enforces"
    assert faults(SAMPLE) == [("pii.log_retention_days", "not enforced yet", remedy)]


def test_the_designs_sample_loads_without_it() -> None:
    policy = TenantPolicy.model_validate({**SAMPLE, "pii": {"redact": True}})
    assert [(budget.id, budget.limit) for budget in policy.all_budgets] == [
        ("spend.per_user_per_day", 2_000_000),
        ("spend.per_workspace_per_month", 500_000_000),
    ]
    assert policy.tool_class("jira.search") is ToolClass.READ
    assert policy.tool_class("jira.create_ticket") is ToolClass.WRITE
    assert policy.tool_class("rm") is ToolClass.UNKNOWN
    assert policy.redact
    assert policy.sensitive("jira.search") == ()


def test_data_document_has_every_key_and_sorted_lists() -> None:
    policy = TenantPolicy.model_validate(
        {
            "default_mode": "read_write",
            "allowed_tools": ["b", "a"],
            "write_tools": ["pay", "mail"],
            "approvals": {
                "pay": {
                    "quorum": 2,
                    "approver_roles": ["lead", "cfo"],
                    "distinct_roles": True,
                    "expires_after_seconds": 600,
                },
                "mail": "not_required",
                "a": "required",
            },
            "permits": "always",
            "pii": {"redact": False},
            "approver_groups": {"lead": ["u_2", "u_1"], "cfo": ["u_3"]},
            "autonomy": {
                "default": "draft_only",
                "rules": [{"tool": "pay", "workflow": "refunds", "level": "execute"}],
                "approval": {"quorum": 2, "approver_roles": ["lead"]},
                "observe": "shadow",
            },
            "budgets": [
                {
                    "id": "refunds.per_customer",
                    "scope": "customer",
                    "customer": "/customer",
                    "measure": "amount",
                    "currency": "EUR",
                    "limit": Decimal("2.5"),
                    "window": "day",
                    "timezone": "Europe/Berlin",
                    "match": {"tools": ["p*", "mail"], "workflows": ["w"], "environments": ["prod", "dev"]},
                    "on_exceed": "require_approval",
                    "approval": {"quorum": 1, "approver_roles": ["lead", "cfo"]},
                    "warn_at": Decimal("0.8"),
                    "unreported": "release",
                },
            ],
            "limits": {
                "max_tool_calls": 20,
                "max_tokens": 10_000,
                "breaker": {"error_rate": Decimal("0.5"), "scopes": ["tenant", "run"]},
                "workflows": {"triage": {"max_tool_calls": 5, "max_duration_seconds": 60}},
            },
            "spend_limits": {"per_user_usd_per_day": 2},
            "tools": {
                "pay": {
                    "params_schema": {"type": "object"},
                    "sensitive": ["/card", "/items/*/iban"],
                    "cost": Decimal("0.002"),
                },
                "a": {},
            },
            "destinations": {"mail": ["*.b", "*.a"]},
            "evidence": {"a": {"min_items": 2}},
            "environments": {"write": ["staging", "dev"]},
            "dry_run": {"required": ["pay"], "waives_approval": ["pay", "mail"]},
            "packs": {"refunds": {"share": Decimal("2.00"), "by": {"USD": 1}}},
        }
    )
    assert policy.as_data() == {
        "default_mode": "read_write",
        "allowed_tools": ["a", "b"],
        "write_tools": ["mail", "pay"],
        "approvals": {
            "pay": {
                "required": True,
                "quorum": 2,
                "approver_roles": ["cfo", "lead"],
                "distinct_roles": True,
                "expires_after_seconds": 600,
            },
            "mail": {"required": False, **ONE_PERSON},
            "a": {"required": True, **ONE_PERSON},
        },
        "approver_groups": {"lead": ["u_1", "u_2"], "cfo": ["u_3"]},
        "autonomy": {
            "default": "draft_only",
            "rules": [{"level": "execute", "workflow": "refunds", "tool": "pay", "agent": ""}],
            "approval": {"quorum": 2, "approver_roles": ["lead"]},
            "observe": "shadow",
        },
        "budgets": {
            "refunds.per_customer": {
                "scope": "customer",
                "customer": "/customer",
                "measure": "amount",
                "currency": "EUR",
                "limit": 250,
                "window": "day",
                "timezone": "Europe/Berlin",
                "match": {"tools": ["mail", "p*"], "workflows": ["w"], "environments": ["dev", "prod"]},
                "on_exceed": "require_approval",
                "approval": {"quorum": 1, "approver_roles": ["cfo", "lead"]},
                "warn_at_per_mille": 800,
                "unreported": "release",
            },
            "spend.per_user_per_day": {
                "scope": "user",
                "customer": "",
                "measure": "cost",
                "currency": "USD",
                "limit": 2_000_000,
                "window": "day",
                "timezone": "UTC",
                "match": {"tools": [], "workflows": [], "environments": []},
                "on_exceed": "deny",
                "approval": {},
                "warn_at_per_mille": None,
                "unreported": "count",
            },
        },
        "currency": "USD",
        "limits": {
            "max_tool_calls": 20,
            "max_tokens": 10_000,
            "max_duration_seconds": None,
            "max_same_action": None,
            "breaker": {
                "failures_in_a_row": None,
                "error_rate_per_mille": 500,
                "min_calls": 10,
                "window_seconds": 60,
                "open_seconds": 30,
                "effect": "deny",
                "scopes": ["run", "tenant"],
            },
            "workflows": {
                "triage": {
                    "max_tool_calls": 5,
                    "max_tokens": 10_000,
                    "max_duration_seconds": 60,
                    "max_same_action": None,
                },
            },
        },
        "permits": "always",
        "pii": {"redact": False},
        "spend_limits": {"per_user_usd_per_day": 2},
        "tools": {
            "pay": {
                "params_schema": {"type": "object"},
                "sensitive": ["/card", "/items/*/iban"],
                "cost_micros": 2_000,
            },
            "a": {"sensitive": [], "cost_micros": 0},
        },
        "destinations": {"mail": ["*.a", "*.b"]},
        "destination_expressions": {
            "mail": [rf"^(?s:[^./:@?#\\]*\.{last})$" for last in ("a", "b")],
        },
        "evidence": {"a": {"min_items": 2}},
        "environments": {"write": ["dev", "staging"]},
        "dry_run": {"required": ["pay"], "waives_approval": ["mail", "pay"]},
        "packs": {"refunds": {"share": Decimal("2.00"), "by": {"USD": 1}}},
    }
    assert policy.permits_always
    assert not policy.redact
    assert policy.sensitive("pay") == ("/card", "/items/*/iban")


def test_an_empty_policy_is_read_only_redacts_and_knows_no_tool() -> None:
    policy = TenantPolicy.model_validate({})
    assert not policy.permits_always
    assert policy.redact
    assert policy.tool_class("") is ToolClass.UNKNOWN
    assert policy.as_data() == {
        "default_mode": "read_only",
        "allowed_tools": [],
        "write_tools": [],
        "approvals": {},
        "approver_groups": {},
        "autonomy": {
            "default": "execute",
            "rules": [],
            "approval": {"quorum": 1, "approver_roles": []},
            "observe": "deny",
        },
        "budgets": {},
        "currency": "USD",
        "limits": {
            "max_tool_calls": None,
            "max_tokens": None,
            "max_duration_seconds": None,
            "max_same_action": None,
            "breaker": {},
            "workflows": {},
        },
        "permits": "on_request",
        "pii": {"redact": True},
        "spend_limits": {},
        "tools": {},
        "destinations": {},
        "destination_expressions": {},
        "evidence": {},
        "environments": {},
        "dry_run": {"required": [], "waives_approval": []},
        "packs": {},
    }


def test_a_policy_cannot_be_changed() -> None:
    policy = TenantPolicy.model_validate({})
    with pytest.raises(ValidationError, match="frozen"):
        policy.default_mode = "read_write"  # type: ignore[misc] # that is the test


@pytest.mark.parametrize(
    ("document", "place", "what", "remedy"),
    [
        ({"alowed_tools": []}, "alowed_tools", "unknown key", "did you mean allowed_tools?"),
        ({"pii": {"redcat": True}}, "pii.redcat", "unknown key", "did you mean redact?"),
        (
            {"zzz": 1},
            "zzz",
            "unknown key",
            (
                "known: agents, agents_mode, allowed_tools, approvals, approver_groups, autonomy, budgets, currency, "
                "default_mode, delegation, destinations, dry_run, ..."
            ),
        ),
        ({"default_mode": "readonly"}, "default_mode", '"readonly" is not known', "did you mean read_only?"),
        ({"default_mode": None}, "default_mode", "should be a word, not nothing", "known: read_only, read_write"),
        ({"permits": "on request"}, "permits", '"on request" is not known', "did you mean on_request?"),
        ({"permits": ["always"]}, "permits", "should be a word, not a list", "known: always, on_request"),
        ({"permits": True}, "permits", "should be a word, not true", "known: always, on_request"),
        ({"pii": {"redact": "yes"}}, "pii.redact", 'should be true or false, not "yes"', ""),
        ({"pii": {"redact": 1}}, "pii.redact", "should be true or false, not the number 1", ""),
        ({"pii": True}, "pii", "should be a mapping, not true", ""),
        ({"allowed_tools": "a"}, "allowed_tools", 'should be a list, not "a"', ""),
        ({"allowed_tools": [1]}, "allowed_tools[0]", "should be text, not the number 1", ""),
        ({"allowed_tools": [["a"]]}, "allowed_tools[0]", "should be text, not a list", ""),
        ({"allowed_tools": ["a", "a"]}, "allowed_tools", "a is listed twice", ""),
        (
            {"allowed_tools": ["a b"]},
            "allowed_tools[0]",
            "should be a tool's name: 1 to 128 characters of A-Z a-z 0-9 . _ : / -",
            "",
        ),
        (
            {"allowed_tools": ["placet.canary"]},
            "allowed_tools[0]",
            "tools whose names begin with 'placet.' are reserved for Placet",
            "",
        ),
        ({"approvals": 3}, "approvals", "should be a mapping, not the number 3", ""),
        (
            {"destinations": {"a": []}},
            "destinations.a",
            "should name at least one; leave the key out when there is no restriction",
            "",
        ),
        ({"destinations": {"a": [""]}}, "destinations.a[0]", "should be text of 1 to 1024 bytes", ""),
        ({"environments": {}}, "environments.write", "is missing", ""),
        ({"environments": {"write": {"a": 1}}}, "environments.write", "should be a list, not a mapping", ""),
        (
            {"evidence": {"a": {"min_items": 0}}},
            "evidence.a.min_items",
            "should be greater than or equal to 1, not the number 0",
            "",
        ),
        (
            {"evidence": {"a": {"min_items": Decimal("1.5")}}},
            "evidence.a.min_items",
            "should be a whole number, not the number 1.5",
            "",
        ),
        (
            {"tools": {"a": {"sensitive": ["card"]}}},
            "tools.a.sensitive[0]",
            'should be a JSON pointer into params, such as "/customer/email" or "/items/*/iban"',
            "",
        ),
        (
            {"tools": {"a": {"params_schema": None}}},
            "tools.a.params_schema",
            "should be a JSON Schema, which is a mapping",
            "",
        ),
        (
            {"packs": {"refunds": {"share": 0.1}}},
            "packs.refunds.share",
            "float is not allowed; use whole numbers, decimals, text, true, false, lists, maps",
            "",
        ),
        ({"packs": {"refunds": 1}}, "packs.refunds", "should be a mapping, not the number 1", ""),
        ({"environments": {"write": "x" * 50}}, "environments.write", f'should be a list, not "{"x" * 40}"...', ""),
    ],
)
def test_what_is_wrong_is_named_with_its_place(document: Any, place: str, what: str, remedy: str) -> None:
    assert one_fault(document) == (place, what, remedy)


@pytest.mark.parametrize(
    "document",
    [
        {"pii": {"log_retention_days": 30}},
        *({"tools": {"a": {key: 1}}} for key in ("class", "timeout_ms")),
    ],
)
def test_keys_of_later_are_refused_as_not_enforced_yet(document: Any) -> None:
    assert one_fault(document)[1] == "not enforced yet"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("requird", "did you mean required?"),
        ("maybe", "known: not_required, required"),
        (None, "should be required, not_required, or a mapping"),
        (True, "should be required, not_required, or a mapping"),
    ],
)
def test_an_approval_that_is_none(value: Any, said: str) -> None:
    place, what, _ = one_fault({"approvals": {"a": value}})
    assert place == "approvals.a"
    assert said in what


@pytest.mark.parametrize("quorum", [0, 17, True, "2"])
def test_a_quorum_is_1_to_16_people(quorum: Any) -> None:
    assert one_fault({"write_tools": ["a"], "approvals": {"a": {"quorum": quorum}}})[0] == "approvals.a.quorum"


def test_a_tool_in_both_lists() -> None:
    assert one_fault({"allowed_tools": ["a"], "write_tools": ["b", "a"]}) == (
        "write_tools[1]",
        "a is in allowed_tools (read) as well as in write_tools",
        "keep it in one of the two",
    )


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"approvals": {"jira.serch": "required"}}, 'approvals["jira.serch"]'),
        ({"tools": {"jira.serch": {}}}, 'tools["jira.serch"]'),
        ({"destinations": {"jira.serch": ["x"]}}, 'destinations["jira.serch"]'),
        ({"evidence": {"jira.serch": {"min_items": 1}}}, 'evidence["jira.serch"]'),
        ({"dry_run": {"required": ["jira.serch"]}}, "dry_run.required[0]"),
        ({"dry_run": {"waives_approval": ["jira.search", "jira.serch"]}}, "dry_run.waives_approval[1]"),
    ],
)
def test_a_tool_in_no_list_is_refused_wherever_it_is_named(document: Any, place: str) -> None:
    assert one_fault({"allowed_tools": ["jira.search"], **document}) == (
        place,
        "jira.serch is in neither allowed_tools nor write_tools",
        "did you mean jira.search?",
    )


def test_all_that_is_inconsistent_is_told_at_once() -> None:
    places = [
        fault[0] for fault in faults({"allowed_tools": ["a"], "write_tools": ["a"], "approvals": {"b": "required"}})
    ]
    assert places == ["write_tools[0]", "approvals.b"]


@given(st.text(min_size=1, max_size=30))
@example("[key]")
def test_no_key_is_ignored(key: str) -> None:
    if key not in TenantPolicy.model_fields:
        assert one_fault({key: 1})[1] in {"unknown key", "not enforced yet"}
