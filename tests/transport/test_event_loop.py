"""No request blocks the event loop, whatever its size and shape: other requests are answered in between."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Final

import pytest

from placet.kernel.limits import ACTION_BYTES_MAX, BATCH_ACTIONS_MAX, MESSAGE_BYTES_MAX, PARAMS_BYTES_MAX
from placet.v1 import action_pb2, audit_pb2, authorization_pb2
from tests.transport.wire import AUTHORIZE, AUTHORIZE_BATCH, QUERY, Refusal
from tests.watchdog import HELD_MS_MAX

if TYPE_CHECKING:
    from tests.serving import Server
    from tests.transport.wire import Wire

BUSY_MACHINE: Final = 4
"""Factor for machines whose cores other programs share. Quadratic work takes far longer than that."""
ROOM: Final = PARAMS_BYTES_MAX - 64
DIGITS: Final = "4111 1111 1111 1112 "


def of(unit: str, frame: str = '{{"a":"{}"}}') -> str:
    """Return params of the largest size that repeat one unit."""
    return frame.format((unit * ROOM)[: ROOM // len(unit[:1].encode())])


def listed(unit: str) -> str:
    return '{"a":[' + f"{unit}," * (ROOM // (len(unit.encode()) + 1)) + f"{unit}]}}"


PARAMS: Final = {
    "near-cards": of(DIGITS),
    "cards": of("4111 1111 1111 1111 "),
    "dates": of("2026-04-24 18:33:01 "),
    "mails": of("a@b.co "),
    "assignments": of("pin=1;"),
    "flags": of("--token a "),
    "invisible": of("4\u200b"),
    "combining marks": of("\u0315\u0300"),
    "zeros": listed("0"),
    "fractions": listed("0.1"),
    "exponents": listed("1e-9"),
    "objects": listed("{}"),
    "lists": listed("[[[]]]"),
    "empty texts": listed('""'),
    "keys": json.dumps({f"token{number:x}": number for number in range(3_200)}),
    "keys that become one": json.dumps({f"a{number}@b.cd": 1 for number in range(3_000)}),
    "labels": '{"a":"a@' + "b." * (ROOM // 2 - 8) + '"}',
    "one long name": json.dumps({"aB" * (ROOM // 2 - 16): "x"}),
    "astral keys": listed('{"\U0001f600":0}'),
    "escapes": of("\\u00e9"),
    "one key twice": '{"a":[' + "[]," * (ROOM // 4) + '{"b":1,"b":2}]}',
    "too large a number": '{"a":[' + "0," * (ROOM // 3) + "9007199254740993]}",
    "too deep": '{"a":[' + "[[[[]]]]," * (ROOM // 10) + "[" * 40 + "]" * 40 + "]}",
}


def request(params: str) -> authorization_pb2.AuthorizeRequest:
    """Return a request with the params."""
    message = authorization_pb2.AuthorizeRequest(idempotency_key=uuid.uuid4().hex)
    message.action.tool = "kb.search"
    message.action.params_json = params
    message.identity.agent, message.identity.tenant = "agent", "acme"
    return message


def send(wire: Wire, method: str, raw: bytes) -> None:
    """Send the request. It may be decided or refused."""
    with contextlib.suppress(Refusal):
        wire.raw(method, raw)


@pytest.mark.parametrize("name", PARAMS)
def test_the_largest_params(placet_server: Server, wire: Wire, name: str) -> None:
    send(wire, AUTHORIZE, request("{}").SerializeToString())
    with placet_server.watched() as seen:
        send(wire, AUTHORIZE, request(PARAMS[name]).SerializeToString())
    seen.show(name)
    assert seen.longest_ms < HELD_MS_MAX * BUSY_MACHINE, "\n".join(seen.stacks)


@pytest.mark.parametrize(
    "name", ["near-cards", "zeros", "fractions", "objects", "keys", "keys that become one", "one key twice"]
)
def test_the_largest_batch(placet_server: Server, wire: Wire, name: str) -> None:
    requests = [request(PARAMS[name]) for _ in range(BATCH_ACTIONS_MAX)]
    raw = authorization_pb2.AuthorizeBatchRequest(requests=requests).SerializeToString()
    with placet_server.watched() as seen:
        send(wire, AUTHORIZE_BATCH, raw)
    seen.show(f"batch of {name}")
    assert seen.longest_ms < HELD_MS_MAX * BUSY_MACHINE, "\n".join(seen.stacks)


def test_a_batch_whose_findings_repeat_it(placet_server: Server, wire: Wire) -> None:
    """A rule that repeats its input in the details makes OPA's answer as large as the batch."""
    requests = [request(json.dumps({"project": DIGITS * 3_000, "priority": "low"})) for _ in range(BATCH_ACTIONS_MAX)]
    for each in requests:
        each.action.tool, each.action.environment, each.identity.tenant = "jira.create_ticket", "sandbox", "globex"
    raw = authorization_pb2.AuthorizeBatchRequest(requests=requests).SerializeToString()
    with placet_server.watched() as seen:
        answer = authorization_pb2.AuthorizeBatchResponse.FromString(wire.raw(AUTHORIZE_BATCH, raw))
    seen.show("a batch that is repeated")
    assert {each.rule_id for each in answer.decisions} == {"tickets.project_not_allowed"}
    assert seen.longest_ms < HELD_MS_MAX * BUSY_MACHINE, "\n".join(seen.stacks)


