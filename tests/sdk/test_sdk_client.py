"""Both clients against a real server: what is sent, what is made of every answer, and that nothing bad is an allow."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placet.kernel import limits
from placet.sdk import (
    Action,
    Amount,
    AsyncClient,
    AuditClient,
    CallFailedError,
    Client,
    ControlClient,
    Decision,
    Effect,
    Evidence,
    Identity,
    InvalidParamsError,
    InvalidRequestError,
    Model,
    Obligation,
    Request,
    Run,
)
from placet.sdk._transport.options import ANSWER_BYTES_MAX
from placet.sdk._wire import encode
from placet.transport.grpc.messages.from_proto import parse_request
from placet.v1 import authorization_pb2, decision_pb2
from tests.sdk.scripted_server import (
    AUTHORIZE,
    AUTHORIZE_BATCH,
    ScriptedServer,
    allow,
    approval_needed,
    decision,
    denial,
    late,
    plain_status,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACTION = Action("jira.search", {"query": "open"})
IDENTITY = Identity(agent="a", tenant="acme")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Both:
    """One question asked by the client that blocks or by the asyncio one, behind one face."""

    address: str
    use_asyncio: bool

    def authorize(
        self, action: Action = ACTION, identity: Identity = IDENTITY, timeout: float = 10, **more: Any
    ) -> Decision:
        if not self.use_asyncio:
            with Client(self.address, timeout=timeout) as client:
                return client.authorize(action, identity, **more)

        async def ask() -> Decision:
            async with AsyncClient(self.address, timeout=timeout) as client:
                return await client.authorize(action, identity, **more)

        return asyncio.run(ask())

    def authorize_batch(self, requests: Sequence[Request], **more: Any) -> list[Decision]:
        if not self.use_asyncio:
            with Client(self.address, timeout=10) as client:
                return client.authorize_batch(requests, **more)

        async def ask() -> list[Decision]:
            async with AsyncClient(self.address, timeout=10) as client:
                return await client.authorize_batch(requests, **more)

        return asyncio.run(ask())


@pytest.fixture(params=["blocking", "asyncio"])
def both(request: pytest.FixtureRequest, server: ScriptedServer) -> Both:
    return Both(server.address, request.param == "asyncio")


def test_an_allow(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    got = both.authorize(idempotency_key="k1")
    assert got.allowed
    assert got.require_allowed() is got
    assert (got.effect, got.rule_id, got.decision_id) == (Effect.ALLOW, "allowlist.read_tool", "dec_" + "0" * 32)
    assert got.idempotency_key == "k1"
    assert got.failure is None
    assert got.decided_at is not None
    assert got.decided_at.isoformat() == "2026-04-24T18:33:01.123456+00:00"


def test_everything_that_is_said_is_sent(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    both.authorize(
        Action(
            "stripe.refund", {"charge": "ch_1", "n": 9007199254740991, "e": "é"}, Amount("USD", 4500, 2),
            "s", "production", "api.example", dry_run=True, tool_schema_version="7",
        ),
        Identity("agent", "acme", "u_1", ["b", "a"], ("origin",)),
        run=Run("r", "t", 3, "w", "p"),
        model=Model("m", "v", 1, 2, 3),
        evidence=[Evidence("https://e", "0" * 64)],
        idempotency_key="key",
        approval_id="apr",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip
    sent = server.authorized()[0]
    assert sent.action.params_json == '{"charge":"ch_1","n":9007199254740991,"e":"é"}'
    sent.action.params_json = ""
    assert sent == authorization_pb2.AuthorizeRequest(
        idempotency_key="key",
        action={
            "tool": "stripe.refund", "params_json": "",
            "amount": {"currency_code": "USD", "minor_units": 4500, "exponent": 2},
            "scope": "s", "environment": "production", "destination": "api.example", "dry_run": True,
            "tool_schema_version": "7",
        },
        identity={"agent": "agent", "tenant": "acme", "user": "u_1", "roles": ["b", "a"], "delegation": ["origin"]},
        run={"run_id": "r", "trace_id": "t", "step": 3, "workflow": "w", "planner": "p"},
        model={
            "name": "m", "prompt_version": "v", "input_tokens": 1, "output_tokens": 2, "estimated_cost_micros": 3,
        },
        evidence=[{"uri": "https://e", "sha256": "0" * 64}],
        approval_id="apr",
    )  # fmt: skip
    assert server.asked[0][2]["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_little_that_is_said_is_sent_as_little(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    both.authorize(Action("t"))
    sent = server.authorized()[0]
    assert not sent.HasField("run")
    assert not sent.HasField("model")
    assert not sent.action.HasField("amount")
    assert sent.action.params_json == "{}"
    assert "traceparent" not in server.asked[0][2]


def test_json_text_is_sent_as_it_is(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    text = '{ "a" : 1.0, "a": NaN }'  # the server judges it
    both.authorize(Action("t", text))
    assert server.authorized()[0].action.params_json == text


def test_each_request_gets_a_key_of_its_own(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    first, second = both.authorize(), both.authorize()
    keys = [each.idempotency_key for each in server.authorized()]
    assert keys == [first.idempotency_key, second.idempotency_key]
    assert len(set(keys)) == 2


def test_require_approval(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, approval_needed())
    got = both.authorize()
    assert not got.allowed
    assert got.needs_approval
    assert got.approval is not None
    assert (got.approval.quorum, got.approval.approver_roles) == (2, ("support_lead",))
    assert got.findings[0].details == {"quorum": 2, "approver_roles": ["support_lead"], "ratio": 0.5}
    assert type(got.findings[0].details["quorum"]) is int


def test_obligations(both: Both, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.obligations.add(id="log_read")
    answer.decision.obligations.add(id="redact_output").details.update({"fields": ["email"], "chars": 4})
    server.script(AUTHORIZE, answer)
    got = both.authorize()
    assert got.allowed
    assert got.obligations == (Obligation("log_read"), Obligation("redact_output", {"fields": ["email"], "chars": 4}))
    assert type(got.obligations[1].details["chars"]) is int


def test_deny_is_no_failure(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, denial())
    got = both.authorize(on_failure="raise")
    assert (got.effect, got.rule_id, got.failure) == (Effect.DENY, "refunds.role_missing", None)


GARBAGE: dict[str, tuple[Any, str]] = {
    "no decision": (authorization_pb2.AuthorizeResponse(), "pdp.client_answer_invalid"),
    "empty bytes": (b"", "pdp.client_answer_invalid"),
    "no message": (b"\xff\xff\xff", "pdp.client_answer_invalid"),
    "truncated": (allow().SerializeToString()[:-3], "pdp.client_answer_invalid"),
    "unspecified effect": (allow(effect=decision_pb2.EFFECT_UNSPECIFIED), "pdp.client_effect_unknown"),
    "unknown effect": (allow(effect=17), "pdp.client_effect_unknown"),
    "negative effect": (allow(effect=-1), "pdp.client_effect_unknown"),
    "no rule_id": (allow(rule_id=""), "pdp.client_answer_invalid"),
    "no decision_id": (allow(decision_id=""), "pdp.client_answer_invalid"),
    "no policy": (allow(policy_revision=""), "pdp.client_answer_invalid"),
    "a rule denied": (
        allow(findings=[decision_pb2.Finding(effect=decision_pb2.EFFECT_DENY, rule_id="x")]),
        "pdp.client_answer_invalid",
    ),
    "a rule of unknown effect": (
        allow(findings=[{"effect": 9, "rule_id": "x"}]),
        "pdp.client_answer_invalid",
    ),
    "approval by nobody": (approval_needed(0), "pdp.client_answer_invalid"),
    "deny without rule": (denial(""), "pdp.client_answer_invalid"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_answer_that_breaks_the_contract_is_a_deny(both: Both, server: ScriptedServer, name: str) -> None:
    answer, rule_id = GARBAGE[name]
    server.script(AUTHORIZE, answer)
    got = both.authorize(idempotency_key="k")
    assert (got.effect, got.rule_id, got.idempotency_key) == (Effect.DENY, rule_id, "k")
    assert got.failure is not None
    with pytest.raises(CallFailedError) as caught:
        both.authorize(on_failure="raise")
    assert caught.value.failure == got.failure


def test_details_that_are_no_json_are_a_deny(both: Both, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.findings[0].details["ratio"] = float("nan")
    server.script(AUTHORIZE, answer)
    assert both.authorize().rule_id == "pdp.client_answer_invalid"


def test_the_id_of_a_decision_with_an_unknown_effect_is_kept(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow(effect=4))
    assert both.authorize().decision_id == "dec_" + "0" * 32


@pytest.mark.parametrize(
    ("code", "rule_id"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "pdp.client_invalid_argument"),
        (grpc.StatusCode.ALREADY_EXISTS, "pdp.client_key_reused"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "pdp.client_overloaded"),
        (grpc.StatusCode.UNAUTHENTICATED, "pdp.client_not_permitted"),
        (grpc.StatusCode.PERMISSION_DENIED, "pdp.client_not_permitted"),
        (grpc.StatusCode.NOT_FOUND, "pdp.client_not_found"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "pdp.client_timeout"),
        (grpc.StatusCode.INTERNAL, "pdp.client_error"),
        (grpc.StatusCode.UNKNOWN, "pdp.client_error"),
        (grpc.StatusCode.CANCELLED, "pdp.client_error"),
        (grpc.StatusCode.UNIMPLEMENTED, "pdp.client_error"),
    ],
)
def test_statuses_that_are_not_tried_again(
    both: Both, server: ScriptedServer, code: grpc.StatusCode, rule_id: str
) -> None:
    server.script(AUTHORIZE, plain_status(code, "what\nthe server says"))
    got = both.authorize()
    assert (got.effect, got.rule_id) == (Effect.DENY, rule_id)
    assert "what the server says" in got.reason
    assert len(server.asked) == 1


def test_field_violations_reach_the_caller(both: Both, server: ScriptedServer) -> None:
    server.script(
        AUTHORIZE, status(grpc.StatusCode.INVALID_ARGUMENT, violations=[("action.tool", "is required"), ("x", "y")])
    )
    got = both.authorize()
    assert got.failure is not None
    assert [(each.field, each.description) for each in got.failure.violations] == [
        ("action.tool", "is required"),
        ("x", "y"),
    ]
    assert "action.tool: is required; x: y" in got.reason
    with pytest.raises(InvalidRequestError, match=r"action\.tool: is required"):
        both.authorize(on_failure="raise")


@pytest.mark.parametrize("trailer", [b"\xff\xff", b"", b"\x1a\x02\xff\xff"])
def test_details_that_cannot_be_read_change_nothing(both: Both, server: ScriptedServer, trailer: bytes) -> None:
    server.script(AUTHORIZE, plain_status(grpc.StatusCode.INVALID_ARGUMENT, "no", trailer))
    assert both.authorize().rule_id == "pdp.client_invalid_argument"


def test_unavailable_is_tried_again_with_the_same_key(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(UNAVAILABLE), plain_status(UNAVAILABLE), allow())
    assert both.authorize().allowed
    sent = server.authorized()
    assert len(sent) == 3
    assert len({each.idempotency_key for each in sent}) == 1
    assert sent[0] == sent[2]


def test_the_server_says_how_long_to_wait(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.4), allow())
    started = time.monotonic()
    assert both.authorize().allowed
    assert 0.4 <= time.monotonic() - started < 5
    assert len(server.asked) == 2


def test_a_message_larger_than_the_server_takes_is_a_wrong_request(both: Both) -> None:
    small = ScriptedServer().start(message_bytes_max=1_000)
    small.script(AUTHORIZE, allow())
    try:
        got = Both(small.address, both.use_asyncio).authorize(Action("t", {"a": "x" * 5_000}))
    finally:
        small.stop()
    assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_invalid_argument")
    assert re.search(r"the request is larger than one message may be \(5\d\d\d vs\. 1000\)", got.reason)
    assert small.asked == []


def test_an_answer_larger_than_a_client_takes_is_none(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, b"x" * (ANSWER_BYTES_MAX + 1))
    got = both.authorize()
    assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_answer_invalid")
    assert "larger than a client takes" in got.reason
    assert len(server.asked) == 1


def test_tries_come_to_an_end(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(UNAVAILABLE, "the ledger is away"))
    started = time.monotonic()
    got = both.authorize(timeout=2)
    assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_unavailable")
    assert "the ledger is away" in got.reason
    assert 1.8 <= time.monotonic() - started < 5
    assert 5 <= len(server.asked) <= 16
    assert len({each.idempotency_key for each in server.authorized()}) == 1


def test_no_try_goes_beyond_the_deadline(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=60))
    started = time.monotonic()
    got = both.authorize(timeout=1)
    assert got.rule_id == "pdp.client_overloaded"
    assert got.failure is not None
    assert got.failure.retry_after_seconds == 60
    assert time.monotonic() - started < 1
    assert len(server.asked) == 1


def test_a_server_that_does_not_answer(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late())
    started = time.monotonic()
    got = both.authorize(timeout=0.3)
    assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_timeout")
    assert 0.3 <= time.monotonic() - started < 5


def test_a_call_may_have_its_own_deadline(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late())
    if both.use_asyncio:

        async def ask() -> Decision:
            async with AsyncClient(both.address, timeout=60) as client:
                return await client.authorize(ACTION, IDENTITY, timeout=0.2)

        got = asyncio.run(ask())
    else:
        with Client(both.address, timeout=60) as client:
            got = client.authorize(ACTION, IDENTITY, timeout=0.2)
    assert got.rule_id == "pdp.client_timeout"


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1.0, math.nan, math.inf, 1e10, 300.1, 10**400])
def test_a_time_in_which_nothing_can_be_asked_is_a_mistake(both: Both, server: ScriptedServer, seconds: float) -> None:
    for ask in (both.authorize, lambda **more: both.authorize_batch([Request(ACTION, IDENTITY)], **more)):
        with pytest.raises(ValueError, match="timeout must be more than 0 and at most 300 seconds, not"):
            ask(timeout=seconds)
    assert server.asked == []


def test_nobody_there(nobody: str) -> None:
    for use_asyncio in (False, True):
        both = Both(nobody, use_asyncio)
        got = both.authorize(timeout=2)
        assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_unavailable")
        with pytest.raises(CallFailedError, match=r"pdp\.client_unavailable"):
            both.authorize(timeout=2, on_failure="raise")


@pytest.mark.parametrize("made", [Client, AsyncClient, AuditClient, ControlClient])
@pytest.mark.parametrize(
    "address",
    [
        "", "127.0.0.1", "placet", ":7070", "placet:", "placet:port", "placet:0", "placet:65536", "placet:-1",
        "http://127.0.0.1:7070", "grpc://placet:7070", "placet:7070/", "not an address", "::1:7070", "a:7070\n",
        "placet:\u0667",
    ],
)  # fmt: skip
def test_an_address_that_is_none(made: Callable[[str], object], address: str) -> None:
    with pytest.raises(ValueError, match=r"host:port .* such as 127\.0\.0\.1:7070") as caught:
        made(address)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", ["placet-1.internal:7070", "[::1]:7070", "[fe80::1%br-lan]:1", "10.0.0.1:65535"])
async def test_a_good_address_does_not_raise(address: str) -> None:
    Client(address).close()
    await AsyncClient(address).close()


def test_a_host_that_is_none() -> None:
    for use_asyncio in (False, True):
        got = Both("not a host:7070", use_asyncio).authorize(timeout=1)
        assert got.effect is Effect.DENY
        assert got.rule_id.startswith("pdp.client_")


def test_an_address_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="address must be text, host:port, not int"):
        Client(7070)  # type: ignore[arg-type] # wrong on purpose


def test_what_a_call_is_told_is_checked(both: Both, server: ScriptedServer) -> None:
    with pytest.raises(ValueError, match="on_failure must be 'deny' or 'raise', not 'rise'"):
        both.authorize(on_failure="rise")
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
        both.authorize(timeout="2")  # type: ignore[arg-type] # wrong on purpose
    assert server.asked == []


def test_a_server_that_comes_back_is_found(both: Both, server: ScriptedServer) -> None:
    server.stop()
    again = ScriptedServer()
    again.script(AUTHORIZE, allow())
    starter = threading.Timer(1.5, again.start, [server.address])
    starter.start()
    try:
        got = both.authorize(timeout=8)
    finally:
        starter.join()
        again.stop()
    assert got.allowed


def test_a_server_that_dies_while_deciding(both: Both, server: ScriptedServer) -> None:
    def die(raw: bytes, context: grpc.ServicerContext) -> bytes:
        del raw, context
        threading.Thread(target=server.stop).start()
        return late()(b"", _never_gone())

    server.script(AUTHORIZE, die)
    got = both.authorize(timeout=3)
    assert got.effect is Effect.DENY
    assert got.rule_id in {"pdp.client_unavailable", "pdp.client_error"}


def _never_gone() -> Any:
    class Context:
        def add_callback(self, callback: Callable[[], None]) -> bool:
            threading.Timer(1, callback).start()
            return True

    return Context()


UNSENDABLE: dict[str, tuple[Any, Any, str]] = {
    "surrogate in the tool": (Action("\ud800"), IDENTITY, "action.tool"),
    "surrogate in a role": (ACTION, Identity("a", "t", roles=["\ud800"]), "identity.roles[0]"),
    "huge amount": (Action("t", amount=Amount("USD", 2**63)), IDENTITY, "action.amount.minor_units"),
    "exponent": (Action("t", amount=Amount("USD", 1, 2**40)), IDENTITY, "action.amount.exponent"),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_cannot_be_sent_is_refused_here(both: Both, server: ScriptedServer, name: str) -> None:
    action, identity, field = UNSENDABLE[name]
    server.script(AUTHORIZE, allow())
    got = both.authorize(action, identity)
    assert (got.effect, got.rule_id) == (Effect.DENY, "pdp.client_invalid_argument")
    assert got.failure is not None
    assert [each.field for each in got.failure.violations] == [field]
    with pytest.raises(InvalidRequestError):
        both.authorize(action, identity, on_failure="raise")
    assert server.asked == []


def test_a_number_that_no_field_holds_is_refused_here(both: Both, server: ScriptedServer) -> None:
    got = both.authorize(run=Run(step=2**40))
    assert got.rule_id == "pdp.client_invalid_argument"
    assert "run.step: must be an int of 32 bits" in got.reason
    assert server.asked == []


def _deep(levels: int) -> dict[str, Any]:
    return {"a": _deep(levels - 1)} if levels > 1 else {}


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {"a": []}
    circle["a"].append(circle)
    return circle


UNSAYABLE: dict[str, tuple[Any, str]] = {
    "NaN": ({"amount": math.nan}, r"is not JSON: params\.amount is nan"),
    "an infinity within": ({"a": [{"b c": -math.inf}]}, r"is not JSON: params\.a\[0\]\['b c'\] is -inf"),
    "an integer that readers round": ({"a": 2**53 + 1}, "an integer beyond ±9007199254740991"),
    "one below": ({"a": [[-(2**53)]]}, "an integer beyond ±9007199254740991"),
    "one of thousands of digits": ({"a": 10**5_000}, "is not JSON|an integer beyond"),
    "half of a character": ({"a": ["x", "\ud800"]}, "a lone surrogate"),
    "half of one in a key": ({"a": {"\udfff": 1}}, "a lone surrogate"),
    "half of one in a text": ('{"a":"\ud800"}', "a lone surrogate"),
    "a circle": (_circle(), "is not JSON: Circular"),
    "too deep": (_deep(33), "deeper than 32 levels"),
    "lists too deep": ({"a": json.loads("[" * 32 + "]" * 32)}, "deeper than 32 levels"),
    "far too deep": (_deep(900), "deeper than 32 levels"),
}


@pytest.mark.parametrize("name", UNSAYABLE)
@pytest.mark.parametrize("on_failure", ["deny", "raise"])
def test_params_that_json_cannot_hold_raise_at_once(
    both: Both, server: ScriptedServer, name: str, on_failure: Any
) -> None:
    params, what = UNSAYABLE[name]
    with pytest.raises(InvalidParamsError, match=what) as caught:
        both.authorize(Action("t", params), on_failure=on_failure)
    assert isinstance(caught.value, ValueError)
    assert [each.field for each in caught.value.failure.violations] == ["action.params_json"]
    with pytest.raises(InvalidParamsError, match=what) as caught:
        both.authorize_batch([Request(ACTION, IDENTITY), Request(Action("t", params), IDENTITY)])
    assert [each.field for each in caught.value.failure.violations] == ["requests[1].action.params_json"]
    assert server.asked == []


def test_params_at_the_edge_are_sent(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    params = {"a": 2**53 - 1, "b": [-(2**53 - 1), True, 1.5e300, None], "c": "\U0001f600", "d": _deep(31)}
    assert both.authorize(Action("t", params)).allowed
    [request] = server.authorized()
    assert json.loads(request.action.params_json) == params
    assert len(parse_request(request).action.params) > 0


def test_the_sdk_takes_what_the_server_takes() -> None:
    assert (encode.PARAMS_DEPTH_MAX, encode.SAFE_INTEGER_MAX) == (limits.PARAMS_DEPTH_MAX, limits.SAFE_INTEGER_MAX)


def _changed(value: Any) -> Identity:
    roles: list[Any] = []
    identity = Identity("a", "t", roles=roles)
    roles.append(value)
    return identity


MISTYPED: dict[str, tuple[Callable[[Both], object], str]] = {
    "an object in params": (lambda both: both.authorize(Action("t", {"a": object()})), "params_json: is not JSON"),
    "a key": (lambda both: both.authorize(Action("t", {"a": [{1: "x"}]})), r"action\.params_json: has the key 1"),
    "a role added later": (lambda both: both.authorize(ACTION, _changed(7)), r"roles\[0\]: must be text"),
    "no action": (lambda both: both.authorize(cast("Any", None)), r"Request\.action must be Action, not NoneType"),
    "the tool's name": (lambda both: both.authorize(cast("Any", "t")), r"Request\.action must be Action, not str"),
    "no identity": (lambda both: both.authorize(ACTION, cast("Any", None)), r"Request\.identity must be Identity"),
    "swapped": (lambda both: both.authorize(cast("Any", IDENTITY), cast("Any", ACTION)), "must be Action, not Id"),
    "run": (lambda both: both.authorize(run="r"), r"Request\.run must be Run or None, not str"),
    "evidence": (lambda both: both.authorize(evidence=["kb"]), r"Request\.evidence\[0\] must be Evidence, not str"),
    "one evidence": (lambda both: both.authorize(evidence=Evidence("kb")), "must be a list of Evidence"),
    "approval": (lambda both: both.authorize(approval_id=5), r"Request\.approval_id must be text, not int"),
    "key": (lambda both: both.authorize(idempotency_key=5), r"Request\.idempotency_key must be text or None, not int"),
    "traceparent": (lambda both: both.authorize(traceparent=5), "traceparent: must be text, not int"),
    "a batch of something else": (
        lambda both: both.authorize_batch([Request(ACTION, IDENTITY), cast("Any", ACTION)]),
        r"requests\[1\]: must be a Request, not Action",
    ),
    "no batch": (
        lambda both: both.authorize_batch(cast("Any", Request(ACTION, IDENTITY))),
        "must be a sequence of Request, not Request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTYPED)
def test_a_wrong_type_is_raised_and_never_a_deny(both: Both, server: ScriptedServer, name: str) -> None:
    ask, said = MISTYPED[name]
    with pytest.raises(TypeError, match=said):
        ask(both)
    assert server.asked == []


def test_params_deeper_than_python_itself_goes(both: Both) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidParamsError):
        both.authorize(Action("t", deep))


def test_a_traceparent_that_cannot_be_sent(both: Both, server: ScriptedServer) -> None:
    for wrong in ("é", "a\nb"):
        assert both.authorize(traceparent=wrong).rule_id == "pdp.client_invalid_argument"
    assert server.asked == []


def test_a_batch_is_answered_in_order(both: Both, server: ScriptedServer) -> None:
    answers = [decision(), denial().decision, approval_needed().decision]
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=answers))
    requests = [Request(Action(f"tool.{n}"), IDENTITY, idempotency_key=f"k{n}") for n in range(3)]
    got = both.authorize_batch(requests, traceparent="00-x")
    assert [each.effect for each in got] == [Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL]
    assert [each.idempotency_key for each in got] == ["k0", "k1", "k2"]
    sent = authorization_pb2.AuthorizeBatchRequest.FromString(server.requests(AUTHORIZE_BATCH)[0])
    assert [each.action.tool for each in sent.requests] == ["tool.0", "tool.1", "tool.2"]
    assert server.asked[0][2]["traceparent"] == "00-x"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_with_a_wrong_number_of_answers_is_all_deny(both: Both, server: ScriptedServer, count: int) -> None:
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=[decision()] * count))
    got = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in got] == ["pdp.client_answer_invalid"] * 2
    assert not any(each.allowed for each in got)


def test_a_batch_whose_answer_is_garbage_is_all_deny(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE_BATCH, b"\xff")
    got = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in got] == ["pdp.client_answer_invalid"] * 2


def test_one_bad_answer_of_a_batch_is_that_one_alone(both: Both, server: ScriptedServer) -> None:
    answers = [decision(), decision(effect=9)]
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=answers))
    got = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.allowed for each in got] == [True, False]
    with pytest.raises(CallFailedError):
        both.authorize_batch([Request(ACTION, IDENTITY)] * 2, on_failure="raise")


def test_a_batch_with_a_bad_request_names_its_index(both: Both, server: ScriptedServer) -> None:
    got = both.authorize_batch([Request(ACTION, IDENTITY), Request(Action("\ud800"), IDENTITY)])
    assert [each.rule_id for each in got] == ["pdp.client_invalid_argument"] * 2
    assert "requests[1].action.tool: must be text" in got[0].reason
    assert server.asked == []


def test_a_batch_that_fails_is_all_deny(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE_BATCH, plain_status(grpc.StatusCode.INTERNAL))
    got = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in got] == ["pdp.client_error"] * 2


def test_an_empty_batch_is_a_mistake(both: Both) -> None:
    with pytest.raises(ValueError, match="at least one"):
        both.authorize_batch([])


def test_a_closed_client_denies(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = Client(server.address)
    assert client.authorize(ACTION, IDENTITY).allowed
    client.close()
    assert client.authorize(ACTION, IDENTITY).rule_id == "pdp.client_error"


async def test_a_closed_asyncio_client_denies(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = AsyncClient(server.address)
    assert (await client.authorize(ACTION, IDENTITY)).allowed
    await client.close()
    assert (await client.authorize(ACTION, IDENTITY)).rule_id == "pdp.client_error"
    await client.close()


async def test_many_at_once_on_one_client(async_client: AsyncClient, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    got = await asyncio.gather(*(async_client.authorize(ACTION, IDENTITY) for _ in range(50)))
    assert all(each.allowed for each in got)
    assert len({each.idempotency_key for each in server.authorized()}) == 50


async def test_cancelling_is_passed_on(async_client: AsyncClient, server: ScriptedServer) -> None:
    gone, begun = threading.Event(), threading.Event()

    def wait(raw: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(gone.set)
        begun.set()
        return late()(raw, context)

    server.script(AUTHORIZE, wait)
    task = asyncio.create_task(async_client.authorize(ACTION, IDENTITY))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(gone.wait, 10)


@pytest.mark.parametrize("made", [Client, AsyncClient])
def test_defaults_that_make_no_sense(made: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="timeout"):
        made(timeout=0)
    with pytest.raises(ValueError, match="timeout"):
        made(timeout=math.inf)
    with pytest.raises(ValueError, match="on_failure"):
        made(on_failure="allow")  # type: ignore[arg-type] # wrong on purpose


def test_no_proxy_is_asked(both: Both, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    monkeypatch.setenv("http_proxy", f"http://{nobody}")
    monkeypatch.setenv("grpc_proxy", f"http://{nobody}")
    server.script(AUTHORIZE, allow())
    assert both.authorize(timeout=3).allowed


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=st.binary(max_size=200), cut=st.integers(0, 200), flip=st.integers(0, 2**16))
def test_no_bytes_but_a_whole_allow_are_an_allow(
    client: Client, server: ScriptedServer, raw: bytes, cut: int, flip: int
) -> None:
    whole = bytearray(allow().SerializeToString())
    whole[flip % len(whole)] ^= 1 + flip % 255
    for answer in (raw, bytes(whole), bytes(whole[:cut])):
        server.script(AUTHORIZE, answer)
        got = client.authorize(ACTION, IDENTITY)
        if got.allowed:  # then it is an allow by every one of its fields
            told = authorization_pb2.AuthorizeResponse.FromString(answer).decision
            assert told.effect == decision_pb2.EFFECT_ALLOW
            assert told.decision_id
            assert told.rule_id
            assert told.policy_revision
            assert {each.effect for each in told.findings} <= {
                decision_pb2.EFFECT_ALLOW,
                decision_pb2.EFFECT_REQUIRE_APPROVAL,
            }
