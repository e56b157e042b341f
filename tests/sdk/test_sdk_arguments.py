"""Arguments that are invalid: those that raise, and those that become a deny."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

import pytest

from placet.kernel import limits
from placet.sdk import (
    Action,
    Amount,
    AsyncClient,
    AuditClient,
    Client,
    ControlClient,
    Effect,
    Evidence,
    Identity,
    InvalidParamsError,
    InvalidRequestError,
    Request,
    Run,
)
from placet.sdk._wire import encode
from placet.transport.grpc.messages.from_proto import parse_request
from tests.sdk.both import ACTION, IDENTITY, Both
from tests.sdk.scripted_server import (
    AUTHORIZE,
    ScriptedServer,
    allow,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1.0, math.nan, math.inf, 1e10, 300.1, 10**400])
def test_a_timeout_out_of_range_raises(both: Both, server: ScriptedServer, seconds: float) -> None:
    for ask in (both.authorize, lambda **more: both.authorize_batch([Request(ACTION, IDENTITY)], **more)):
        with pytest.raises(ValueError, match="timeout must be more than 0 and at most 300 seconds, not"):
            ask(timeout=seconds)
    assert server.calls == []


@pytest.mark.parametrize("made", [Client, AsyncClient, AuditClient, ControlClient])
@pytest.mark.parametrize(
    "address",
    [
        "", "127.0.0.1", "placet", ":7070", "placet:", "placet:port", "placet:0", "placet:65536", "placet:-1",
        "http://127.0.0.1:7070", "grpc://placet:7070", "placet:7070/", "not an address", "::1:7070", "a:7070\n",
        "placet:\u0667", "unix:", "unix:relative.sock", "unix://host/p.sock", "unix:/p/", "unix:/a b", "unix:/a%20b",
        "unix:/a?b", "unix-abstract:a",
    ],
)  # fmt: skip
def test_an_invalid_address_raises(made: Callable[[str], object], address: str) -> None:
    with pytest.raises(ValueError, match=r"host:port .* such as 127\.0\.0\.1:7070") as caught:
        made(address)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["placet-1.internal:7070", "[::1]:7070", "[fe80::1%br-lan]:1", "10.0.0.1:65535", "unix:/run/p.sock", "unix:///p"],
)
async def test_a_good_address_does_not_raise(address: str) -> None:
    Client(address).close()
    await AsyncClient(address).close()


def test_an_address_of_another_type_raises() -> None:
    with pytest.raises(TypeError, match="address must be text, host:port, not int"):
        Client(7070)  # type: ignore[arg-type] # wrong on purpose


def test_invalid_call_options_raise(both: Both, server: ScriptedServer) -> None:
    with pytest.raises(ValueError, match="on_failure must be 'deny' or 'raise', not 'rise'"):
        both.authorize(on_failure="rise")
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
        both.authorize(timeout="2")  # type: ignore[arg-type] # wrong on purpose
    assert server.calls == []


INVALID_VALUES: dict[str, tuple[Any, Any, str]] = {
    "surrogate in the tool": (Action("\ud800"), IDENTITY, "action.tool"),
    "surrogate in a role": (ACTION, Identity("a", "t", roles=["\ud800"]), "identity.roles[0]"),
    "huge amount": (Action("t", amount=Amount("USD", 2**63)), IDENTITY, "action.amount.minor_units"),
    "exponent": (Action("t", amount=Amount("USD", 1, 2**40)), IDENTITY, "action.amount.exponent"),
}


@pytest.mark.parametrize("name", INVALID_VALUES)
def test_a_value_that_a_field_cannot_hold_is_a_deny(both: Both, server: ScriptedServer, name: str) -> None:
    action, identity, field = INVALID_VALUES[name]
    server.script(AUTHORIZE, allow())
    result = both.authorize(action, identity)
    assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_invalid_argument")
    assert result.failure is not None
    assert [each.field for each in result.failure.violations] == [field]
    with pytest.raises(InvalidRequestError):
        both.authorize(action, identity, on_failure="raise")
    assert server.calls == []


def test_a_number_out_of_range_is_a_deny(both: Both, server: ScriptedServer) -> None:
    result = both.authorize(run=Run(step=2**40))
    assert result.rule_id == "pdp.client_invalid_argument"
    assert "run.step: must be an int of 32 bits" in result.reason
    assert server.calls == []


def _nested(levels: int) -> dict[str, Any]:
    return {"a": _nested(levels - 1)} if levels > 1 else {}


def _circular() -> dict[str, Any]:
    circle: dict[str, Any] = {"a": []}
    circle["a"].append(circle)
    return circle


INVALID_PARAMS: dict[str, tuple[Any, str]] = {
    "NaN": ({"amount": math.nan}, r"is not JSON: params\.amount is nan"),
    "an infinity within": ({"a": [{"b c": -math.inf}]}, r"is not JSON: params\.a\[0\]\['b c'\] is -inf"),
    "an integer that readers round": ({"a": 2**53 + 1}, "an integer beyond ±9007199254740991"),
    "one below": ({"a": [[-(2**53)]]}, "an integer beyond ±9007199254740991"),
    "one of thousands of digits": ({"a": 10**5_000}, "is not JSON|an integer beyond"),
    "half of a character": ({"a": ["x", "\ud800"]}, "a lone surrogate"),
    "half of one in a key": ({"a": {"\udfff": 1}}, "a lone surrogate"),
    "half of one in a text": ('{"a":"\ud800"}', "a lone surrogate"),
    "a circle": (_circular(), "is not JSON: Circular"),
    "too deep": (_nested(33), "deeper than 32 levels"),
    "lists too deep": ({"a": json.loads("[" * 32 + "]" * 32)}, "deeper than 32 levels"),
    "far too deep": (_nested(900), "deeper than 32 levels"),
}


@pytest.mark.parametrize("name", INVALID_PARAMS)
@pytest.mark.parametrize("on_failure", ["deny", "raise"])
def test_params_that_json_cannot_hold_raise(both: Both, server: ScriptedServer, name: str, on_failure: Any) -> None:
    params, what = INVALID_PARAMS[name]
    with pytest.raises(InvalidParamsError, match=what) as caught:
        both.authorize(Action("t", params), on_failure=on_failure)
    assert isinstance(caught.value, ValueError)
    assert [each.field for each in caught.value.failure.violations] == ["action.params_json"]
    with pytest.raises(InvalidParamsError, match=what) as caught:
        both.authorize_batch([Request(ACTION, IDENTITY), Request(Action("t", params), IDENTITY)])
    assert [each.field for each in caught.value.failure.violations] == ["requests[1].action.params_json"]
    assert server.calls == []


def test_params_at_the_limits_are_sent(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    params = {"a": 2**53 - 1, "b": [-(2**53 - 1), True, 1.5e300, None], "c": "\U0001f600", "d": _nested(31)}
    assert both.authorize(Action("t", params)).allowed
    [request] = server.authorized()
    assert json.loads(request.action.params_json) == params
    assert len(parse_request(request).action.params) > 0


def test_sdk_and_server_have_the_same_limits_of_params() -> None:
    assert (encode.PARAMS_DEPTH_MAX, encode.SAFE_INTEGER_MAX) == (limits.PARAMS_DEPTH_MAX, limits.SAFE_INTEGER_MAX)


def _identity_with_role(value: Any) -> Identity:
    roles: list[Any] = []
    identity = Identity("a", "t", roles=roles)
    roles.append(value)
    return identity


WRONG_TYPES: dict[str, tuple[Callable[[Both], object], str]] = {
    "an object in params": (lambda both: both.authorize(Action("t", {"a": object()})), "params_json: is not JSON"),
    "a key": (lambda both: both.authorize(Action("t", {"a": [{1: "x"}]})), r"action\.params_json: has the key 1"),
    "a role added later": (lambda both: both.authorize(ACTION, _identity_with_role(7)), r"roles\[0\]: must be text"),
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


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_wrong_type_raises(both: Both, server: ScriptedServer, name: str) -> None:
    call, message = WRONG_TYPES[name]
    with pytest.raises(TypeError, match=message):
        call(both)
    assert server.calls == []


def test_params_deeper_than_the_recursion_limit_raise(both: Both) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidParamsError):
        both.authorize(Action("t", deep))


def test_an_invalid_traceparent_is_a_deny(both: Both, server: ScriptedServer) -> None:
    for wrong in ("é", "a\nb"):
        assert both.authorize(traceparent=wrong).rule_id == "pdp.client_invalid_argument"
    assert server.calls == []


def test_an_empty_batch_raises(both: Both) -> None:
    with pytest.raises(ValueError, match="at least one"):
        both.authorize_batch([])


@pytest.mark.parametrize("made", [Client, AsyncClient])
def test_invalid_defaults_raise(made: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="timeout"):
        made(timeout=0)
    with pytest.raises(ValueError, match="timeout"):
        made(timeout=math.inf)
    with pytest.raises(ValueError, match="on_failure"):
        made(on_failure="allow")  # type: ignore[arg-type] # wrong on purpose
