"""What of the server's state a caller may see."""

from __future__ import annotations

from placet.audit.records import AuditProblem, StateDifference, VerifyReport
from placet.identity.model import EVERY_TENANT, Grant, Principal, Role
from placet.kernel.model import Caller
from placet.revisions.status import EngineMode, PolicyStatus, ServerHealth, SlowPack
from placet.transport.grpc.messages.visible import HIDDEN, visible_report, visible_status


def caller(*grants: Grant) -> Principal:
    return Principal(Caller("c", method="token"), grants)


def auditor(tenant: str) -> Principal:
    return caller(Grant(Role.AUDITOR, frozenset({tenant})))


SLOW = SlowPack("policy.refunds", "refunds.create", "globex", 0.3, ended=True, input_bytes=1)
STATUS = PolicyStatus(
    ready=True,
    engine_mode=EngineMode.MANAGED,
    tenants=("acme", "globex"),
    last_error="config/globex.yaml:3: no",
    held_reasons=("globex lost a budget",),
    slow_packs=(SLOW,),
)
HEALTH = ServerHealth(
    serving=False,
    reasons=("OPA does not answer: config/globex.yaml:3: no",),
    issuers_unreadable=("https://id.globex.example: no answer",),
)
DIFFERENCE = StateDifference("approvals", "globex", "apr_1", "1", "2")
REPORT = VerifyReport(3, 1, 1, (AuditProblem("state_differs", "w", 7, "globex apr_1", DIFFERENCE),))


def test_without_authentication_and_with_a_grant_for_every_tenant_all_is_shown() -> None:
    for principal in (None, auditor(EVERY_TENANT)):
        assert visible_status(STATUS, HEALTH, principal) == (STATUS, HEALTH)
        assert visible_report(REPORT, principal) == REPORT


def test_a_caller_sees_nothing_of_other_tenants() -> None:
    runtime_too = caller(Grant(Role.AUDITOR, frozenset({"acme"})), Grant(Role.AGENT_RUNTIME, frozenset({"globex"})))
    shown = visible_status(STATUS, HEALTH, auditor("acme")), visible_report(REPORT, auditor("acme"))
    assert "globex" not in str(shown)
    status, _ = visible_status(STATUS, HEALTH, runtime_too)
    assert status.tenants == ("acme", "globex"), "it has a grant there"
    assert (status.slow_packs, status.last_error) == ((), HIDDEN), "but not one that may see this"


def test_a_caller_sees_that_there_are_problems() -> None:
    status, health = visible_status(STATUS, HEALTH, auditor("acme"))
    assert (status.tenants, status.last_error, status.held_reasons) == (("acme",), HIDDEN, (HIDDEN,))
    assert (health.serving, health.reasons, health.issuers_unreadable) == (False, (HIDDEN,), (HIDDEN,))
    report = visible_report(REPORT, auditor("acme"))
    assert [(each.kind, each.writer, each.sequence) for each in report.problems] == [("state_differs", "w", 7)]
    assert not report.ok


def test_a_caller_sees_the_slow_packs_of_its_tenants() -> None:
    status, _ = visible_status(STATUS, HEALTH, auditor("globex"))
    assert status.slow_packs == (SLOW,)


def test_nothing_is_hidden_where_there_is_nothing() -> None:
    well = PolicyStatus(ready=True, engine_mode=EngineMode.MANAGED), ServerHealth(serving=True)
    assert visible_status(*well, auditor("acme")) == well
