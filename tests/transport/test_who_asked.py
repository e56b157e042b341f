"""Records and tool-call events say who asked, and how the user is known, where callers are authenticated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.ports import User
from placet.kernel.model import Caller
from tests.serving import serving, settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

ISSUER, USERS = "https://id.example.com", "https://users.example.com"
TENANT = frozenset({"acme"})
RUNTIME = Principal(
    Caller("ci", method="jwt", issuer=ISSUER), (Grant(Role.AGENT_RUNTIME, TENANT, ("*",), UserAssertion.TRUSTED),)
)
PERSON = Principal(
    Caller(f"{ISSUER}|0042", method="jwt", issuer=ISSUER),
    tuple(Grant(role, TENANT) for role in (Role.OPERATOR, Role.AUDITOR)),
    "olga@example.com",
)
TOKEN = "token of dana"  # noqa: S105 - made up
DANA = User("dana@example.com", ("staff",), TENANT, USERS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    principals = NamedPrincipals({"runtime": RUNTIME, "olga": PERSON}, {TOKEN: DANA})
    with serving_to(principals, settings(tmp_path_factory.mktemp("who"))) as made:
        yield made


def ask(callers: Callers, name: str, rpc: str, **fields: Any) -> Any:
    answer = callers.ask(name, rpc, **fields)
    assert not isinstance(answer, Refusal), answer
    return answer


def action(key: str, **identity: str) -> dict[str, Any]:
    return {
        "idempotency_key": key,
        "action": {"tool": "kb.search", "params_json": "{}"},
        "identity": {"agent": "support-1", "tenant": "acme", **identity},
    }


def recorded(callers: Callers, **conditions: Any) -> dict[str, Any]:
    """Return idempotency key -> how the user of each decision is known, and its event."""
    found = ask(callers, "olga", "AuditService.QueryDecisions", tenant="acme", **conditions).decisions
    return {
        each.idempotency_key: (each.user_method, each.user_issuer, json.loads(each.event_json)["user"])
        for each in found
    }


def test_a_decision_says_how_caller_and_user_are_known(callers: Callers) -> None:
    ask(callers, "runtime", "AuthorizationService.Authorize", **action("asserted", user="u_1"))
    ask(callers, "runtime", "AuthorizationService.Authorize", **action("proven", user_token=TOKEN))
    several = [action("a"), action("b", user="u_2"), action("c", user_token=TOKEN)]
    ask(callers, "runtime", "AuthorizationService.AuthorizeBatch", requests=several)
    streamed = [{"id": each["idempotency_key"], "request": {**each}} for each in several]
    for each in streamed:
        each["request"]["idempotency_key"] += " streamed"
    ask(callers, "runtime", "AuthorizationService.AuthorizeStream", requests=streamed)
    asserted = ("asserted", "", {"id": "u_2", "tenant": "acme", "method": "asserted", "issuer": ""})
    proven = ("token", USERS, {"id": DANA.person, "tenant": "acme", "method": "token", "issuer": USERS})
    nobody = ("", "", {"id": "", "tenant": "acme", "method": "", "issuer": ""})
    found = recorded(callers)
    assert found.pop("asserted")[0] == "asserted"
    assert found == {
        "proven": proven,
        "a": nobody,
        "b": asserted,
        "c": proven,
        "a streamed": nobody,
        "b streamed": asserted,
        "c streamed": proven,
    }
    assert recorded(callers, person=DANA.person).keys() == {"proven", "c", "c streamed"}
    assert recorded(callers, caller="ci").keys() == recorded(callers).keys()
    assert recorded(callers, caller="unauthenticated") == {}
    assert recorded(callers, person="u_2") == {}, "it is only asserted"


def test_policy_reads_how_the_user_is_known(callers: Callers) -> None:
    facts: list[Any] = []
    for name, identity in (("f1", {"user": "u_1"}), ("f2", {"user_token": TOKEN}), ("f3", {})):
        made = ask(callers, "runtime", "AuthorizationService.Authorize", **action(name, **identity)).decision
        found = ask(callers, "olga", "AuditService.GetDecision", tenant="acme", decision_id=made.decision_id).decision
        assert found.replayable
        facts.append(json.loads(found.input_json)["facts"].get("user"))
    assert facts == [{"method": "asserted", "issuer": ""}, {"method": "token", "issuer": USERS}, None]


def test_the_event_has_the_caller(callers: Callers) -> None:
    made = ask(callers, "runtime", "AuthorizationService.Authorize", **action("event")).decision
    found = ask(callers, "olga", "AuditService.GetDecision", tenant="acme", decision_id=made.decision_id).decision
    assert (found.caller, found.caller_method, found.caller_issuer) == ("ci", "jwt", ISSUER)
    assert json.loads(found.event_json)["caller"] == {"id": "ci", "method": "jwt", "issuer": ISSUER}


def test_an_outcome_and_a_control_say_who_called(server: Server, callers: Callers) -> None:
    made = ask(callers, "runtime", "AuthorizationService.Authorize", **action("outcome")).decision
    report = {"tenant": "acme", "decision_id": made.decision_id, "status": "OUTCOME_STATUS_SUCCEEDED"}
    ask(callers, "runtime", "AuthorizationService.ReportOutcome", **report)
    ask(callers, "olga", "ControlService.SetKillSwitch", scope={"tenant": "acme", "workflow": "w"}, reason="r")
    [outcome], [switch] = server.records("outcome.reported"), server.records("kill_switch.set")
    assert {"caller": "ci", "caller_method": "jwt", "caller_issuer": ISSUER}.items() <= outcome["body"].items()
    who = {"caller": f"{ISSUER}|0042", "caller_method": "jwt", "caller_issuer": ISSUER}
    assert who.items() <= switch["body"].items()
    assert switch["parts"]["control"]["actor"] == "olga@example.com"
    assert server.run(server.running.ledger.verify()).ok


def test_a_person_that_is_not_the_user_is_refused(callers: Callers) -> None:
    method = every_rpc()["AuditService.QueryDecisions"]
    request = message_class(method)(tenant="acme", user="u_1", person="u_2")
    refused = callers.call("olga", method, [request])
    assert isinstance(refused, Refusal)
    assert list(refused.violations) == ["person"]


def test_without_authentication_nothing_new_is_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(settings(tmp_path_factory.mktemp("nobody"))) as server:
        callers = Callers(server)
        ask(callers, "", "AuthorizationService.Authorize", **action("k", user="u_1"))
        callers.channel.close()
        [record] = server.records("decision.made")
    new = {name for name in record["body"] if name.startswith(("caller_", "user_"))}
    assert not new
    assert "user" not in record["parts"]["input"]["facts"]
    assert record["body"]["caller"] == "unauthenticated"
