"""No tenant can see, use, change or name resources of another tenant. Every RPC has attempts here."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from placet.sdk import (
    ApprovalClient,
    ApprovalState,
    AuditClient,
    Client,
    ControlClient,
    DecisionState,
    Effect,
    Query,
)
from placet.v1 import authorization_pb2
from tests.serving import serving, settings
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.tenant_isolation import (
    AGENT,
    AMOUNT,
    ATTACKER,
    BUDGET,
    INTRUDER,
    KEEPER,
    PAY,
    POLICY,
    READ,
    RUN,
    SCOPE_KEY,
    USER,
    VICTIM,
    WIRE,
    WORKFLOW,
    Houses,
    Victim,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

    from tests.transport.tenant_isolation import Belongings

NOT_FOUND, INVALID, DENIED = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
)
SUCCEEDED = authorization_pb2.OUTCOME_STATUS_SUCCEEDED
PERSON = {"id": "mallory", "roles": ["keeper"]}
BY: dict[str, Any] = {"actor": {"id": "mallory"}, "reason": "curious"}
REFERENCES = ("_id", "_key", "cursor", "page_token", "token", "permit")
NAMES = {"budget_id", "run_id", "rule_id", "trace_id", "scope_key", "window_key", "include_permit"}
"""Fields that only look so: each tenant has its own things of these names."""
ELSEWHERE = {"user_token", "token"}
"""Fields with tests of their own: test_authenticated_isolation.py and test_delegation_chain.py."""
FROM_THE_START = base64.urlsafe_b64encode(b'{"placet":0}').decode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: the fields of the request and the expected status."""

    fields: dict[str, Any]
    code: grpc.StatusCode = grpc.StatusCode.OK


def own(code: grpc.StatusCode = grpc.StatusCode.OK, **fields: Any) -> Attempt:
    """Return an attempt in the attacker's tenant."""
    return Attempt({"tenant": ATTACKER, **fields}, code)


def action(tool: str, tenant: str = ATTACKER, **more: Any) -> dict[str, Any]:
    """Return the action that the victim requested."""
    return {
        "idempotency_key": f"attack-{tool}-{sorted(more.items())}"[:128],
        "action": {"tool": tool, "params_json": '{"to":"x"}', "amount": {"currency_code": "USD", "minor_units": 7}},
        "identity": {"agent": AGENT, "tenant": tenant, "user": USER},
        "run": {"run_id": RUN, "workflow": WORKFLOW},
        **more,
    }


def actions(victim: Belongings) -> list[dict[str, Any]]:
    return [
        action(WIRE, approval_id=victim.approved),
        action(WIRE, approval_id=victim.waiting),
        action(PAY, idempotency_key=victim.key),
        action(READ),
    ]


def named(victim: Belongings, **fields: Any) -> list[Attempt]:
    """Return attempts that use the ids of the victim's approvals."""
    return [own(NOT_FOUND, approval_id=each, **fields) for each in (victim.waiting, victim.approved)]


def decisions(victim: Belongings, **fields: Any) -> list[Attempt]:
    return [own(NOT_FOUND, decision_id=each, **fields) for each in (victim.allowed, victim.asked)]


