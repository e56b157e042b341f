"""Invalid requests over gRPC: the error names field and remedy, the record has no params, nothing is decided."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.kernel.limits import MESSAGE_BYTES_MAX
from placet.v1 import authorization_pb2
from tests.transport.wire import AUTHORIZE, AUTHORIZE_BATCH, GET, PARAM_SECRET, QUERY, Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving import Server

NESTED = '{"a":' + "[" * 32 + "]" * 32 + "}"
MONEY = "action.amount"
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("no tool", {"action.tool": ""}, "action.tool", "is required"),
    ("no tenant", {"identity.tenant": ""}, "identity.tenant", "is required"),
    ("no agent", {"identity.agent": ""}, "identity.agent", "is required"),
    ("oversize params", {"action.params_json": json.dumps({"q": "x" * 65_536})}, "action.params_json", "at most 65536"),
    ("depth", {"action.params_json": NESTED}, "action.params_json", "deeper than 32"),
    ("NaN", {"action.params_json": '{"q":NaN}'}, "action.params_json", "at /q: NaN is not JSON"),
    ("Infinity", {"action.params_json": '{"q":Infinity}'}, "action.params_json", "at /q: Infinity is not JSON"),
    ("duplicate keys", {"action.params_json": '{"q":1,"q":2}'}, "action.params_json", "same key twice"),
    ("lone surrogate", {"action.params_json": '{"q":"\\ud800"}'}, "action.params_json", "lone surrogate"),
    ("integer", {"action.params_json": '{"q":9007199254740992}'}, "action.params_json", "at /q: integer beyond"),
    ("digits", {"action.params_json": '{"q":' + "9" * 5_000 + "}"}, "action.params_json", "integer beyond"),
    ("no JSON", {"action.params_json": "rm -rf"}, "action.params_json", "is not JSON"),
    ("no object", {"action.params_json": "[1]"}, "action.params_json", "must be a JSON object, not an array"),
    ("negative", {MONEY: {"currency_code": "USD", "minor_units": -1}}, f"{MONEY}.minor_units", "must be 0 to"),
    ("no currency", {MONEY: {"minor_units": 1}}, f"{MONEY}.currency_code", "is required with an amount"),
    ("currency", {MONEY: {"currency_code": "XYZ", "minor_units": 1}}, f"{MONEY}.currency_code", "ISO 4217"),
    ("exponent", {MONEY: {"currency_code": "JPY", "exponent": 2}}, f"{MONEY}.exponent", "JPY has 0 decimal places"),
    ("no key", {"idempotency_key": ""}, "idempotency_key", "is required"),
    ("long key", {"idempotency_key": "k" * 129}, "idempotency_key", "is 129 bytes; at most 128"),
    ("10,000 roles", {"identity.roles": ["r"] * 10_000}, "identity.roles", "has 10000 entries; at most 64"),
    ("reserved tool", {"action.tool": "placet.canary"}, "action.tool", "reserved"),
    ("approval", {"approval_id": "apr_\n"}, "approval_id", "control"),
]


class Before:
    """The state of the audit trail before the call."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._decided = len(server.records("decision.made"))
        self._refused = len(server.records("request.refused"))

    def check_nothing_decided(self) -> None:
        assert len(self._server.records("decision.made")) == self._decided

    def check_one_refused(self, method: str, tenant: str, *fields: str) -> None:
        """One refusal more, naming these fields, without params."""
        new = self._server.records("request.refused")[self._refused :]
        assert [(each["tenant"], each["body"]["method"]) for each in new] == [(tenant, method)]
        assert PARAM_SECRET not in json.dumps(new)
        said = new[0]["parts"]["refusal"]["violations"]
        assert [each["field"] for each in said] == list(fields)
        assert all(each["description"] for each in said)
        assert new[0]["body"]["violations"] == len(fields)
        self.check_nothing_decided()


@pytest.fixture
def before(placet_server: Server) -> Before:
    return Before(placet_server)


