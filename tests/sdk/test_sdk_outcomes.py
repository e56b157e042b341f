"""Both clients report outcomes: what is sent, what comes back, what is rejected before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import (
    Action,
    CallFailedError,
    Client,
    Decision,
    Effect,
    Identity,
    InvalidRequestError,
    OutcomeReceipt,
    OutcomeStatus,
    failures,
)
from placet.sdk.decision import denied
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2
from tests.sdk.scripted_server import AUTHORIZE, ScriptedServer, allow, plain_status, status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sdk.both import Both

REPORT = "/placet.v1.AuthorizationService/ReportOutcome"
RECORDED = authorization_pb2.ReportOutcomeResponse()
DECISION = Decision(Effect.ALLOW, "r", "Because", decision_id="dec_1", tenant="acme")


def sent(server: ScriptedServer) -> Sequence[authorization_pb2.ReportOutcomeRequest]:
    return [authorization_pb2.ReportOutcomeRequest.FromString(raw) for raw in server.requests(REPORT)]


def test_every_field_is_sent(both: Both, server: ScriptedServer) -> None:
    server.script(REPORT, RECORDED)
    both.report(
        DECISION, OutcomeStatus.FAILED, latency_ms=942, tokens=0, cost_micros=7, amount_minor_units=4_500,
        error_class="TimeoutError", result_digest="ab" * 32,
    )  # fmt: skip
    assert sent(server) == [
        authorization_pb2.ReportOutcomeRequest(
            tenant="acme", decision_id="dec_1", status=authorization_pb2.OUTCOME_STATUS_FAILED, latency_ms=942,
            tokens=0, cost_micros=7, amount_minor_units=4_500, error_class="TimeoutError", result_digest="ab" * 32,
        )
    ]  # fmt: skip


def test_fields_that_are_not_set_are_not_sent(both: Both, server: ScriptedServer) -> None:
    server.script(REPORT, RECORDED)
    both.report("dec_1", "succeeded", tenant="acme")
    [report] = sent(server)
    assert not any(report.HasField(name) for name in ("tokens", "cost_micros", "amount_minor_units"))


@pytest.mark.parametrize("name", OutcomeStatus)
def test_each_status_has_its_number(both: Both, server: ScriptedServer, name: OutcomeStatus) -> None:
    server.script(REPORT, RECORDED)
    both.report(DECISION, name.value)
    assert authorization_pb2.OutcomeStatus.Name(sent(server)[0].status) == f"OUTCOME_STATUS_{name.value.upper()}"


def test_the_tenant_of_a_decision_is_sent(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    server.script(REPORT, RECORDED)
    with Client(server.address, timeout=10) as client:
        client.report_outcome(client.authorize(Action("t"), Identity("a", "globex")), "succeeded")
    assert (sent(server)[0].tenant, sent(server)[0].decision_id) == ("globex", "dec_" + "0" * 32)


def test_the_receipt_has_what_the_server_sent(both: Both, server: ScriptedServer) -> None:
    server.script(
        REPORT, authorization_pb2.ReportOutcomeResponse(duplicate=True, late=True, exceeded_budget_ids=["money"])
    )
    assert both.report(DECISION, "succeeded") == OutcomeReceipt(
        duplicate=True, late=True, exceeded_budget_ids=("money",)
    )


@pytest.mark.parametrize(
    ("arguments", "keywords", "field"),
    [
        ((DECISION, "done"), {}, "status"),
        ((DECISION, 1), {}, "status"),
        ((DECISION, ["failed"]), {}, "status"),
        ((None, "failed"), {}, "decision_id"),
        (("", "failed"), {"tenant": "acme"}, "decision_id"),
        ((denied(Failure(failures.UNAVAILABLE)), "failed"), {}, "decision_id"),
        (("dec_1", "failed"), {"tenant": 7}, "tenant"),
        ((DECISION, "failed"), {"latency_ms": 0.5}, "latency_ms"),
        ((DECISION, "failed"), {"tokens": "many"}, "tokens"),
        ((DECISION, "failed"), {"cost_micros": 2**63}, "cost_micros"),
    ],
)
def test_an_invalid_argument_raises(
    both: Both, server: ScriptedServer, arguments: tuple[Any, ...], keywords: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        both.report(*arguments, **keywords)
    assert [each.field for each in caught.value.failure.violations] == [field]
    assert sent(server) == []


@pytest.mark.parametrize(
    ("code", "rule_id"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "pdp.client_not_now"),
        (grpc.StatusCode.NOT_FOUND, "pdp.client_not_found"),
        (grpc.StatusCode.ABORTED, "pdp.client_contention"),
    ],
)
def test_a_rejected_report_raises_with_the_reason_of_the_server(
    both: Both, server: ScriptedServer, code: grpc.StatusCode, rule_id: str
) -> None:
    server.script(REPORT, status(code))
    with pytest.raises(CallFailedError) as caught:
        both.report(DECISION, "succeeded")
    assert (caught.value.failure.rule_id, caught.value.failure.error) == (rule_id, "TEST")
    assert len(sent(server)) == 1


def test_a_different_outcome_has_its_own_id(both: Both, server: ScriptedServer) -> None:
    server.script(REPORT, status(grpc.StatusCode.ALREADY_EXISTS, reason="OUTCOME_DIFFERS"))
    with pytest.raises(CallFailedError) as caught:
        both.report(DECISION, "succeeded")
    assert caught.value.failure.rule_id == "pdp.client_outcome_differs"


def test_contention_is_retried_if_the_server_names_a_delay(both: Both, server: ScriptedServer) -> None:
    server.script(
        REPORT, status(grpc.StatusCode.ABORTED, retry_after=0.01), plain_status(grpc.StatusCode.UNAVAILABLE), RECORDED
    )
    assert both.report(DECISION, "succeeded") == OutcomeReceipt(duplicate=False, late=False, exceeded_budget_ids=())
    assert len(sent(server)) == 3


def test_a_malformed_response_raises(both: Both, server: ScriptedServer) -> None:
    server.script(REPORT, b"\xff\xff")
    with pytest.raises(CallFailedError) as caught:
        both.report(DECISION, "succeeded")
    assert caught.value.failure.rule_id == "pdp.client_answer_invalid"
