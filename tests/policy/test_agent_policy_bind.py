"""`tools.<tool>.bind` of a tenant's file: what it takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from placet.actions.bindings import Binding
from placet.kernel.model import ToolClass
from placet.policy.files.tenant_files import load_agent_policies
from placet.tenants.consistency import open_amounts
from placet.tenants.diagnostics import document_diagnostics
from placet.tenants.policy import TenantPolicy

MONEY: dict[str, Any] = {"amount": "/amount", "currency": "/currency", "unit": "major"}
SHIPPED = load_agent_policies(Path("rego"))


def bound(bind: object, schema: object = None) -> TenantPolicy:
    spec = {"bind": bind} | ({} if schema is None else {"params_schema": schema})
    return TenantPolicy.model_validate({"write_tools": ["pay"], "tools": {"pay": spec}})


def test_what_a_file_binds() -> None:
    policy = bound({**MONEY, "environment": "/env", "destination": "/to/url", "dry_run": "/options/dry"})
    assert policy.binding("pay") == Binding("/amount", "/currency", "major", "/env", "/to/url", "/options/dry")
    assert policy.binding("mail") is None
    assert bound({"dry_run": "/dry"}).binding("pay") == Binding(dry_run="/dry")
    assert bound({**MONEY, "currency": "JPY"}).binding("pay") == Binding("/amount", "JPY", "major")


def test_it_is_part_of_what_a_revision_means() -> None:
    assert bound(MONEY).as_data()["tools"]["pay"]["bind"] == MONEY
    assert (
        "bind"
        not in TenantPolicy.model_validate({"write_tools": ["pay"], "tools": {"pay": {}}}).as_data()["tools"]["pay"]
    )


@pytest.mark.parametrize(
    ("bind", "place", "what", "remedy"),
    [
        ({"amont": "/a"}, "tools.pay.bind.amont", "unknown key", "did you mean amount?"),
        ({}, "tools.pay.bind", "binds nothing", "name at least one field, or leave bind out"),
        (
            {"amount": "/amount", "currency": "USD"},
            "tools.pay.bind.unit",
            "is missing",
            "write major when the params say 45.00, minor when they say 4500",
        ),
        (
            {"amount": "/amount", "unit": "minor"},
            "tools.pay.bind.currency",
            "is missing",
            "write a code such as USD, or the JSON pointer to it, such as /currency",
        ),
        (
            {"currency": "USD", "unit": "minor"},
            "tools.pay.bind.amount",
            "is missing",
            "write the JSON pointer to the amount, such as /amount",
        ),
        ({**MONEY, "unit": "cents"}, "tools.pay.bind.unit", '"cents" is not known', "known: major, minor"),
        (
            {**MONEY, "currency": "usd"},
            "tools.pay.bind.currency",
            "usd is not an ISO 4217 currency; write a code such as USD",
            "",
        ),
        (
            {"dry_run": "/items/*/dry"},
            "tools.pay.bind.dry_run",
            "should point to one value; * is not allowed here",
            "",
        ),
        (
            {"destination": "url"},
            "tools.pay.bind.destination",
            'should be a JSON pointer into params, such as "/customer/email" or "/items/*/iban"',
            "",
        ),
    ],
)
def test_what_is_refused(bind: object, place: str, what: str, remedy: str) -> None:
    with pytest.raises(ValidationError) as refused:
        bound(bind)
    assert [(f.place, f.what, f.remedy) for f in document_diagnostics(refused.value)] == [(place, what, remedy)]


@pytest.mark.parametrize(
    ("bind", "field", "other"),
    [
        ({"amount": "/a", "currency": "/a", "unit": "minor"}, "currency", "amount"),
        ({"destination": "/a", "dry_run": "/a"}, "dry_run", "destination"),
        ({"environment": "/env", "dry_run": "/env/dry"}, "dry_run", "environment"),
        ({"amount": "/m/value", "currency": "/m", "unit": "minor"}, "currency", "amount"),
        ({"environment": "/a~1b", "destination": "/a~1b"}, "destination", "environment"),
    ],
)
def test_fields_that_are_bound_to_one_place(bind: object, field: str, other: str) -> None:
    with pytest.raises(ValidationError) as refused:
        bound(bind)
    [fault] = document_diagnostics(refused.value)
    assert fault.place == f"tools.pay.bind.{field}"
    assert f"overlaps with the pointer of {other}" in fault.what


def test_all_fields_at_one_place_are_all_told() -> None:
    with pytest.raises(ValidationError) as refused:
        bound({**MONEY, "amount": "/a", "currency": "/a", "destination": "/a", "dry_run": "/a"})
    places = [fault.place for fault in document_diagnostics(refused.value)]
    assert places == [f"tools.pay.bind.{name}" for name in ("currency", "destination", "dry_run")]


def test_places_that_only_begin_alike_are_apart() -> None:
    assert bound({"environment": "/env", "destination": "/envoy", "dry_run": "/environment"}).binding("pay")
    assert bound({"amount": "/m/value", "currency": "/m/code", "unit": "minor"}).binding("pay")


def _listed(**items: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object"}, **items}}}


@pytest.mark.parametrize("schema", [None, {"type": "object"}, _listed(), _listed(maxItems=2), _listed(minItems=1)])
@pytest.mark.parametrize(
    ("bind", "field"),
    [
        ({**MONEY, "amount": "/items/0/amount"}, "amount"),
        ({**MONEY, "currency": "/items/1/currency"}, "currency"),
        ({"destination": "/items/0"}, "destination"),
        ({"dry_run": "/items/12/dry"}, "dry_run"),
    ],
)
def test_one_item_of_a_list_binds_not_the_others(bind: object, field: str, schema: object) -> None:
    with pytest.raises(ValidationError) as refused:
        bound(bind, schema)
    faults = {fault.place: fault for fault in document_diagnostics(refused.value)}
    fault = faults[f"tools.pay.bind.{field}"]
    assert "is one item of a list, and the others would run without being compared" in fault.what
    assert "maxItems: 1" in fault.remedy


@pytest.mark.parametrize(
    "schema",
    [_listed(maxItems=1), {"type": "object", "properties": {"items": {"type": "object", "properties": {"0": {}}}}}],
)
def test_the_only_item_of_a_list_and_a_member_of_that_name(schema: object) -> None:
    assert bound({"destination": "/items/0"}, schema).binding("pay") == Binding(destination="/items/0")


_AMOUNTS: dict[str, Any] = {"amount": {}, "currency": {}}


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        (None, True),
        ({"type": "object"}, True),
        ({"type": "object", "properties": _AMOUNTS}, True),
        ({"type": "object", "properties": _AMOUNTS, "additionalProperties": True}, True),
        ({"type": "object", "properties": _AMOUNTS, "additionalProperties": {"type": "string"}}, True),
        ({"type": "object", "properties": _AMOUNTS, "additionalProperties": False}, False),
    ],
)
def test_an_open_schema_beside_a_bound_amount(schema: object, is_open: bool) -> None:  # noqa: FBT001 - expected
    assert list(open_amounts(bound(MONEY, schema))) == ["pay"] * is_open
    assert list(open_amounts(bound({"dry_run": "/amount"}, schema))) == []


def test_an_open_object_within_a_closed_one() -> None:
    bind = {"amount": "/m/value", "currency": "/m/code", "unit": "minor"}
    inner: dict[str, Any] = {"type": "object", "properties": {"value": {}, "code": {}}}
    outer = {"type": "object", "additionalProperties": False, "properties": {"m": inner}}
    assert list(open_amounts(bound(bind, outer))) == ["pay"]
    inner["additionalProperties"] = False
    assert list(open_amounts(bound(bind, outer))) == []


def test_no_shipped_amount_is_open() -> None:
    assert [tool for policy in SHIPPED.values() for tool in open_amounts(policy)] == []


CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"options": {"type": "object", "additionalProperties": False, "properties": {"dry": {}}}},
}


@pytest.mark.parametrize("pointer", ["/dry_run", "/options/dry_run"])
def test_a_pointer_that_the_closed_schema_refuses_would_deny_every_call(pointer: str) -> None:
    with pytest.raises(ValidationError) as refused:
        bound({"dry_run": pointer}, CLOSED)
    [fault] = document_diagnostics(refused.value)
    assert fault.place == "tools.pay.bind.dry_run"
    assert fault.what.startswith(f"{pointer} is a member that the tool's params_schema refuses")


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED,
        {"type": "object"},
        {"type": "object", "properties": {"x": {}}},
        {"type": "object", "additionalProperties": False, "properties": {"options": {"type": "object"}}},
        {"type": "object", "additionalProperties": False, "properties": {}, "patternProperties": {"^o": {}}},
    ],
)
def test_a_pointer_that_the_schema_leaves_room_for(schema: object) -> None:
    assert bound({"dry_run": "/options/dry"}, schema).binding("pay") == Binding(dry_run="/options/dry")


@pytest.mark.parametrize("tenant", sorted(SHIPPED))
def test_every_shipped_tool_that_writes_has_a_closed_schema_and_a_bound_dry_run(tenant: str) -> None:
    policy = SHIPPED[tenant]
    writing = [tool for tool, kind in policy.compiled.classes.items() if kind is ToolClass.WRITE]
    assert writing
    for tool in writing:
        binding = policy.binding(tool)
        assert binding is not None, tool
        assert binding.dry_run == "/dry_run", tool
        assert policy.tools[tool].params_schema["additionalProperties"] is False, tool


@pytest.mark.parametrize("tenant", sorted(SHIPPED))
def test_every_shipped_refund_binds_its_money(tenant: str) -> None:
    binding = SHIPPED[tenant].binding("stripe.refund")
    assert binding is not None
    assert (binding.amount, binding.currency) == ("/amount", "/currency")