def refused(call: Callable[[], object], code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.code is code
    return caught.value


def invalid(call: Callable[[], object]) -> dict[str, str]:
    """Return the violations of an invalid call. Asserts code, reason and domain."""
    refusal = refused(call)
    assert (refusal.reason, refusal.domain) == ("INVALID_REQUEST", "placet")
    assert refusal.retry_after_seconds is None
    assert all(description in refusal.text for description in refusal.violations.values())
    return refusal.violations


@pytest.mark.parametrize(("changes", "field", "what"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_one_invalid_field(wire: Wire, before: Before, changes: dict[str, Any], field: str, what: str) -> None:
    violations = invalid(lambda: wire.authorize(request(changes)))
    assert list(violations) == [field]
    assert what in violations[field]
    tenant = "" if field == "identity.tenant" else "acme"
    before.check_one_refused("Authorize", tenant, field)


def test_an_empty_request_names_all_required_fields(wire: Wire, before: Before) -> None:
    fields = ["idempotency_key", "action.tool", "identity.agent", "identity.tenant"]
    violations = invalid(lambda: wire.raw(AUTHORIZE, b""))
    assert list(violations) == fields
    before.check_one_refused("Authorize", "", *fields)


@pytest.mark.parametrize("method", [AUTHORIZE, AUTHORIZE_BATCH])
@pytest.mark.parametrize("damage", ["utf-8", "truncated", "noise"])
def test_invalid_bytes(wire: Wire, before: Before, method: str, damage: str) -> None:
    whole = request().SerializeToString()
    if method == AUTHORIZE_BATCH:
        whole = authorization_pb2.AuthorizeBatchRequest(requests=[request()]).SerializeToString()
    raw = {
        "utf-8": whole.replace(b"kb.search", b"kb.se\xff\xfech"),
        "truncated": whole[:-3],
        "noise": b"\xff" * 40,
    }[damage]
    violations = invalid(lambda: wire.raw(method, raw))
    assert list(violations) == [""]
    assert "not a valid message" in violations[""]
    before.check_one_refused("", "", "")


@pytest.mark.parametrize("method", [QUERY, GET])
def test_invalid_bytes_in_audit_calls(wire: Wire, method: str) -> None:
    assert list(invalid(lambda: wire.raw(method, b"\xff" * 40))) == [""]


def test_a_message_above_the_size_limit(wire: Wire, before: Before) -> None:
    large = request({"action.params_json": json.dumps({"q": "x" * MESSAGE_BYTES_MAX})})
    refused(lambda: wire.authorize(large), grpc.StatusCode.RESOURCE_EXHAUSTED)
    before.check_nothing_decided()
    assert wire.authorize(request()).rule_id == "tools.listed_read"


def test_a_deadline_that_passed_before_the_call(wire: Wire, before: Before) -> None:
    late = request().SerializeToString()
    refused(lambda: wire.raw(AUTHORIZE, late, timeout=-5.0), grpc.StatusCode.DEADLINE_EXCEEDED)
    before.check_nothing_decided()


def test_a_deadline_that_passes_while_the_call_is_queued(wire: Wire, placet_server: Server) -> None:
    wire.authorize(request())
    decided = len(placet_server.records("decision.made"))
    with placet_server.busy():
        for _ in range(3):
            late = request().SerializeToString()
            refused(partial(wire.raw, AUTHORIZE, late, timeout=0.1), grpc.StatusCode.DEADLINE_EXCEEDED)
    wire.authorize(request())  # a late one that was let through would stand before this one
    assert len(placet_server.records("decision.made")) == decided + 1


@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_of_invalid_size(wire: Wire, before: Before, count: int) -> None:
    violations = invalid(lambda: wire.authorize_batch([request() for _ in range(count)]))
    assert violations == {"requests": f"has {count} entries; must be 1 to 100"}
    before.check_one_refused("AuthorizeBatch", "acme" if count else "", "requests")


def test_an_invalid_action_refuses_the_batch_and_names_its_index(wire: Wire, before: Before) -> None:
    plan = [request() for _ in range(5)]
    plan[2].action.tool = ""
    plan[4].identity.roles.append("")
    fields = ["requests[2].action.tool", "requests[4].identity.roles[0]"]
    assert list(invalid(lambda: wire.authorize_batch(plan))) == fields
    before.check_one_refused("AuthorizeBatch", "acme", *fields)


def test_a_batch_must_have_one_tenant_and_distinct_keys(wire: Wire, before: Before) -> None:
    first = request()
    plan = [first, request({"identity.tenant": "globex"}), first]
    fields = ["requests[1].identity.tenant", "requests[2].idempotency_key"]
    assert list(invalid(lambda: wire.authorize_batch(plan))) == fields
    before.check_one_refused("AuthorizeBatch", "acme", *fields)


def test_a_hundred_actions_are_decided_in_order(wire: Wire) -> None:
    tools = ["kb.search" if index % 3 else "no.such_tool" for index in range(100)]
    decisions = wire.authorize_batch([request({"action.tool": tool}) for tool in tools])
    expected = {"kb.search": "tools.listed_read", "no.such_tool": "pdp.unknown_tool"}
    assert [each.rule_id for each in decisions] == [expected[tool] for tool in tools]
    assert len({each.decision_id for each in decisions}) == 100


@pytest.mark.parametrize(
    ("conditions", "field", "what"),
    [
        ({}, "tenant", "is required"),
        ({"tenant": "ACME"}, "tenant", "[a-z0-9_-]"),
        ({"tenant": "acme", "effect": 99}, "effect", "99 is not a known effect"),
        ({"tenant": "acme", "page_size": 501}, "page_size", "must be 0 to 500"),
        ({"tenant": "acme", "page_size": -1}, "page_size", "must be 0 to 500"),
        ({"tenant": "acme", "page_token": "garbage"}, "page_token", "next_page_token"),
        ({"tenant": "acme", "page_token": "W10="}, "page_token", "next_page_token"),
        ({"tenant": "acme", "decided_from": {"seconds": 2**62}}, "decided_from", "0001 to 9999"),
        ({"tenant": "acme", "decided_until": {"seconds": -(2**62)}}, "decided_until", "0001 to 9999"),
        ({"tenant": "acme", "decided_until": {"nanos": -1}}, "decided_until", "0001 to 9999"),
    ],
)
def test_an_invalid_query(wire: Wire, conditions: dict[str, Any], field: str, what: str) -> None:
    violations = invalid(lambda: wire.query(**conditions))
    assert list(violations) == [field]
    assert what in violations[field]


def test_get_decision_requires_id_and_tenant(wire: Wire) -> None:
    assert list(invalid(lambda: wire.get("", ""))) == ["tenant", "decision_id"]


def test_an_unknown_method(wire: Wire) -> None:
    unknown = "/placet.v1.AuthorizationService/Approve"
    assert refused(lambda: wire.raw(unknown, b""), grpc.StatusCode.UNIMPLEMENTED).text
