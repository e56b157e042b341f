"""AuditClient, and the reads of ControlClient."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import (
    AuditClient,
    AuditProblem,
    CallFailedError,
    ControlClient,
    Effect,
    InvalidRequestError,
    Query,
    SlowPack,
)
from placet.v1 import audit_pb2, control_pb2, decision_pb2
from tests.sdk.in_loop import connected
from tests.sdk.scripted_server import (
    GET_DECISION,
    GET_POLICY_STATUS,
    QUERY_DECISIONS,
    VERIFY_AUDIT,
    ScriptedServer,
    decision,
    late,
    plain_status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY_POLICY = Path(__file__).parents[2] / "docs/how-to/deploy-policy.md"
THIS: dict[str, Any] = {"page_token": "token"}
NEXT: dict[str, Any] = {"next_page_token": "next"}
T0 = datetime(2026, 4, 24, 18, 33, 1, 123456, tzinfo=UTC)


@pytest.fixture(params=["blocking", "asyncio"])
def use_asyncio(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "asyncio")


@pytest.fixture
def audit(server: ScriptedServer, use_asyncio: bool) -> Iterator[AuditClient]:  # noqa: FBT001 - a fixture
    with connected(AuditClient, server.address, use_asyncio=use_asyncio) as client:
        yield client


@pytest.fixture
def control(server: ScriptedServer, use_asyncio: bool) -> Iterator[ControlClient]:  # noqa: FBT001 - a fixture
    with connected(ControlClient, server.address, use_asyncio=use_asyncio) as client:
        yield client


def recorded(**changes: Any) -> audit_pb2.RecordedDecision:
    message = audit_pb2.RecordedDecision(
        decision=decision(**changes), tenant="acme", event_json="{}", input_json='{"a": 1}', replayable=True,
        caller="unauthenticated", writer="placet", sequence=7, record_hash="cd" * 32, idempotency_key="k",
    )  # fmt: skip
    message.received_at.FromDatetime(T0)
    return message


def test_query(audit: AuditClient, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse(decisions=[recorded()], **NEXT))
    east = timezone(timedelta(hours=2))
    page = audit.query(
        Query(
            "acme", Effect.REQUIRE_APPROVAL, "r", "t", "run", "u", "a", T0.astimezone(east), T0, 5, "token",
        )
    )  # fmt: skip
    request = audit_pb2.QueryDecisionsRequest.FromString(server.requests(QUERY_DECISIONS)[0])
    expected = audit_pb2.QueryDecisionsRequest(
        tenant="acme", effect=decision_pb2.EFFECT_REQUIRE_APPROVAL, rule_id="r", tool="t", run_id="run", user="u",
        agent="a", page_size=5, **THIS,
    )  # fmt: skip
    expected.decided_from.FromDatetime(T0)
    expected.decided_until.FromDatetime(T0)
    assert request == expected
    assert {"next_page_token": page.next_page_token} == NEXT
    [found] = page.decisions
    assert (found.tenant, found.writer, found.sequence, found.received_at) == ("acme", "placet", 7, T0)
    assert (found.decision.effect, found.decision.idempotency_key) == (Effect.ALLOW, "k")


def test_query_without_conditions(audit: AuditClient, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse())
    assert audit.query(Query("acme")).decisions == ()
    request = audit_pb2.QueryDecisionsRequest.FromString(server.requests(QUERY_DECISIONS)[0])
    assert request == audit_pb2.QueryDecisionsRequest(tenant="acme")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Query("acme", decided_from=datetime(2026, 1, 1)), "decided_from"),  # noqa: DTZ001 - no time zone on purpose
        (Query("acme", decided_until="today"), "decided_until"),  # type: ignore[arg-type] # wrong on purpose
        (Query("\ud800"), "tenant"),
        (Query("acme", page_size=2**40), "page_size"),
        (Query("acme", effect="maybe"), "effect"),  # type: ignore[arg-type] # wrong on purpose
        ("acme", "query"),
    ],
)
def test_an_invalid_query_raises(audit: AuditClient, server: ScriptedServer, query: Query, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        audit.query(query)
    assert [each.field for each in caught.value.failure.violations] == [field]
    assert server.calls == []


def test_an_invalid_id_raises(audit: AuditClient, server: ScriptedServer) -> None:
    with pytest.raises(InvalidRequestError, match="decision_id: must be text, not int"):
        audit.get("acme", 5)  # type: ignore[arg-type] # wrong on purpose
    assert server.calls == []


def test_an_unknown_recorded_effect_is_a_deny(audit: AuditClient, server: ScriptedServer) -> None:
    server.script(GET_DECISION, audit_pb2.GetDecisionResponse(decision=recorded(effect=9)))
    found = audit.get("acme", "dec_1")
    assert found is not None
    assert found.decision.effect is Effect.DENY


def test_an_unknown_decision_is_none(audit: AuditClient, server: ScriptedServer) -> None:
    server.script(GET_DECISION, plain_status(grpc.StatusCode.NOT_FOUND))
    assert audit.get("acme", "dec_1") is None


def test_verify(audit: AuditClient, server: ScriptedServer) -> None:
    problem = audit_pb2.AuditProblem(kind="hash_mismatch", writer="placet", sequence=3, detail="d")
    server.script(
        VERIFY_AUDIT,
        audit_pb2.VerifyAuditResponse(ok=True, records=5, chains=1, checkpoints=2),
        audit_pb2.VerifyAuditResponse(ok=False, records=5, chains=1, checkpoints=2, problems=[problem]),
        audit_pb2.VerifyAuditResponse(ok=True, problems=[problem]),
        audit_pb2.VerifyAuditResponse(),
    )
    report = audit.verify()
    assert (report.ok, report.records, report.chains, report.checkpoints) == (True, 5, 1, 2)
    assert audit.verify().problems == (AuditProblem("hash_mismatch", "placet", 3, "d"),)
    assert not audit.verify().ok  # it contradicts itself
    assert not audit.verify().ok  # it is empty


def test_policy_status(control: ControlClient, server: ScriptedServer) -> None:
    answer = control_pb2.GetPolicyStatusResponse(
        ready=True, policy_revision="r", engine_mode=control_pb2.ENGINE_MODE_EXTERNAL, engine_version="9.9.9",
        engine_restarts=1, tenants=["acme"], reloads_accepted=2, reloads_refused=3, last_error="e", serving=True,
        not_serving_reasons=["n"], stale=True, git_commit="c", store_error="s", data_dir_free_bytes=5,
        issuers_unreadable=["i"],
    )  # fmt: skip
    answer.loaded_at.FromDatetime(T0)
    answer.decides_until.FromDatetime(T0)
    answer.slow_packs.add(
        pack="policy.refunds", tool="pay", tenant="acme", milliseconds=250, ended=False, input_bytes=9
    )
    server.script(GET_POLICY_STATUS, answer)
    status = control.policy_status()
    assert (status.ready, status.policy_revision, status.engine_mode) == (True, "r", "external")
    assert (status.loaded_at, status.confirmed_at, status.tenants) == (T0, None, ("acme",))
    assert (status.serving, status.not_serving_reasons, status.stale) == (True, ("n",), True)
    assert (status.refused_since, status.unseen_since, status.decides_until) == (None, None, T0)
    assert (status.git_commit, status.store_error, status.data_dir_free_bytes) == ("c", "s", 5)
    assert status.issuers_unreadable == ("i",)
    assert status.slow_packs == (SlowPack("policy.refunds", "pay", "acme", 250.0, ended=False, input_bytes=9),)


@pytest.mark.parametrize("answer", [b"\xff", plain_status(grpc.StatusCode.INTERNAL)])
def test_failures_raise(audit: AuditClient, control: ControlClient, server: ScriptedServer, answer: Any) -> None:
    for method in (QUERY_DECISIONS, GET_DECISION, VERIFY_AUDIT, GET_POLICY_STATUS):
        server.script(method, answer)
    for call in (
        lambda: audit.query(Query("acme")),
        lambda: audit.get("acme", "dec_1"),
        audit.verify,
        control.policy_status,
    ):
        with pytest.raises(CallFailedError):
            call()


def test_the_example_of_the_policy_guide_runs(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    refused = control_pb2.GetPolicyStatusResponse(policy_revision="rev1", reloads_refused=1, last_error="caps.rego:8")
    server.script(GET_POLICY_STATUS, refused)
    [example] = re.findall(r"```python\n(.*?)```", DEPLOY_POLICY.read_text(), re.DOTALL)
    exec(example.replace("127.0.0.1:7070", server.address), {})  # noqa: S102 - the document's own example
    assert capsys.readouterr().out == "rev1 None 1 caps.rego:8\n"


def test_reads_are_retried(audit: AuditClient, server: ScriptedServer) -> None:
    server.script(
        VERIFY_AUDIT, plain_status(grpc.StatusCode.UNAVAILABLE), audit_pb2.VerifyAuditResponse(ok=True, records=1)
    )
    assert audit.verify().ok
    assert len(server.calls) == 2


def test_deadlines(server: ScriptedServer) -> None:
    server.script(GET_POLICY_STATUS, late())
    server.script(QUERY_DECISIONS, late())
    with ControlClient(server.address, timeout=0.2) as control, pytest.raises(CallFailedError, match="client_timeout"):
        control.policy_status()
    with AuditClient(server.address, timeout=0.2) as audit, pytest.raises(CallFailedError, match="client_timeout"):
        audit.query(Query("acme"))


def test_tls_clients_do_not_connect_to_plain_servers(server: ScriptedServer) -> None:
    credentials = grpc.ssl_channel_credentials()
    with (
        ControlClient(server.address, timeout=1, credentials=credentials) as control,
        pytest.raises(CallFailedError, match="client_unavailable"),
    ):
        control.policy_status()
    assert server.calls == []