ATTEMPTS: dict[str, Callable[[Belongings], Sequence[Attempt]]] = {
    "AuthorizationService.Authorize": lambda victim: [Attempt(each) for each in actions(victim)],
    "AuthorizationService.AuthorizeBatch": lambda victim: [
        Attempt({"requests": [{**each, "idempotency_key": f"batch-{n}"} for n, each in enumerate(actions(victim))]}),
        Attempt({"requests": [action(READ, idempotency_key="a"), action(READ, VICTIM, idempotency_key="b")]}, INVALID),
    ],
    "AuthorizationService.AuthorizeStream": lambda victim: [
        Attempt({"requests": [{"id": f"{n}", "request": each} for n, each in enumerate(actions(victim))]}),
    ],
    "AuthorizationService.ReportOutcome": lambda victim: [
        *decisions(victim, status=SUCCEEDED),
        own(DENIED, decision_id=victim.allowed, status=SUCCEEDED, permit=victim.permit),
    ],
    "AuthorizationService.WatchDecision": lambda victim: [
        *decisions(victim),
        *decisions(victim, cursor=FROM_THE_START),
    ],
    "ApprovalService.ListApprovals": lambda victim: [own(), own(page_token=approvals_token(victim))],
    "ApprovalService.GetApproval": lambda victim: named(victim, viewer=PERSON),
    "ApprovalService.ApproveAction": lambda victim: named(victim, approver=PERSON),
    "ApprovalService.RejectAction": lambda victim: named(victim, approver=PERSON, reason="no"),
    "ApprovalService.CancelApproval": lambda victim: named(victim, actor=PERSON, reason="no"),
    "ApprovalService.VoidVotes": lambda _: [
        own(person=each, actor=PERSON, reason="no") for each in ("keeper", KEEPER.id)
    ],
    "ApprovalService.WatchApprovals": lambda _: [own(), own(cursor=FROM_THE_START)],
    "AuditService.QueryDecisions": lambda victim: [
        own(),
        own(run_id=RUN, user=USER, agent=AGENT),
        own(page_token=victim.page_token),
    ],
    "AuditService.GetDecision": decisions,
    "AuditService.VerifyAudit": lambda _: [Attempt({})],
    "ControlService.GetPolicyStatus": lambda _: [Attempt({})],
    "ControlService.GetPermitKeys": lambda _: [Attempt({})],
    "KeyService.ListKeys": lambda _: [Attempt({})],
    "KeyService.RotateKey": lambda _: [
        Attempt({"use": "KEY_USE_PERMIT", **BY}, grpc.StatusCode.FAILED_PRECONDITION),
    ],
    "ControlService.ConfirmPolicy": lambda _: [Attempt({"policy_revision": "guessed", **BY}, NOT_FOUND)],
    "ControlService.SetKillSwitch": lambda _: [
        Attempt({"scope": {"tenant": ATTACKER, "run_id": RUN}, **BY}),
        Attempt({"scope": {"tenant": ATTACKER, "run_id": "guessed"}, **BY}),
        Attempt({"scope": {"tenant": ATTACKER, "agent": AGENT}, **BY}),
        Attempt({"scope": {"tenant": ATTACKER, "workflow": WORKFLOW}, **BY}),
        Attempt({"scope": {"tenant": ATTACKER, "tool": "*"}, **BY}),
        Attempt({"scope": {"run_id": RUN}, **BY}, INVALID),
        Attempt({"scope": {"tenant": ATTACKER, "whole_tenant": True}, **BY}),
    ],
    "ControlService.ClearKillSwitch": lambda victim: [
        own(NOT_FOUND, kill_switch_id=victim.switch, **BY),
        Attempt({"kill_switch_id": victim.switch, **BY}, NOT_FOUND),
    ],
    "ControlService.ListKillSwitches": lambda _: [own(), Attempt({})],
    "ControlService.SetAutonomy": lambda _: [own(workflow="guessed", level="AUTONOMY_OBSERVE_ONLY", **BY)],
    "ControlService.ListAutonomyRules": lambda _: [own()],
    "ControlService.ListAutonomy": lambda _: [own()],
    "ControlService.ListAgents": lambda _: [own()],
    "ControlService.ListBudgets": lambda _: [own(), own(budget_id=BUDGET, top=100)],
    "ControlService.GetBudgets": lambda _: [own(), own(budget_id=BUDGET, top=100)],
    "ControlService.ListOutcomeExcesses": lambda victim: [own(), own(page_token=approvals_token(victim))],
    "ControlService.DecideOutcomeExcess": lambda victim: decisions(victim, verdict="EXCESS_VERDICT_DROP", **BY),
    "ControlService.AdjustBudget": lambda _: [own(budget_id=BUDGET, scope_key=SCOPE_KEY, amount=5, **BY)],
    "TokenService.CreateToken": lambda _: [
        Attempt({"name": "t", "grants": [{"tenants": [ATTACKER]}], "actor": PERSON}, INVALID),
    ],
    "TokenService.ListTokens": lambda _: [own()],
    "TokenService.RevokeToken": lambda victim: [
        own(NOT_FOUND, token_id=victim.token, **BY),
    ],
}
"""RPC -> attempts. Calls about the whole server name no tenant."""


def approvals_token(victim: Belongings) -> str:
    """Return a page token that follows the victim's approval."""
    return base64.urlsafe_b64encode(f'[9999999999999999,"{victim.waiting}"]'.encode()).decode()


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    chosen = settings(tmp_path_factory.mktemp("isolation"))
    for tenant in (VICTIM, ATTACKER, INTRUDER):
        (chosen.rego_dir / "config" / f"{tenant}.yaml").write_text(POLICY)
    with serving(chosen) as server:
        made = Houses(server)
        yield made
        made.channel.close()


@pytest.fixture(scope="module")
def victim(houses: Houses) -> Victim:
    return Victim(houses.furnish("guessed"), houses.furnish("hidden"))


def test_every_rpc_has_attempts() -> None:
    assert ATTEMPTS.keys() == every_rpc().keys()


