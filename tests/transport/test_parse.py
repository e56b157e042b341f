"""Parses requests: errors name each invalid field with its remedy, valid requests keep their values."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.errors import InvalidRequestError
from placet.kernel.model import Amount
from placet.transport.grpc.messages.from_proto import parse_batch, parse_request, trace_id_of
from placet.v1.authorization_pb2 import AuthorizeBatchRequest, AuthorizeRequest

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GOOD: dict[str, Any] = {
    "idempotency_key": "k1",
    "action": {"tool": "stripe.refund", "params_json": '{"charge":"ch_1"}'},
    "identity": {"agent": "refund-bot", "tenant": "acme", "user": "u_4812"},
}


def message(changes: dict[str, Any] | None = None) -> AuthorizeRequest:
    """Return a valid request, changed by dotted paths."""
    said = {key: dict(value) if isinstance(value, dict) else value for key, value in GOOD.items()}
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = said
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return ParseDict(said, AuthorizeRequest())


def refused(changes: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as error:
        parse_request(message(changes))
    return {violation.field: violation.description for violation in error.value.violations}


def test_every_field_is_parsed() -> None:
    proposal = parse_request(
        message(
            {
                "action.amount": {"currency_code": "JPY", "minor_units": 4500, "exponent": 0},
                "action.scope": "refunds:write",
                "action.environment": "production",
                "action.destination": "api.stripe.com",
                "action.dry_run": True,
                "action.tool_schema_version": "3",
                "identity.roles": ["b", "a", "b"],
                "identity.delegation": ["anna", "planner"],
                "run": {"run_id": "run_1", "step": 2, "workflow": "support", "planner": "langgraph"},
                "model": {"name": "gpt-4.1", "prompt_version": "p7", "input_tokens": 812, "output_tokens": 164},
                "evidence": [{"uri": "kb://1", "sha256": "a" * 64}],
            }
        ),
        TRACEPARENT,
    )
    assert proposal.action.amount == Amount("JPY", 4500)
    assert proposal.action.params == b'{"charge":"ch_1"}'
    assert proposal.identity.roles == ("a", "b")
    assert proposal.run.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (proposal.model.input_tokens, proposal.model.prompt_version) == (812, "p7")
    assert proposal.evidence[0].uri == "kb://1"
    assert len(proposal.action_digest) == len(proposal.request_digest) == 64


def test_an_empty_request_names_all_required_fields() -> None:
    with pytest.raises(InvalidRequestError) as error:
        parse_request(AuthorizeRequest())
    fields = {violation.field for violation in error.value.violations}
    assert fields == {"idempotency_key", "action.tool", "identity.agent", "identity.tenant"}


@pytest.mark.parametrize(
    ("changes", "field", "what"),
    [
        ({"idempotency_key": ""}, "idempotency_key", "is required"),
        ({"idempotency_key": "k" * 129}, "idempotency_key", "at most 128"),
        ({"idempotency_key": "é" * 65}, "idempotency_key", "is 130 bytes"),
        ({"approval_id": "apr_" + "0" * 61}, "approval_id", "at most 64"),
        ({"action.tool": ""}, "action.tool", "is required"),
        ({"action.tool": "rm -rf"}, "action.tool", "1 to 128 characters"),
        ({"action.tool": "stripe.refund\n"}, "action.tool", "1 to 128 characters"),
        ({"action.tool": "\u0455tripe.refund"}, "action.tool", "1 to 128 characters"),
        ({"action.tool": "t" * 129}, "action.tool", "1 to 128 characters"),
        ({"action.tool": "placet.canary"}, "action.tool", "reserved"),
        ({"action.params_json": '{"a":' + "[" * 40 + "]" * 40 + "}"}, "action.params_json", "deeper than 32"),
        ({"action.params_json": '{"a":NaN}'}, "action.params_json", "NaN"),
        ({"action.params_json": '{"a":1,"a":2}'}, "action.params_json", "same key twice"),
        ({"action.params_json": '{"a":"\\ud800"}'}, "action.params_json", "lone surrogate"),
        ({"action.params_json": '{"a":9007199254740993}'}, "action.params_json", "at /a: integer beyond"),
        ({"action.params_json": '{"a":"' + "x" * 65_536 + '"}'}, "action.params_json", "at most 65536"),
        ({"action.params_json": "[]"}, "action.params_json", "must be a JSON object"),
        ({"action.amount": {"minor_units": 1}}, "action.amount.currency_code", "is required"),
        ({"action.amount": {"currency_code": "ABC"}}, "action.amount.currency_code", "ISO 4217"),
        ({"action.amount": {"currency_code": "usd"}}, "action.amount.currency_code", "upper case"),
        ({"action.amount": {"currency_code": "USD", "minor_units": -1}}, "action.amount.minor_units", "must be 0 to"),
        ({"action.amount": {"currency_code": "USD", "minor_units": 2**53}}, "action.amount.minor_units", "must be 0"),
        ({"action.amount": {"currency_code": "USD", "exponent": 0}}, "action.amount.exponent", "USD has 2"),
        ({"action.destination": "x" * 1025}, "action.destination", "at most 1024"),
        ({"action.scope": "a\u202eb"}, "action.scope", "invisible"),
        ({"identity.agent": ""}, "identity.agent", "is required"),
        ({"identity.agent": "a" * 257}, "identity.agent", "at most 256"),
        ({"identity.agent": "bot\u200b"}, "identity.agent", "invisible"),
        ({"identity.tenant": ""}, "identity.tenant", "is required"),
        ({"identity.tenant": "Acme"}, "identity.tenant", "[a-z0-9_-]"),
        ({"identity.tenant": "../x"}, "identity.tenant", "[a-z0-9_-]"),
        ({"identity.roles": ["r"] * 10_000}, "identity.roles", "has 10000 entries; at most 64"),
        ({"identity.roles": ["ok", ""]}, "identity.roles[1]", "is required"),
        ({"identity.delegation": ["d"] * 17}, "identity.delegation", "at most 16"),
        ({"identity.user": "a\u3164nn"}, "identity.user", "invisible character U+3164"),
        ({"identity.user": "p\u0430ul"}, "identity.user", "mixes alphabets"),
        ({"identity.agent": "b\u034fot"}, "identity.agent", "invisible character U+034F"),
        ({"identity.delegation": ["bot", "\u0391\u039d\u039d\u0391"]}, "identity.delegation[1]", "looks like Latin"),
        ({"run.workflow": " "}, "run.workflow", "is blank"),
        ({"run.run_id": "r\ufe0f1"}, "run.run_id", "invisible character U+FE0F"),
        ({"run.step": 1_000_001}, "run.step", "must be 0 to 1000000"),
        ({"run.run_id": "r" * 129}, "run.run_id", "at most 128"),
        ({"model.input_tokens": -1}, "model.input_tokens", "must be 0 to"),
        ({"evidence": [{"uri": ""}]}, "evidence[0].uri", "is required"),
        ({"evidence": [{"uri": "x", "sha256": "A" * 64}]}, "evidence[0].sha256", "lower-case hex"),
        ({"evidence": [{"uri": "x"}] * 65}, "evidence", "at most 64"),
    ],
)
def test_an_invalid_field_is_named(changes: dict[str, Any], field: str, what: str) -> None:
    violations = refused(changes)
    assert list(violations) == [field]
    assert what in violations[field]


def test_params_as_a_struct() -> None:
    proposal = parse_request(message({"action": {"tool": "t", "params_struct": {"n": 5, "b": [1.5, "x"]}}}))
    assert proposal.action.params == b'{"b":[1.5,"x"],"n":5}'
    assert parse_request(message({"action": {"tool": "t"}})).action.params == b"{}"


def test_a_struct_is_bounded() -> None:
    infinite = message({"action": {"tool": "t", "params_struct": {"n": 1}}})
    infinite.action.params_struct.fields["n"].number_value = float("inf")
    with pytest.raises(InvalidRequestError, match=r"action\.params_struct"):
        parse_request(infinite)
    large = message({"action": {"tool": "t", "params_struct": {"n": "x" * 65_536}}})
    with pytest.raises(InvalidRequestError, match="at most 65536"):
        parse_request(large)


@given(st.permutations(["a", "b", "c"]), st.booleans())
def test_the_digest_ignores_the_form_of_the_json(keys: list[str], spaced: bool) -> None:  # noqa: FBT001 - drawn, not passed
    separator = " , " if spaced else ","
    text = "{" + separator.join(f'"{key}":1' for key in keys) + "}"
    same = parse_request(message({"action.params_json": text, "identity.roles": keys}))
    base = parse_request(message({"action.params_json": '{"a":1,"b":1,"c":1}', "identity.roles": ["a", "b", "c"]}))
    assert (same.action_digest, same.request_digest) == (base.action_digest, base.request_digest)


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"action.tool": "stripe.payout"}, True),
        ({"action.params_json": '{"charge":"ch_2"}'}, True),
        ({"action.amount": {"currency_code": "USD", "minor_units": 1}}, True),
        ({"action.environment": "production"}, True),
        ({"action.dry_run": True}, True),
        ({"identity.user": "u_1"}, True),
        ({"identity.tenant": "globex"}, True),
        ({"identity.roles": ["x"]}, True),
        ({"run.run_id": "r2"}, True),
        ({"run.workflow": "w"}, False),
        ({"run.planner": "p"}, False),
        ({"model.name": "other"}, False),
        ({"model.prompt_version": "2"}, False),
        ({"evidence": [{"uri": "kb://1"}]}, False),
    ],
)
def test_fields_of_the_digests(changes: dict[str, Any], bound: bool) -> None:  # noqa: FBT001 - a table's column
    base, changed = parse_request(message()), parse_request(message(changes))
    assert changed.request_digest != base.request_digest
    assert (changed.action_digest != base.action_digest) is bound


RETRIED: dict[str, Any] = {
    "run.step": 2,
    "run.trace_id": "0af7651916cd43dd8448eb211c80319c",
    "model.input_tokens": 900,
    "model.output_tokens": 80,
    "model.estimated_cost_micros": 7_000,
}


@pytest.mark.parametrize("changes", [*({name: value} for name, value in RETRIED.items()), RETRIED])
def test_a_retry_with_new_measurements_is_the_same_request(changes: dict[str, Any]) -> None:
    """Policy receives the new values."""
    base, retried = parse_request(message()), parse_request(message(changes))
    assert (retried.action_digest, retried.request_digest) == (base.action_digest, base.request_digest)
    assert retried.document != base.document


def test_a_retry_with_another_traceparent_is_the_same_request() -> None:
    traced = parse_request(message(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert traced.run.trace_id
    assert traced.request_digest == parse_request(message()).request_digest


def test_no_digest_covers_the_idempotency_key() -> None:
    assert parse_request(message({"idempotency_key": "k2"})).request_digest == parse_request(message()).request_digest


def test_an_identity_is_parsed_once() -> None:
    first, second = (parse_request(message({"identity.user": "u_77"})) for _ in range(2))
    assert first.identity is second.identity
    assert first.document == second.document


def test_an_invalid_identity_is_named_each_time() -> None:
    wrong = message({"idempotency_key": "k2", "identity.agent": ""})
    for index, batch in enumerate(([wrong, message()], [message(), wrong])):
        with pytest.raises(InvalidRequestError) as error:
            parse_batch(AuthorizeBatchRequest(requests=batch))
        assert [violation.field for violation in error.value.violations] == [f"requests[{index}].identity.agent"]


def test_a_large_identity_is_parsed_each_time() -> None:
    delegation = [f"agent-{number:03}-{'x' * 100}" for number in range(12)]
    first, second = (parse_request(message({"identity.delegation": delegation})) for _ in range(2))
    assert first.identity is not second.identity
    assert first.identity == second.identity
    assert first.document == second.document


def test_a_batch_names_the_index() -> None:
    batch = AuthorizeBatchRequest(requests=[message(), message({"idempotency_key": "k2", "action.tool": ""})])
    with pytest.raises(InvalidRequestError) as error:
        parse_batch(batch)
    assert [violation.field for violation in error.value.violations] == ["requests[1].action.tool"]


@pytest.mark.parametrize("count", [0, 101])
def test_the_size_of_a_batch(count: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"has {count} entries; must be 1 to 100"):
        parse_batch(AuthorizeBatchRequest(requests=[message()] * count))


def test_a_batch_must_have_one_tenant_and_distinct_keys() -> None:
    batch = AuthorizeBatchRequest(
        requests=[message(), message({"idempotency_key": "k2", "identity.tenant": "globex"}), message()]
    )
    with pytest.raises(InvalidRequestError) as error:
        parse_batch(batch)
    fields = [violation.field for violation in error.value.violations]
    assert fields == ["requests[1].identity.tenant", "requests[2].idempotency_key"]


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (TRACEPARENT, "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("", ""),
        ("garbage", ""),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", ""),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""),
    ],
)
def test_traceparent(traceparent: str, trace_id: str) -> None:
    assert trace_id_of(traceparent) == trace_id


def test_a_trace_id_in_the_request_wins() -> None:
    assert parse_request(message({"run.trace_id": "9f2d"}), TRACEPARENT).run.trace_id == "9f2d"


ID_FIELDS = [
    *("idempotency_key", "approval_id", "identity.agent", "identity.user", "identity.roles", "identity.delegation"),
    *("run.run_id", "run.trace_id", "run.workflow", "run.planner"),
]


@pytest.mark.parametrize("field", ID_FIELDS)
@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("password=hunter2", "a value behind a secret name"),
        ("x token=hunter2", "a value behind a secret name"),
        ("4111 1111 1111 1111", "a payment card number"),
        ("ghp_" + "a1" * 18, "a GitHub token"),
        ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln", "a JSON Web Token"),
    ],
)
def test_a_secret_in_an_id_is_refused(field: str, secret: str, kind: str) -> None:
    is_list = field in {"identity.roles", "identity.delegation"}
    violations = refused({field: ["ok", secret] if is_list else secret})
    [(name, what)] = violations.items()
    assert name == (f"{field}[1]" if is_list else field)
    assert what.startswith(f"holds {kind}")
    assert "send an id without it" in what
    assert secret not in what


def test_a_secret_in_the_name_of_a_tool_is_refused() -> None:
    assert "an API key" in refused({"action.tool": "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc"})["action.tool"]


@pytest.mark.parametrize("field", ID_FIELDS)
@pytest.mark.parametrize("value", ["ops@acme.example", "4111111111111111", "arn:aws:x:secret:db-Ab1", "auth0|5f7c8e"])
def test_an_id_that_resembles_a_secret_is_accepted_unchanged(field: str, value: str) -> None:
    is_list = field in {"identity.roles", "identity.delegation"}
    said = parse_request(message({field: [value] if is_list else value}))
    assert value in repr(said)