def struct_of_nulls(size: int) -> bytes:
    message = request("")
    message.action.params_struct.update({"a": [None] * (size // 4 - 100)})
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        (AUTHORIZE, b"\x32\x00" * (ACTION_BYTES_MAX // 2)),
        (AUTHORIZE, b"\x32\x00" * (MESSAGE_BYTES_MAX // 2)),
        (AUTHORIZE, b"\xf8\x07\x00" * (ACTION_BYTES_MAX // 3)),
        (AUTHORIZE, struct_of_nulls(ACTION_BYTES_MAX)),
        (AUTHORIZE_BATCH, b"\x0a\x00" * (MESSAGE_BYTES_MAX // 2)),
        (AUTHORIZE_BATCH, b"\x0a\x80\x80\x28" + b"\x32\x00" * (ACTION_BYTES_MAX // 2)),
        (AUTHORIZE_BATCH, (b"\x0a\x80\x80\x04" + b"\x1a\x00" * 32_768) * BATCH_ACTIONS_MAX),
        (AUTHORIZE_BATCH, b"\x0a\xff\xff\xff\x03" + b"\x32\x00" * (MESSAGE_BYTES_MAX // 2 - 3)),
        ("/placet.v1.ApprovalService/ListApprovals", b"\x0a\x00" * (MESSAGE_BYTES_MAX // 2)),
    ],
)
def test_many_small_parts(placet_server: Server, wire: Wire, method: str, raw: bytes) -> None:
    assert len(raw) <= MESSAGE_BYTES_MAX
    with placet_server.watched() as seen:
        send(wire, method, raw)
    seen.show("parts")
    assert seen.longest_ms < HELD_MS_MAX * BUSY_MACHINE, "\n".join(seen.stacks)


def test_a_page_of_the_largest_decisions(placet_server: Server, wire: Wire) -> None:
    for _ in range(30):
        send(wire, AUTHORIZE, request(PARAMS["zeros"]).SerializeToString())
    query = audit_pb2.QueryDecisionsRequest(tenant="acme", tool="kb.search", page_size=30)
    with placet_server.watched() as seen:
        page = audit_pb2.QueryDecisionsResponse.FromString(wire.raw(QUERY, query.SerializeToString()))
    seen.show("a page")
    assert len(page.decisions) > 1
    assert seen.longest_ms < HELD_MS_MAX * BUSY_MACHINE, "\n".join(seen.stacks)


def test_a_status_names_as_many_invalid_fields_as_fit(wire: Wire) -> None:
    wrong = request("{}")
    wrong.identity.roles.extend([""] * 64)
    batch = authorization_pb2.AuthorizeBatchRequest(requests=[wrong] * BATCH_ACTIONS_MAX)
    with pytest.raises(Refusal) as caught:
        wire.raw(AUTHORIZE_BATCH, batch.SerializeToString())
    assert caught.value.reason == "INVALID_REQUEST"
    assert caught.value.violations["requests[0].identity.roles[0]"] == "is required"
    assert "more fields are wrong" in caught.value.violations[""]


def test_a_batch_is_deserialized_as_protobuf_does(wire: Wire) -> None:
    """The same bytes in another order, with unknown fields between them."""
    requests = [request(json.dumps({"a": "x" * 5_000})) for _ in range(3)]
    one = authorization_pb2.AuthorizeBatchRequest(requests=requests)
    unknown = b"\xf8\x07\x01" + b"\xf9\x07" + bytes(8) + b"\xfa\x07\x03abc" + b"\xfd\x07" + bytes(4)
    parts = [authorization_pb2.AuthorizeBatchRequest(requests=[each]).SerializeToString() for each in requests]
    first = authorization_pb2.AuthorizeBatchResponse.FromString(wire.raw(AUTHORIZE_BATCH, one.SerializeToString()))
    again = authorization_pb2.AuthorizeBatchResponse.FromString(wire.raw(AUTHORIZE_BATCH, unknown.join(parts)))
    assert [each.decision_id for each in first.decisions] == [each.decision_id for each in again.decisions]


@pytest.mark.parametrize("end", [b"\x0a", b"\x0a\x05ab", b"\x0a\xff", b"\x0b\x0c", b"\x00\x00", b"\x0a" + b"\xff" * 11])
def test_a_batch_of_invalid_bytes(wire: Wire, end: bytes) -> None:
    raw = authorization_pb2.AuthorizeBatchRequest(requests=[request(of("x"))]).SerializeToString()
    with pytest.raises(Refusal, match="not a valid message") as caught:
        wire.raw(AUTHORIZE_BATCH, raw + end)
    assert caught.value.reason == "INVALID_REQUEST"


def test_an_action_that_is_too_large(wire: Wire) -> None:
    large = request("")
    large.evidence.extend([action_pb2.Evidence()] * ACTION_BYTES_MAX)
    with pytest.raises(Refusal, match=f"at most {ACTION_BYTES_MAX}"):
        wire.raw(AUTHORIZE, large.SerializeToString())
    batch = authorization_pb2.AuthorizeBatchRequest(requests=[request("{}"), large])
    with pytest.raises(Refusal, match=rf"requests\[1\].*at most {ACTION_BYTES_MAX}"):
        wire.raw(AUTHORIZE_BATCH, batch.SerializeToString())