def references(message: Message) -> set[str]:
    """Return the fields with which a request refers to what exists: ids, keys, cursors, page tokens and permits."""
    found = set()
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.full_name.startswith("placet.v1."):
            found |= {name for each in _parts(message, field) for name in references(each)}
        elif field.name.endswith(REFERENCES) and field.name not in NAMES:
            found.add(field.name)
    return found


def _parts(message: Message, field: Any) -> list[Message]:
    value = getattr(message, field.name)
    return (list(value) or [value.add()]) if field.is_repeated else [value]


def given(fields: Any) -> set[str]:
    """Return the names of all fields that the fields of a request set."""
    if isinstance(fields, list):
        return {name for each in fields for name in given(each)}
    return set(fields) | given(list(fields.values())) if isinstance(fields, dict) else set()


@pytest.mark.parametrize("name", sorted(every_rpc()))
def test_each_reference_of_a_request_is_attempted(victim: Victim, name: str) -> None:
    """A new field that can name what belongs to another tenant needs an attempt."""
    expected = references(message_class(every_rpc()[name])())
    attempted = {field for each in ATTEMPTS[name](victim.guessed) for field in given(each.fields)}
    assert expected <= attempted | ELSEWHERE


@pytest.mark.parametrize("name", sorted(every_rpc()))
def test_another_tenant_sees_and_changes_nothing(houses: Houses, victim: Victim, name: str) -> None:
    method, before = every_rpc()[name], houses.state()
    assert all(before[table] for table in ("approvals", "counters", "kill_switches", "audit_records"))
    for attempt in ATTEMPTS[name](victim.guessed):
        answer = houses.call(method, ParseDict(attempt.fields, message_class(method)()))
        assert answer.code is attempt.code, (attempt, answer)
        output = b"".join(answer.messages) + answer.text.encode()
        assert not [secret for secret in victim.secrets if secret in output], attempt
    assert houses.state() == before


def test_an_approval_of_another_tenant_allows_nothing(houses: Houses, victim: Victim) -> None:
    for approval_id in (victim.guessed.approved, victim.guessed.waiting, "apr_unknown"):
        decision = houses.ask(INTRUDER, WIRE, approval_id=approval_id)
        assert (decision.effect, decision.rule_id) == (Effect.DENY, "approvals.unknown")


def test_an_idempotency_key_of_another_tenant_is_a_new_key(houses: Houses, victim: Victim) -> None:
    decision = houses.ask(INTRUDER, PAY, idempotency_key=victim.guessed.key)
    assert decision.effect is Effect.ALLOW
    assert decision.decision_id != victim.guessed.allowed
    assert [each.remaining for each in decision.budgets] == [100_000 - AMOUNT]


def test_a_stream_contains_only_the_changes_of_its_tenant(houses: Houses) -> None:
    with ApprovalClient(houses.server.address) as people:
        changes = people.watch(INTRUDER, timeout=30)
        houses.ask(INTRUDER, WIRE)
        first = next(changes)
        houses.ask(VICTIM, WIRE)
        mine = houses.ask(INTRUDER, WIRE, run_id="another")
        assert mine.approval is not None
        second = next(changes)
    assert [each.approval.tenant for each in (first, second)] == [INTRUDER] * 2
    assert second.approval.id == mine.approval.id


def test_the_owner_has_access_to_everything(houses: Houses, victim: Victim) -> None:
    """Proves that the ids in the attempts are valid."""
    owned = victim.guessed
    with AuditClient(houses.server.address) as audit:
        assert audit.get(VICTIM, owned.allowed) is not None
        assert audit.query(Query(tenant=VICTIM, page_token=owned.page_token)).decisions
    with ApprovalClient(houses.server.address) as people:
        assert people.get(VICTIM, owned.waiting, KEEPER).action_digest
        assert people.approve(VICTIM, owned.waiting, KEEPER).state is ApprovalState.APPROVED
    with Client(houses.server.address, timeout=30) as client:
        assert next(client.watch_decision(owned.allowed, tenant=VICTIM)).state is DecisionState.ALLOWED
        assert not client.report_outcome(owned.allowed, "succeeded", tenant=VICTIM).duplicate
    with ControlClient(houses.server.address) as control:
        assert owned.switch in {each.id for each in control.kill_switches(VICTIM)}
        assert control.clear_kill_switch(owned.switch, actor="ann", reason="r", tenant=VICTIM) is None
        assert {rule.workflow for rule in control.autonomy(VICTIM)} == {"guessed", "hidden"}
        [budget] = control.budgets(VICTIM, BUDGET)
        assert [each.scope_key for each in budget.counters] == [SCOPE_KEY]
    assert houses.ask(VICTIM, PAY, idempotency_key=owned.key).decision_id == owned.allowed
    assert houses.ask(VICTIM, WIRE, approval_id=owned.approved).rule_id == "approvals.granted"
