"""Each record of a call has the caller, and how the caller proved it; each that a person caused has the person."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from placet.audit.records import RecordKind
from placet.identity.model import EVERY_TENANT, Grant, Principal, Role
from placet.kernel.model import Caller
from tests.serving import settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.tenant_isolation import PAY, POLICY, VICTIM, WIRE
from tests.transport.test_authenticated_isolation import everything_in, of_the_victim
from tests.transport.test_isolation import action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

ISSUER = "https://id.example.com"
WITHOUT_CALLER = {
    RecordKind.RESERVATION_EXPIRED,
    RecordKind.APPROVAL_EXPIRED,
    RecordKind.KEYS_SWEPT,
    RecordKind.POLICY_ACTIVATED,
    RecordKind.POLICY_REFUSED,
    RecordKind.POLICY_HELD,
    RecordKind.TRAIL_RESTARTED,
    RecordKind.CLOCK_ACCEPTED,
    RecordKind.SERVER_STARTED,
    RecordKind.SERVER_STOPPED,
    RecordKind.PERMIT_REVOKED,
}
"""Records that no call makes; and `permit.revoked`, which follows from a record that has the caller."""
ELSEWHERE = {
    RecordKind.EXCESS_ACCEPTED,
    RecordKind.EXCESS_DROPPED,
    RecordKind.POLICY_CONFIRMED,
    RecordKind.PERMIT_KEY_CREATED,
}
"""Records that no call makes here. Their tests: tests/outcomes/test_outcome_excesses.py, tests/policy, tests/keys."""
PERSON_IN: dict[RecordKind, tuple[str, str]] = {
    RecordKind.APPROVAL_VOTED: ("vote", "person"),
    RecordKind.KILL_SWITCH_SET: ("control", "actor"),
    RecordKind.KILL_SWITCH_CLEARED: ("control", "actor"),
    RecordKind.AUTONOMY_SET: ("control", "actor"),
    RecordKind.BUDGET_ADJUSTED: ("control", "actor"),
    RecordKind.CONTROL_REQUESTED: ("control", "actor"),
    RecordKind.CONTROL_REFUSED: ("control", "actor"),
    RecordKind.TOKEN_CREATED: ("control", "actor"),
    RecordKind.TOKEN_REVOKED: ("control", "actor"),
}


def person(name: str) -> Principal:
    """Return a person of the tenant with every role, whose credential is a JWT."""
    made = everything_in(VICTIM, name)
    return replace(made, caller=Caller(f"{ISSUER}|{name}", method="jwt", issuer=ISSUER, person=name))


PRINCIPALS = {name: person(name) for name in ("ann", "bob", "cy")}
PRINCIPALS["auditor"] = Principal(
    Caller(f"{ISSUER}|auditor", method="jwt", issuer=ISSUER), (Grant(Role.AUDITOR, frozenset({EVERY_TENANT})),)
)
HERE: dict[str, Any] = {"tenant": VICTIM}
WHY: dict[str, Any] = {"reason": "r"}


class Site:
    """A server, and the calls that make one record of each kind."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.callers = Callers(server)
        self.ask = self.callers.ask

    def authorize(self, tool: str, key: str) -> Any:
        request = of_the_victim(action(tool, idempotency_key=key))
        request["action"]["params_json"] = json.dumps({"to": key})
        return self.ask("ann", "AuthorizationService.Authorize", **request).decision

    def approval(self, key: str) -> dict[str, Any]:
        return {**HERE, "approval_id": self.authorize(WIRE, key).approval.id}

    def make_records(self) -> None:
        allowed = self.authorize(PAY, "paid")
        report = {**HERE, "decision_id": allowed.decision_id, "status": "OUTCOME_STATUS_SUCCEEDED"}
        self.ask("ann", "AuthorizationService.ReportOutcome", **report)
        self.ask("ann", "AuthorizationService.Authorize", idempotency_key="invalid")
        self.ask("auditor", "AuthorizationService.Authorize", **of_the_victim(action(PAY)))
        voted, rejected, cancelled = (self.approval(key) for key in ("voted", "rejected", "cancelled"))
        self.ask("ann", "ApprovalService.ApproveAction", **voted)  # refused: she asked
        self.ask("bob", "ApprovalService.ApproveAction", **voted)
        self.ask("bob", "ApprovalService.RejectAction", **rejected, **WHY)
        self.ask("bob", "ApprovalService.CancelApproval", **cancelled, **WHY)
        self.ask("cy", "ApprovalService.VoidVotes", **HERE, person="bob", **WHY)
        switch = self.ask("bob", "ControlService.SetKillSwitch", scope={**HERE, "workflow": "w"}, **WHY).kill_switch.id
        self.ask("bob", "ControlService.ClearKillSwitch", **HERE, kill_switch_id=switch, **WHY)
        whole = {"scope": {**HERE, "whole_tenant": True}, **WHY}
        switch = self.ask("bob", "ControlService.SetKillSwitch", **whole).kill_switch.id
        for name in ("bob", "bob", "cy"):  # requested, refused, confirmed
            self.ask(name, "ControlService.ClearKillSwitch", **HERE, kill_switch_id=switch, **WHY)
        lower = {"workflow": "w", "level": "AUTONOMY_OBSERVE_ONLY", **WHY}
        self.ask("bob", "ControlService.SetAutonomy", **HERE, **lower)
        adjusted = {"budget_id": "money", "scope_key": "user:u_1", "amount": 5, **WHY}
        self.ask("bob", "ControlService.AdjustBudget", **HERE, **adjusted)
        grant = {"role": "CALLER_ROLE_OPERATOR", "tenants": [VICTIM]}
        made = self.ask("bob", "TokenService.CreateToken", name="t", grants=[grant])
        self.ask("bob", "TokenService.RevokeToken", **HERE, token_id=made.token.id, **WHY)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The records of each kind after the calls."""
    chosen = settings(tmp_path_factory.mktemp("records"))
    (chosen.rego_dir / "config" / f"{VICTIM}.yaml").write_text(POLICY)
    with serving_to(NamedPrincipals(PRINCIPALS), chosen) as server:
        site = Site(server)
        site.make_records()
        site.callers.channel.close()
        with contextlib.closing(sqlite3.connect(f"file:{server.data_dir}/placet.db?mode=ro", uri=True)) as database:
            kinds = [kind for (kind,) in database.execute("select distinct kind from audit_records")]
        yield {kind: server.records(kind) for kind in kinds}


def test_each_kind_is_made_here_or_has_no_caller(records: dict[str, list[dict[str, Any]]]) -> None:
    assert set(RecordKind) - WITHOUT_CALLER - ELSEWHERE == set(records) - WITHOUT_CALLER


def test_each_record_has_the_caller_and_how_it_was_proven(records: dict[str, list[dict[str, Any]]]) -> None:
    callers = {principal.caller.name for principal in PRINCIPALS.values()}
    for kind, made in records.items():
        for record in made if kind not in WITHOUT_CALLER else ():
            body = record["body"]
            assert body["caller"] in callers, (kind, body)
            assert (body["caller_method"], body["caller_issuer"]) == ("jwt", ISSUER), (kind, body)


@pytest.mark.parametrize("kind", PERSON_IN)
def test_each_record_that_a_person_caused_has_the_person(
    records: dict[str, list[dict[str, Any]]], kind: RecordKind
) -> None:
    part, member = PERSON_IN[kind]
    for record in records[kind]:
        assert record["parts"][part][member] in PRINCIPALS, json.dumps(record)
        assert record["body"]["caller"] == f"{ISSUER}|{record['parts'][part][member]}"
